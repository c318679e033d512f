//! One call: its log line, its body within bounds, and why it has no answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass, Fault};
use tokio::time::Instant;

use crate::provider::Answer;

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(in crate::provider) enum NoAnswer {
    /// The call was not sent.
    NotSent(Fault),
    /// It may have arrived.
    Lost(&'static str),
}

impl NoAnswer {
    pub(in crate::provider) const fn cause(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Lost(cause) => cause,
        }
    }
}

pub(in crate::provider) fn not_sent(class: ErrorClass, code: &str) -> NoAnswer {
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

pub(in crate::provider) async fn read_body(
    mut response: reqwest::Response,
    max: usize,
) -> Result<Bytes, NoAnswer> {
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
pub(in crate::provider) struct Timer {
    provider: Provider,
    what: &'static str,
    started: Instant,
}

impl Timer {
    pub(in crate::provider) fn start(provider: Provider, what: &'static str) -> Self {
        Self { provider, what, started: Instant::now() }
    }

    pub(in crate::provider) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(in crate::provider) fn log(&self, sent: &Result<Answer, NoAnswer>, summary: (&str, &str)) {
        self.log_status(sent.as_ref().ok().map(|answer| answer.status), summary);
    }

    pub(in crate::provider) fn log_status(&self, status: Option<u16>, (outcome, reason): (&str, &str)) {
        tracing::info!(
            provider = self.provider.name(),
            what = self.what,
            status,
            outcome,
            reason,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "provider.called"
        );
    }
}
