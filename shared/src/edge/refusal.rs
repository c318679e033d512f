//! How a refused use case of endpoints or of purchases is answered.

use std::time::Duration;

use http::StatusCode;

use super::http::Problem;
use super::idempotency;
use crate::operate::endpoints::Refusal;
use crate::operate::topups;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let after = |secs, problem| Self { retry_after: Some(Duration::from_secs(secs)), ..problem };
        match refusal {
            Refusal::Store(error) => error.into(),
            Refusal::NotFound => Self::not_found(),
            Refusal::Fields(errors) => Self::invalid(errors),
            Refusal::TooMany => Self::new(StatusCode::CONFLICT, "too_many_endpoints", detail),
            Refusal::Taken => idempotency::key_reused(),
            Refusal::NotEnabled(_) => Self::new(StatusCode::CONFLICT, "endpoint_not_enabled", detail),
            Refusal::StillRotating(_) => Self::new(StatusCode::CONFLICT, "still_rotating", detail),
            Refusal::NotSentYet => Self::new(StatusCode::CONFLICT, "not_sent_yet", detail),
            Refusal::BeingSent => after(30, Self::new(StatusCode::CONFLICT, "being_sent", detail)),
            Refusal::SentEnough(_, wait) => {
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
                after(wait.as_secs() + 1, problem)
            }
            // Other writes were faster each time.
            Refusal::Busy => after(2, Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)),
        }
    }
}

impl From<topups::Refusal> for Problem {
    fn from(refusal: topups::Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            topups::Refusal::Store(error) => error.into(),
            topups::Refusal::Off => Self::new(StatusCode::CONFLICT, "payments_off", detail),
            topups::Refusal::Field(error) => Self::invalid(vec![error]),
            topups::Refusal::Taken => idempotency::key_reused(),
            topups::Refusal::Refused(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "topup_refused", detail)
            }
            topups::Refusal::Unavailable(trouble) => {
                let wait = trouble.retry_after.unwrap_or(Duration::from_secs(2));
                let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
                Self { retry_after: Some(wait), ..problem }
            }
        }
    }
}
