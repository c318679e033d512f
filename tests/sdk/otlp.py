"""OpenTelemetry's own definition of OTLP reads what functions send to a collector."""

# requires: opentelemetry-proto==1.45.2

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def in_base64(value):
    """OTLP has ids in hex, where JSON of Protocol Buffers has base64."""
    if isinstance(value, list):
        return [in_base64(each) for each in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    encoded = {name: base64.b64encode(bytes.fromhex(value[name])).decode() for name in ids if name in value}
    return {name: in_base64(each) for name, each in value.items()} | encoded


bodies, traces = json.load(open(sys.argv[1])), sys.argv[2:]
spans = []
for body in bodies:
    # An unknown field is an error.
    request = json_format.ParseDict(in_base64(body), ExportTraceServiceRequest())
    for resource in request.resource_spans:
        names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
        assert names["service.name"] == "genmux" and names["faas.name"].startswith("genmux-"), names
        spans += [span for scope in resource.scope_spans for span in scope.spans]
for trace in traces:
    of_job = [span for span in spans if span.trace_id.hex() == trace]
    ids = {span.span_id for span in of_job}
    assert len(of_job) > 5 and len(ids) == len(of_job), of_job
    assert [len(span.span_id) for span in of_job] == [8] * len(of_job)
    roots = [span for span in of_job if not span.parent_span_id]
    assert len(roots) == 1 and all(span.parent_span_id in ids for span in of_job if span not in roots), of_job
    assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for span in of_job), of_job
    assert {span.kind for span in of_job} >= {2, 3, 5}
assert len([span for span in spans if span.links]) == 1
