//! One call: its log line, its body within bounds, and why it has no answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass, Fault};
use tokio::time::Instant;

use crate::provider::call::Answer;
use crate::trace;

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(super) enum NoAnswer {
    /// The call was not sent.
    NotSent(Fault),
    /// It may have arrived.
    Lost(&'static str),
}

impl NoAnswer {
    pub(super) const fn cause(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Lost(cause) => cause,
        }
    }
}

pub(super) fn not_sent(class: ErrorClass, code: &str) -> NoAnswer {
    NoAnswer::NotSent(Fault::new(class, Some(code), Billed::No))
}

/// Not sent if there was no connection; after any other error it may have been sent.
pub(super) fn classify(error: &reqwest::Error) -> NoAnswer {
    if error.is_builder() {
        not_sent(ErrorClass::InvalidRequest, "malformed_call")
    } else if error.is_connect() {
        not_sent(ErrorClass::ProviderUnavailable, "no_connection")
    } else if error.is_timeout() {
        NoAnswer::Lost("timeout")
    } else {
        NoAnswer::Lost("connection_lost")
    }
}

pub(super) async fn read_body(mut response: reqwest::Response, max: usize) -> Result<Bytes, NoAnswer> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > max {
            return Err(NoAnswer::Lost("answer_too_long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// One running call and its log line.
pub(super) struct Timer {
    provider: Provider,
    what: &'static str,
    started: Instant,
}

impl Timer {
    pub(super) fn start(provider: Provider, what: &'static str) -> Self {
        Self { provider, what, started: Instant::now() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn log(&self, sent: &Result<Answer, NoAnswer>, summary: (&str, &str)) {
        self.log_status(sent.as_ref().ok().map(|answer| answer.status), summary);
    }

    pub(super) fn log_status(&self, status: Option<u16>, (outcome, reason): (&str, &str)) {
        let provider = self.provider.name();
        let attributes =
            vec![("genmux.provider", provider.to_owned()), ("genmux.outcome", outcome.to_owned())];
        let took = self.elapsed();
        trace::called(self.what, took, status.is_none_or(|status| status >= 400), attributes);
        tracing::info!(
            provider,
            what = self.what,
            status,
            outcome,
            reason,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "provider.called"
        );
    }
}
