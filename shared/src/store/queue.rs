//! Messages between the functions: ids and verdicts, never job state.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::{
    Message as Received, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use serde::{Deserialize, Serialize};

use super::{Error, Sqs};
use domain::attempt::Attempt;
use domain::credit::MicroUsd;
use domain::id::{JobId, RemoteJob};
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::Verdict;

/// Maximum delay of a message.
pub const DELAY_MAX: Duration = Duration::from_secs(900);

/// A message, versioned by its tag. Messages may be duplicated, late or out of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// This job waits for an attempt. A message with `once` is not sent again if the job must wait
    /// further: the job has its own message.
    #[serde(rename = "dispatch.v1")]
    Dispatch {
        job_id: JobId,
        #[serde(default, skip_serializing_if = "is_false")]
        once: bool,
    },
    /// Poll this attempt. `round` is the number in a poll sequence, in which each poll sends the next.
    /// The sequence with higher numbers cancels the attempt. Without a number, it is polled once.
    #[serde(rename = "poll.v1")]
    Poll {
        job_id: JobId,
        attempt: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<u16>,
    },
    /// A provider's verdict on this attempt; without one, an unsigned notification that triggers a
    /// poll.
    #[serde(rename = "settle.v1")]
    Settle {
        job_id: JobId,
        attempt: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteJob>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Verdict>,
        source: Source,
        /// Of a webhook: its callback URL's token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
        /// Failed attempts to confirm it at the provider.
        #[serde(default, skip_serializing_if = "is_zero")]
        asked: u8,
    },
    /// This attempt has succeeded, and its file is at `url`.
    #[serde(rename = "fetch.v1")]
    Fetch {
        job_id: JobId,
        attempt: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteJob>,
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<MicroUsd>,
        source: Source,
        /// Of a webhook: its callback URL's token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
        /// Retries after failed copies.
        #[serde(default, skip_serializing_if = "is_zero")]
        tried: u8,
    },
}

impl Message {
    /// What it is, as its tag says.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dispatch { .. } => "dispatch.v1",
            Self::Poll { .. } => "poll.v1",
            Self::Settle { .. } => "settle.v1",
            Self::Fetch { .. } => "fetch.v1",
        }
    }

    pub const fn job_id(&self) -> &JobId {
        match self {
            Self::Dispatch { job_id, .. }
            | Self::Poll { job_id, .. }
            | Self::Settle { job_id, .. }
            | Self::Fetch { job_id, .. } => job_id,
        }
    }

    /// The attempt that it is about, if it names one.
    pub const fn attempt(&self) -> Option<u8> {
        match self {
            Self::Dispatch { .. } => None,
            Self::Poll { attempt, .. } | Self::Settle { attempt, .. } | Self::Fetch { attempt, .. } => {
                Some(*attempt)
            }
        }
    }

    /// The message for a webhook about an attempt, for `fetch` or `settle`.
    pub fn report(
        job_id: JobId,
        attempt: u8,
        remote: Option<RemoteJob>,
        outcome: Option<Verdict>,
        by: Sender,
    ) -> Self {
        let mut message = Self::verdict(job_id, attempt, remote, outcome, Source::Webhook);
        if let Self::Settle { sender, .. } | Self::Fetch { sender, .. } = &mut message {
            *sender = Some(by);
        }
        message
    }

    /// The message for a verdict on an attempt; without one, it triggers a poll.
    pub fn verdict(
        job_id: JobId,
        attempt: u8,
        remote: Option<RemoteJob>,
        outcome: Option<Verdict>,
        source: Source,
    ) -> Self {
        match outcome {
            Some(Verdict::Finished { asset_url: url, cost }) => {
                Self::Fetch { job_id, attempt, remote, url, cost, source, sender: None, tried: 0 }
            }
            outcome => Self::Settle { job_id, attempt, remote, outcome, source, sender: None, asked: 0 },
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(b: &bool) -> bool {
    !*b
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// The source of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A poll.
    Poll,
    /// A verified webhook. It is confirmed before money moves.
    Webhook,
}

/// The sender of a webhook, from its callback URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub provider: Provider,
    /// The verified provider account that it was signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its token is of an old release and does not name the provider.
    #[serde(default, skip_serializing_if = "is_false")]
    pub old_token: bool,
}

/// How long after the claim of an attempt a token of the old form is accepted. Tokens have no time,
/// but are never older than their attempt.
pub const OLD_TOKENS_FOR: Duration = Duration::from_secs(3 * 3_600);

impl Sender {
    /// Why a webhook of this sender does not belong to this attempt; `None` if it may. Messages of older
    /// releases have no sender.
    pub fn mismatch(sender: Option<&Self>, attempt: &Attempt, now: Timestamp) -> Option<&'static str> {
        let is_old = sender.is_none_or(|sender| sender.old_token);
        if sender.is_some_and(|sender| sender.provider != attempt.provider) {
            Some("other_provider")
        } else if is_old && now.since(attempt.started_at) > OLD_TOKENS_FOR {
            Some("old_token")
        } else {
            None
        }
    }
}

