//! Spans as OTLP has them in JSON: ids in hex, 64-bit numbers as texts.

use serde_json::{Value, json};

use super::Span;

/// The body of `POST /v1/traces` with the spans of one function.
pub(super) fn body(function: &str, spans: &[Span]) -> Value {
    let (stack, _) = function.rsplit_once('-').unwrap_or_default();
    let resource = [("service.name", "genmux"), ("service.namespace", stack), ("faas.name", function)];
    let resource: Vec<_> = resource.into_iter().map(|(name, value)| attribute(name, value)).collect();
    let scope = json!({"name": "genmux", "version": env!("CARGO_PKG_VERSION")});
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]})
}

fn attribute(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

fn span(span: &Span) -> Value {
    let nanos = |at: domain::time::Timestamp| (i128::from(at.as_millis()) * 1_000_000).to_string();
    let attributes: Vec<_> = span.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut json = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": attributes,
        // Error, or unset.
        "status": {"code": if span.failed { 2 } else { 0 }},
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = parent.to_string().into();
    }
    if let Some(link) = span.link {
        json["links"] = json!([{"traceId": link.trace.to_string(), "spanId": link.span.to_string()}]);
    }
    json
}
