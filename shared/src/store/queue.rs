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

/// The longest that a queue holds a message back.
pub const DELAY_MAX: Duration = Duration::from_secs(900);

/// A message, with its version in its tag. Each may arrive twice, late, or out of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// This job waits for an attempt. One that is sent `once` is not sent on where the job
    /// must wait further: the job's own message is.
    #[serde(rename = "dispatch.v1")]
    Dispatch {
        job_id: JobId,
        #[serde(default, skip_serializing_if = "is_false")]
        once: bool,
    },
    /// Ask the provider about this attempt. `round` counts the questions of a chain, in
    /// which each sends the next: one chain waits for the attempt's end, and one with higher
    /// numbers asks it to stop. A message without it asks once.
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
        /// Of a webhook: through whose callback URL it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
        /// How often the provider was asked in vain to confirm it.
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
        /// Of a webhook: through whose callback URL it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
        /// How often it was sent again because the copy failed.
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

    /// What a webhook says about an attempt, for `fetch` or `settle`.
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

    /// The message that has a verdict on an attempt acted on; without one, a hint to go and ask.
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

/// Where a verdict comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// We asked the provider.
    Poll,
    /// The provider told us: verified, and still only a hint.
    Webhook,
}

/// Through whose callback URL a webhook came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub provider: Provider,
    /// The account at the provider that it was signed for, where that was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its token is of a release whose tokens did not name the provider.
    #[serde(default, skip_serializing_if = "is_false")]
    pub old_token: bool,
}

/// How long after an attempt was claimed a token of the older form is taken. Tokens carry no time,
/// and none is older than its attempt.
pub const OLD_TOKENS_FOR: Duration = Duration::from_secs(3 * 3_600);

impl Sender {
    /// Why a webhook with this sender is not about this attempt; `None` if it may be. One without a
    /// sender was queued by an older release.
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

/// Most messages that one call sends.
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

    /// Sends a message that is delivered after `delay`, at most [`DELAY_MAX`]. It is durable
    /// when this returns. The queue is fair between groups, accounts or providers: a crowd of
    /// one group's messages does not hold back another's, as far as they name their group.
    pub async fn send(&self, message: &Message, group: Option<&str>, delay: Duration) -> Result<(), Error> {
        let doing = "send a message";
        let body = serde_json::to_string(message).map_err(|source| Error::corrupt(doing, source))?;
        let seconds = i32::try_from(delay.min(DELAY_MAX).as_secs()).unwrap_or(0);
        let send = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(seconds);
        let send = send.set_message_group_id(group.map(str::to_owned));
        send.send().await.map_err(|source| Error::sdk(doing, source))?;
        Ok(())
    }

    /// Sends what is no message of ours, or no longer one, unchanged.
    pub async fn send_as_is(&self, body: &str) -> Result<(), Error> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        send.send().await.map_err(|source| Error::sdk("send a message as it is", source))?;
        Ok(())
    }

    /// Sends messages that are delivered at once, ten with a call; says of each in order whether
    /// it is durable.
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

    /// Sends at most ten; of those that were refused, their place and why.
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

/// A stack's queues, by the ends of their names.
pub const QUEUES: [&str; 4] = ["dispatch", "poll", "settle", "fetch"];
/// The end of a dead-letter queue's name.
const DEAD: &str = "-dead";
/// Letters that one look shows at most.
pub const PEEK_MAX: i32 = 10;
/// Looks that a search for one job's letters takes at most, and how long it hides what it has
/// seen, from itself too.
const LOOKS_MAX: usize = 100;
const HIDDEN: Duration = Duration::from_secs(30);

/// Where the messages go that one queue has delivered in vain too often.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Sqs,
    url: String,
}

/// A dead letter, as far as an operator needs it. Its body is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it says it is, known to us or not; `None` if that cannot be read.
    pub kind: Option<String>,
    pub job: Option<JobId>,
    /// Deliveries, in vain, and looks at it since, this one included.
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

    /// About how many letters lie there.
    pub async fn depth(&self) -> Result<u64, Error> {
        let count = self.attribute(QueueAttributeName::ApproximateNumberOfMessages).await?;
        count.parse().map_err(|source| Error::corrupt("count the dead letters", source))
    }

    /// Looks at up to [`PEEK_MAX`] letters, which stay where they are.
    pub async fn peek(&self) -> Result<Vec<DeadLetter>, Error> {
        self.look(Duration::ZERO).await
    }

    /// Looks through up to 1,000 letters for those of one job. All stay where they are, and are
    /// hidden from other looks, and from a move back, for half a minute.
    pub async fn of_job(&self, job: &JobId) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        for _ in 0..LOOKS_MAX {
            let letters = self.look(HIDDEN).await?;
            if letters.is_empty() {
                break;
            }
            found.extend(letters.into_iter().filter(|letter| letter.job.as_ref() == Some(job)));
        }
        Ok(found)
    }

    async fn look(&self, hide: Duration) -> Result<Vec<DeadLetter>, Error> {
        if self.depth().await? == 0 {
            return Ok(Vec::new());
        }
        let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(PEEK_MAX);
        let receive = receive
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        // Waiting makes the service ask all its servers; without hiding, others see the letters too.
        let hide = i32::try_from(hide.as_secs()).unwrap_or(i32::MAX);
        let received = receive.visibility_timeout(hide).wait_time_seconds(1).send().await;
        let received = received.map_err(|source| Error::sdk("look at the dead letters", source))?;
        Ok(received.messages.unwrap_or_default().iter().map(DeadLetter::of).collect())
    }

    /// Moves the messages back to their queue, and returns about how many there are. A repeat moves
    /// what is left. A message whose work was done meanwhile changes nothing: every handler
    /// tolerates repeats.
    pub async fn redrive(&self) -> Result<u64, Error> {
        let depth = self.depth().await?;
        let arn = self.attribute(QueueAttributeName::QueueArn).await?;
        // The service knows where a message came from only if it moved it here itself.
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
    fn a_dead_letter_shows_what_it_says_it_is_and_nothing_else() {
        let letter = |body: &str| {
            let letter = DeadLetter::of(&Received::builder().body(body).build());
            (letter.kind, letter.job)
        };
        let job = JobId::from_bytes([0; 16]);
        let of_the_future = format!(r#"{{"type":"poll.v9","job_id":"{job}"}}"#);
        assert_eq!(letter(&of_the_future), (Some("poll.v9".to_owned()), Some(job)));
        for unreadable in ["", "not JSON", "[]", "7", r#"{"type":7,"job_id":"x"}"#, r#"{"type":"\u001b"}"#] {
            assert_eq!(letter(unreadable), (None, None), "{unreadable}");
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
