//! Messages between the functions: ids and verdicts, never job state.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde::{Deserialize, Serialize};

use super::polls::PollSequence;
use super::{Error, Sqs};
use domain::attempt::Attempt;
use domain::credit::MicroUsd;
use domain::delivery::Reported;
use domain::id::{AccountId, EndpointId, EventId, JobId, RemoteJob, TopupId};
use domain::inbound::Inbound;
use domain::payment::{Processor, Reference};
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
    /// Poll this attempt: as part of a sequence, or once.
    #[serde(rename = "poll.v1")]
    Poll {
        job_id: JobId,
        attempt: u8,
        #[serde(rename = "round", default, skip_serializing_if = "Option::is_none")]
        sequence: Option<PollSequence>,
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
    /// This event needs its deliveries.
    #[serde(rename = "notify.v1")]
    Notify { event: EventId },
    /// Another platform reported this; it is an event if an endpoint of the account wants it.
    #[serde(rename = "inbound.v1")]
    Inbound(Box<Inbound>),
    /// This delivery is due.
    #[serde(rename = "deliver.v1")]
    Deliver { event: EventId, endpoint: EndpointId },
    /// The vendor reports what became of this delivery.
    #[serde(rename = "receipt.v1")]
    Receipt(Reported),
    /// A payment processor reports something of this: ask it.
    #[serde(rename = "payment.v1")]
    Payment {
        processor: Processor,
        #[serde(flatten)]
        about: Reference,
        /// It was found in a list of events.
        #[serde(default, skip_serializing_if = "is_false")]
        listed: bool,
    },
    /// This purchase is due: ask its processor.
    #[serde(rename = "payment_check.v1")]
    PaymentCheck { topup: TopupId },
    /// The events of this processor are to be listed.
    #[serde(rename = "payment_list.v1")]
    PaymentList { processor: Processor },
    /// This endpoint is back, or its owner asks for what it missed.
    #[serde(rename = "recover.v1")]
    Recover {
        account: AccountId,
        endpoint: EndpointId,
        /// The deliveries since then.
        since: Timestamp,
        /// Also those that have ended without success.
        #[serde(default, skip_serializing_if = "is_false")]
        ended: bool,
        /// Where the last page ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<(Timestamp, EventId)>,
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
            Self::Notify { .. } => "notify.v1",
            Self::Inbound(_) => "inbound.v1",
            Self::Deliver { .. } => "deliver.v1",
            Self::Receipt(_) => "receipt.v1",
            Self::Payment { .. } => "payment.v1",
            Self::PaymentCheck { .. } => "payment_check.v1",
            Self::PaymentList { .. } => "payment_list.v1",
            Self::Recover { .. } => "recover.v1",
        }
    }

    /// The job that it is about, if it is about one.
    pub const fn job_id(&self) -> Option<&JobId> {
        match self {
            Self::Dispatch { job_id, .. }
            | Self::Poll { job_id, .. }
            | Self::Settle { job_id, .. }
            | Self::Fetch { job_id, .. } => Some(job_id),
            _ => None,
        }
    }

    /// The event that it is about, if it names one.
    pub const fn event(&self) -> Option<&EventId> {
        match self {
            Self::Notify { event } | Self::Deliver { event, .. } => Some(event),
            Self::Inbound(inbound) => Some(&inbound.event),
            Self::Receipt(reported) => Some(&reported.event),
            _ => None,
        }
    }

    /// The attempt that it is about, if it names one.
    pub const fn attempt(&self) -> Option<u8> {
        match self {
            Self::Poll { attempt, .. } | Self::Settle { attempt, .. } | Self::Fetch { attempt, .. } => {
                Some(*attempt)
            }
            _ => None,
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
pub const SEND_MAX: usize = 10;
const SENDING: &str = "send messages";

/// A message as text. A queue takes the characters of XML 1.0 alone; the others that JSON leaves as they are,
/// two, are escaped.
fn text(doing: &str, message: &Message) -> Result<String, Error> {
    let text = serde_json::to_string(message).map_err(|source| Error::corrupt(doing, source))?;
    Ok(match text.contains(['\u{fffe}', '\u{ffff}']) {
        true => text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
        false => text,
    })
}

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Sqs,
    url: String,
}

impl Queue {
    /// The queue of a stack with this suffix of its name.
    pub async fn of(client: Sqs, stack: &str, queue: &str) -> Result<Self, Error> {
        let name = format!("{stack}-{queue}");
        let found = client.get_queue_url().queue_name(&name).send().await;
        let found = found.map_err(|source| Error::sdk(format!("find the queue {name}"), source))?;
        Ok(Self::new(client, found.queue_url.unwrap_or_default()))
    }

    pub fn new(client: Sqs, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Sends a message that is delivered after `delay`, at most [`DELAY_MAX`]. It is durable when this
    /// returns. The queue is fair between groups (accounts or providers): a noisy neighbour does not
    /// delay other groups.
    pub async fn send(&self, message: &Message, group: Option<&str>, delay: Duration) -> Result<(), Error> {
        let doing = "send a message";
        let body = text(doing, message)?;
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
        self.send_over(messages, Duration::ZERO).await
    }

    /// The same, delivered evenly over `span`, at most [`DELAY_MAX`].
    pub async fn send_over(&self, messages: &[(Message, String)], span: Duration) -> Vec<Result<(), Error>> {
        let mut sent = Vec::with_capacity(messages.len());
        let count = messages.len().max(1);
        let seconds = |n: usize| {
            let delay = span.min(DELAY_MAX).as_secs() as usize * n / count;
            i32::try_from(delay).unwrap_or(0)
        };
        for (chunk, some) in messages.chunks(SEND_MAX).enumerate() {
            match self.send_some(some, seconds(chunk * SEND_MAX)).await {
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
    async fn send_some(
        &self,
        messages: &[(Message, String)],
        delay_s: i32,
    ) -> Result<HashMap<String, String>, Error> {
        let entries = messages.iter().enumerate().map(|(n, (message, group))| {
            let body = text(SENDING, message)?;
            let entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
            let entry = entry.message_group_id(group).delay_seconds(delay_s).build();
            entry.map_err(|source| Error::corrupt(SENDING, source))
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let batch = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = batch.send().await.map_err(|source| Error::sdk(SENDING, source))?;
        Ok(answer.failed.into_iter().map(|failed| (failed.id, failed.code)).collect())
    }
}

#[cfg(test)]
mod tests;
