//! Webhooks of processors: proved over their raw bytes, and then read for what to ask about.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::payment::{Mode, Processor, Reference};
use domain::time::Timestamp;
use http::HeaderMap;
use serde_json::Value;
use signatures::{PayPal, Signing, Verified, VerifyError};

use super::{abacate, paypal, stripe};
use crate::outside::platforms::Platforms;

/// How each processor signs, as far as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    mode: Mode,
    signing: BTreeMap<Processor, Signing>,
}

/// Why a genuine webhook says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("it is not an event of this processor")]
    Malformed,
    #[error("it is of the other mode: test or live")]
    WrongMode,
}

impl Webhooks {
    pub const fn new(mode: Mode, signing: BTreeMap<Processor, Signing>) -> Self {
        Self { mode, signing }
    }

    /// Proves that the processor sent this. `url` is the address that it called, query and all.
    pub async fn verify(
        &self,
        processor: Processor,
        platforms: &Platforms,
        (url, headers, body): (&str, &HeaderMap, Bytes),
        now: Timestamp,
    ) -> Result<Verified<Bytes>, VerifyError> {
        let signing = self.signing.get(&processor).ok_or(VerifyError::NoWebhooks)?;
        platforms.verify(signing, url, headers, body, now).await
    }

    /// What to ask about; `None` if it is about nothing of ours.
    pub fn read(
        &self,
        processor: Processor,
        headers: &HeaderMap,
        body: &Verified<Bytes>,
    ) -> Result<Option<Reference>, Unread> {
        let event: Value = serde_json::from_slice(body.get()).map_err(|_error| Unread::Malformed)?;
        let (live, reference) = match processor {
            // Thin events have another shape.
            Processor::Stripe if event["object"] != "event" => return Err(Unread::Malformed),
            Processor::Stripe => (event["livemode"].as_bool(), stripe::reference(&event)),
            Processor::Paypal => (Some(!is_sandbox(headers)), paypal::reference(&event)),
            Processor::Abacatepay => (event["devMode"].as_bool().map(|dev| !dev), abacate::reference(&event)),
        };
        match live.map(Mode::of_live) {
            None => Err(Unread::Malformed),
            Some(mode) if mode != self.mode => Err(Unread::WrongMode),
            Some(_) => Ok(reference),
        }
    }
}

/// Whether PayPal's certificate is of its sandbox.
fn is_sandbox(headers: &HeaderMap) -> bool {
    let url = PayPal::certificate_url(headers);
    url.is_ok_and(|url| url.host_str().is_some_and(|host| host.contains("sandbox")))
}