/// Maximum number of messages per call.
const SEND_MAX: usize = 10;
const SENDING: &str = "send messages";

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

    /// Sends a message that is delivered after `delay`, at most [`DELAY_MAX`]. It is durable when this
    /// returns. The queue is fair between groups (accounts or providers): a noisy neighbour does not
    /// delay other groups.
    pub async fn send(&self, message: &Message, group: Option<&str>, delay: Duration) -> Result<(), Error> {
        let doing = "send a message";
        let body = serde_json::to_string(message).map_err(|source| Error::corrupt(doing, source))?;
        let seconds = i32::try_from(delay.min(DELAY_MAX).as_secs()).unwrap_or(0);
        let send = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(seconds);
        let send = send.set_message_group_id(group.map(str::to_owned));
        send.send().await.map_err(|source| Error::sdk(doing, source))?;
        Ok(())
    }

    /// Sends an unknown message unchanged.
    pub async fn send_as_is(&self, body: &str) -> Result<(), Error> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        send.send().await.map_err(|source| Error::sdk("send a message as it is", source))?;
        Ok(())
    }

    /// Sends messages without delay, ten per call. Returns for each whether it is durable.
    pub async fn send_all(&self, messages: &[(Message, String)]) -> Vec<Result<(), Error>> {
        let mut sent = Vec::with_capacity(messages.len());
        for some in messages.chunks(SEND_MAX) {
            match self.send_some(some).await {
                Ok(refused) => sent.extend((0..some.len()).map(|n| match refused.get(&n.to_string()) {
                    Some(why) => Err(Error::failed(SENDING, why.clone())),
                    None => Ok(()),
                })),
                Err(error) => {
                    let why = format!("{error}: {:?}", error.source);
                    sent.extend(some.iter().map(|_| Err(Error::failed(SENDING, why.clone()))));
                }
            }
        }
        sent
    }

    /// Sends at most ten. Returns the index and reason of each rejected one.
    async fn send_some(&self, messages: &[(Message, String)]) -> Result<HashMap<String, String>, Error> {
        let entries = messages.iter().enumerate().map(|(n, (message, group))| {
            let body = serde_json::to_string(message).map_err(|source| Error::corrupt(SENDING, source))?;
            let entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
            let entry = entry.message_group_id(group).build();
            entry.map_err(|source| Error::corrupt(SENDING, source))
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let batch = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = batch.send().await.map_err(|source| Error::sdk(SENDING, source))?;
        Ok(answer.failed.into_iter().map(|failed| (failed.id, failed.code)).collect())
    }
}

/// The queues of a stack, by the suffix of their names.
pub const QUEUES: [&str; 4] = ["dispatch", "poll", "settle", "fetch"];
/// Name suffix of a dead-letter queue.
const DEAD: &str = "-dead";
/// Maximum number of messages in one peek.
pub const PEEK_MAX: i32 = 10;
/// Maximum number of receives in a search for one job, and the visibility timeout of the messages
/// that it has seen.
const RECEIVES_MAX: usize = 100;
const HIDDEN: Duration = Duration::from_secs(30);

/// A dead-letter queue.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Sqs,
    url: String,
}

/// A message of a dead-letter queue, for operators. Its body is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its type, even if unknown; `None` if unreadable.
    pub kind: Option<String>,
    pub job: Option<JobId>,
    /// Failed deliveries and later receives, including this one.
    pub receives: u32,
    pub sent_at: Timestamp,
}

impl DeadLetters {
    /// The dead-letter queue of one of a stack's [`QUEUES`].
    pub async fn of(client: Sqs, stack: &str, queue: &str) -> Result<Self, Error> {
        let name = format!("{stack}-{queue}{DEAD}");
        let found = client.get_queue_url().queue_name(&name).send().await;
        let found = found.map_err(|source| Error::sdk(format!("find the queue {name}"), source))?;
        Ok(Self { client, url: found.queue_url.unwrap_or_default() })
    }

    /// Approximate number of messages.
    pub async fn depth(&self) -> Result<u64, Error> {
        let count = self.attribute(QueueAttributeName::ApproximateNumberOfMessages).await?;
        count.parse().map_err(|source| Error::corrupt("count the dead letters", source))
    }

    /// Returns up to [`PEEK_MAX`] messages, which stay in the queue.
    pub async fn peek(&self) -> Result<Vec<DeadLetter>, Error> {
        self.receive(Duration::ZERO).await
    }

