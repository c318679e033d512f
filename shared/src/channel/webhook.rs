//! Webhooks of customers: Standard Webhooks 1.0.0.

use domain::delivery::Outcome;
use domain::endpoint::Endpoint;
use domain::time::Timestamp;
use http::header::CONTENT_TYPE;
use reqwest::RequestBuilder;
use signatures::own::{Master, OwnKey};

use super::client::{Answer, Envelope};
use crate::trace;

/// The key of one version of an endpoint's secret. An endpoint that is created again under the same
/// `Idempotency-Key` after it was deleted has the same id, and other secrets.
pub fn key(master: &Master, endpoint: &Endpoint, version: u32) -> OwnKey {
    let created_at = endpoint.created_at.as_millis().to_string();
    master.key(&[endpoint.account.as_str(), endpoint.id.as_str(), &created_at, &version.to_string()])
}

/// A signed request: by each active secret, so that one can replace another.
pub(super) fn request(
    post: RequestBuilder,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    master: &Master,
    now: Timestamp,
) -> RequestBuilder {
    let timestamp = now.as_secs();
    let body = envelope.body.as_bytes();
    let mut signatures = Vec::new();
    for version in endpoint.secrets.active(now) {
        let own = key(master, endpoint, version);
        signatures.push(own.v1(envelope.id, timestamp, body));
        if endpoint.v1a {
            signatures.push(own.v1a(envelope.id, timestamp, body));
        }
    }
    // Beside what is signed: it says nothing of the event.
    let post = match trace::current() {
        Some(traceparent) => post.header("traceparent", traceparent.to_string()),
        None => post,
    };
    post.header(CONTENT_TYPE, "application/json")
        .header("webhook-id", envelope.id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signatures.join(" "))
        .body(envelope.body.to_owned())
}

/// Only 2xx is a success; 410 is the end of the endpoint.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    match answer.status.as_u16() {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        _ => Outcome::Later { wait: answer.retry_after(now) },
    }
}
