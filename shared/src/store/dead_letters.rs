//! The dead-letter queues: what lies there, and its way back.

use std::time::Duration;

use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName, QueueAttributeName};

use super::{Error, Sqs};
use domain::id::JobId;
use domain::time::Timestamp;

/// The queues of a stack, by the suffix of their names.
pub const QUEUES: [&str; 7] = ["dispatch", "poll", "settle", "fetch", "notify", "deliver", "payment"];
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
        Ok(Self::at(client, found.queue_url.unwrap_or_default()))
    }

    /// The dead-letter queue with this URL.
    pub fn at(client: Sqs, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Which of [`QUEUES`] its messages come from; `None` for another.
    pub fn queue(&self) -> Option<&'static str> {
        let is_of = |queue: &&str| self.url.ends_with(&format!("-{queue}{DEAD}"));
        QUEUES.into_iter().find(is_of)
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
}
