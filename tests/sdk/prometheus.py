"""The official parser of Prometheus reads the metrics of the local stack."""

# requires: prometheus-client==0.23.1

import sys

from prometheus_client.parser import text_string_to_metric_families

families = {family.name: family for family in text_string_to_metric_families(open(sys.argv[1]).read())}
assert len(families) == int(sys.argv[2]), families.keys()
for family in families.values():
    assert family.type in ("counter", "gauge", "histogram") and family.documentation, family
created = families["genmux_jobs_created"].samples
assert [(sample.labels, sample.value) for sample in created] == [({"function": "submit"}, 6.0)], created
done = {sample.name: sample.value for sample in families["genmux_time_to_done_seconds"].samples}
assert done["genmux_time_to_done_seconds_count"] == 4.0, done
