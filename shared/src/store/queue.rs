//! Messages between the functions: ids and verdicts, never job state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, Sqs};
use crate::domain::id::{JobId, RemoteJob};
use crate::domain::verdict::Verdict;

/// The longest that a queue holds a message back.
pub const DELAY_MAX: Duration = Duration::from_secs(900);

/// A message, with its version in its tag. Each may arrive twice, late, or out of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// This job waits for an attempt.
    #[serde(rename = "dispatch.v1")]
    Dispatch { job_id: JobId },
    /// Ask the provider about this attempt. `round` counts the questions of a chain, in
    /// which each sends the next; a message without it asks once.
    #[serde(rename = "poll.v1")]
    Poll {
        job_id: JobId,
        attempt: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<u16>,
    },
    /// A provider's verdict on this attempt; without one, a hint to go and ask.
    #[serde(rename = "settle.v1")]
    Settle {
        job_id: JobId,
        attempt: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteJob>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Verdict>,
        source: Source,
        /// How often the provider was asked in vain to confirm it.
        #[serde(default, skip_serializing_if = "is_zero")]
        asked: u8,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// Where a verdict comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// We asked the provider.
    Poll,
    /// The provider told us: verified, and still only a hint.
    Webhook,
}

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Sqs,
    url: String,
}

impl Queue {
    pub fn new(client: Sqs, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Sends a message that is delivered after `delay`, at most [`DELAY_MAX`]. It is durable
    /// when this returns.
    pub async fn send(&self, message: &Message, delay: Duration) -> Result<(), Error> {
        let doing = "send a message";
        let body = serde_json::to_string(message).map_err(|source| Error::corrupt(doing, source))?;
        let seconds = i32::try_from(delay.min(DELAY_MAX).as_secs()).unwrap_or(0);
        let send = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(seconds);
        send.send().await.map_err(|source| Error::sdk(doing, source))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_version_and_nothing_of_the_job() {
        let message = Message::Settle {
            job_id: JobId::from_bytes([0; 16]),
            attempt: 1,
            remote: None,
            outcome: Some(Verdict::Gone),
            source: Source::Webhook,
            asked: 0,
        };
        let text = serde_json::to_string(&message).unwrap();
        let want = r#"{"type":"settle.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":1,"outcome":{"verdict":"gone"},"source":"webhook"}"#;
        assert_eq!(text, want);
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
    }

    #[test]
    fn a_message_of_an_unknown_version_is_not_read_as_another() {
        let text = r#"{"type":"dispatch.v2","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        assert!(serde_json::from_str::<Message>(text).is_err());
    }
}
