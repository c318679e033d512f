//! Sends spans to a collector that the operator named, by OTLP over HTTP in JSON.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{client, tls};

/// How long a try may take; there is no second.
pub(crate) const TRY_MAX: Duration = Duration::from_millis(300);
/// After a try that failed, spans are dropped for this long: a collector that hangs delays one invocation.
const PAUSE: Duration = Duration::from_secs(30);

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum BadExporter {
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL of http or https")]
    Endpoint,
    #[error("OTEL_EXPORTER_OTLP_HEADERS must be like `name=value`, separated by commas")]
    Headers,
    #[error("the client of the collector does not start")]
    Client(#[source] reqwest::Error),
}

/// The client of one collector.
#[derive(Debug)]
pub struct Exporter {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    paused_until: Mutex<Option<Instant>>,
}

impl Exporter {
    /// `endpoint` is the base URL of the collector; `headers` are `name=value`, percent-encoded and
    /// separated by commas, as OpenTelemetry defines both.
    ///
    /// # Errors
    ///
    /// If one of them is not so. Neither is part of the error: a header may be a key.
    pub fn new(endpoint: &str, headers: &str) -> Result<Self, BadExporter> {
        let mut url = Url::parse(endpoint).map_err(|_unreadable| BadExporter::Endpoint)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadExporter::Endpoint);
        }
        url.path_segments_mut().map_err(|()| BadExporter::Endpoint)?.pop_if_empty().extend(["v1", "traces"]);
        let headers = parse_headers(headers).ok_or(BadExporter::Headers)?;
        if url.scheme() == "https" {
            tls::read_roots();
        }
        let http = client::builder().redirect(Policy::none()).timeout(TRY_MAX).build();
        let http = http.map_err(BadExporter::Client)?;
        Ok(Self { http, url, headers, paused_until: Mutex::new(None) })
    }

    /// One try, unless a recent one failed. A failure is logged and has no other effect.
    pub async fn send(&self, spans: &Value) {
        let now = Instant::now();
        let is_paused =
            self.paused_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| now < at);
        if is_paused {
            return;
        }
        let post = self.http.post(self.url.clone()).headers(self.headers.clone());
        let sent = post.header(CONTENT_TYPE, "application/json").body(spans.to_string()).send().await;
        let cause = match sent {
            Ok(answer) if answer.status().is_success() => return,
            Ok(_) => "refused",
            Err(error) if error.is_timeout() => "timeout",
            Err(_) => "no_connection",
        };
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + PAUSE);
        tracing::warn!(cause, "trace.not_sent");
    }
}

fn parse_headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
    };
    pairs.map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url_and_headers_are_pairs() {
        let exporter = Exporter::new("https://otel.example/base/", "x-key=a%20b, y = c").unwrap();
        assert_eq!(exporter.url.as_str(), "https://otel.example/base/v1/traces");
        let headers = ["x-key", "y"].map(|name| exporter.headers[name].to_str().unwrap().to_owned());
        assert_eq!(headers, ["a b", "c"]);
        assert!(!format!("{exporter:?}").contains("a b"));
        for (endpoint, headers) in [
            ("otel.example", ""),
            ("ftp://otel.example", ""),
            ("http://a", "key"),
            ("http://a", "a b=c"),
            ("http://a", "a=%0a"),
        ] {
            assert!(Exporter::new(endpoint, headers).is_err(), "{endpoint} {headers}");
        }
    }
}