    /// Searches up to 1,000 messages for those of one job. All stay in the queue; they are invisible to
    /// other receives and to a redrive for 30 s.
    pub async fn of_job(&self, job: &JobId) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        for _ in 0..RECEIVES_MAX {
            let messages = self.receive(HIDDEN).await?;
            if messages.is_empty() {
                break;
            }
            found.extend(messages.into_iter().filter(|message| message.job.as_ref() == Some(job)));
        }
        Ok(found)
    }

    async fn receive(&self, hide: Duration) -> Result<Vec<DeadLetter>, Error> {
        if self.depth().await? == 0 {
            return Ok(Vec::new());
        }
        let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(PEEK_MAX);
        let receive = receive
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        // Long polling queries all servers. Without a visibility timeout, others see the messages, too.
        let hide = i32::try_from(hide.as_secs()).unwrap_or(i32::MAX);
        let received = receive.visibility_timeout(hide).wait_time_seconds(1).send().await;
        let received = received.map_err(|source| Error::sdk("receive dead letters", source))?;
        Ok(received.messages.unwrap_or_default().iter().map(DeadLetter::of).collect())
    }

    /// Moves the messages back to their queue, and returns their approximate number. A repeat moves the
    /// rest. Messages whose work is done change nothing: every handler tolerates repeats.
    pub async fn redrive(&self) -> Result<u64, Error> {
        let depth = self.depth().await?;
        let arn = self.attribute(QueueAttributeName::QueueArn).await?;
        // The service knows the source of a message only if it moved the message itself.
        let queue = arn.strip_suffix(DEAD).unwrap_or(&arn).to_owned();
        let start = self.client.start_message_move_task().source_arn(&arn).destination_arn(queue);
        let started = start.send().await;
        started.map_err(|source| Error::sdk("move the dead letters back", source))?;
        Ok(depth)
    }

    async fn attribute(&self, name: QueueAttributeName) -> Result<String, Error> {
        let doing = "read an attribute of a dead-letter queue";
        let get = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = get.send().await.map_err(|source| Error::sdk(doing, source))?;
        let value = answer.attributes.and_then(|mut attributes| attributes.remove(&name));
        value.ok_or_else(|| Error::corrupt(doing, format!("there is no {name}")))
    }
}

impl DeadLetter {
    const KIND_CHARS_MAX: usize = 40;

    fn of(received: &Received) -> Self {
        let body: serde_json::Value =
            serde_json::from_str(received.body().unwrap_or_default()).unwrap_or_default();
        let kind = body["type"].as_str().map(|kind| {
            kind.chars().filter(char::is_ascii_graphic).take(Self::KIND_CHARS_MAX).collect::<String>()
        });
        let number = |name| {
            let text = received.attributes().and_then(|attributes| attributes.get(&name));
            text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
        };
        Self {
            kind: kind.filter(|kind| !kind.is_empty()),
            job: body["job_id"].as_str().and_then(|id| id.parse().ok()),
            receives: u32::try_from(number(MessageSystemAttributeName::ApproximateReceiveCount)).unwrap_or(0),
            sent_at: Timestamp::from_millis(number(MessageSystemAttributeName::SentTimestamp)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_shows_its_type_and_job_only() {
        let read = |body: &str| {
            let message = DeadLetter::of(&Received::builder().body(body).build());
            (message.kind, message.job)
        };
        let job = JobId::from_bytes([0; 16]);
        let of_the_future = format!(r#"{{"type":"poll.v9","job_id":"{job}"}}"#);
        assert_eq!(read(&of_the_future), (Some("poll.v9".to_owned()), Some(job)));
        for unreadable in ["", "not JSON", "[]", "7", r#"{"type":7,"job_id":"x"}"#, r#"{"type":"\u001b"}"#] {
            assert_eq!(read(unreadable), (None, None), "{unreadable}");
        }
    }

    #[test]
    fn a_message_names_its_version_and_nothing_of_the_job() {
        let message = Message::Settle {
            job_id: JobId::from_bytes([0; 16]),
            attempt: 1,
            remote: None,
            outcome: Some(Verdict::Gone),
            source: Source::Webhook,
            sender: None,
            asked: 0,
        };
        let text = serde_json::to_string(&message).unwrap();
        let want = r#"{"type":"settle.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":1,"outcome":{"verdict":"gone"},"source":"webhook"}"#;
        assert_eq!(text, want);
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        assert!(text.contains(&format!(r#""type":"{}""#, message.kind())));
    }

    #[test]
    fn a_message_of_an_unknown_version_is_not_read_as_another() {
        let text = r#"{"type":"dispatch.v2","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        assert!(serde_json::from_str::<Message>(text).is_err());
    }
}
