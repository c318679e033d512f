//! WebSocket connections to the events of an account: what a client may ask for, and what it is sent.
//!
//! A socket is a faster poll. The events of its endpoint are recorded whether a client is connected or not, and
//! a client that connects again asks for those since the last one that it has seen.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::Event;
use crate::id::{AccountId, EndpointId, EventId, JobId};
use crate::time::Timestamp;

/// Open connections of one endpoint.
pub const CONNECTIONS_MAX: usize = 20;
/// Jobs that one connection may watch by name.
pub const WATCHED_MAX: usize = 100;
/// Events that one request replays.
pub const REPLAYED_MAX: usize = 100;
/// How long a ticket opens a connection.
pub const TICKET_FOR: Duration = Duration::from_secs(60);
/// How long a connection is kept: API Gateway closes it after two hours.
pub const CONNECTION_FOR: Duration = Duration::from_secs(2 * 3_600 + 600);
/// Events are recorded by several functions at once: one that is a little older than the last one seen may have
/// been recorded after it.
const OVERLAP: Duration = Duration::from_secs(60);

/// The endpoint whose events a ticket or a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    pub account: AccountId,
    pub endpoint: EndpointId,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// By API Gateway.
    pub id: String,
    pub subscriber: Subscriber,
    /// The jobs whose events it is sent; `None`: all events of its endpoint.
    pub watched: Option<Vec<JobId>>,
}

impl Connection {
    pub fn wants(&self, event: &Event) -> bool {
        match &self.watched {
            None => true,
            Some(jobs) => event.job.as_ref().is_some_and(|job| jobs.contains(job)),
        }
    }
}

/// What a client sends: one object with any of these members.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Command {
    /// `watch`: a list of jobs, or null for everything.
    pub watch: Option<Option<Vec<JobId>>>,
    /// `since`: the last event that was seen.
    pub since: Option<EventId>,
    /// `ping`: anything, which is returned.
    pub ping: Option<Value>,
}

impl Command {
    /// # Errors
    ///
    /// What is wrong, in a sentence for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let members: Map<String, Value> = serde_json::from_str(text)
            .map_err(|_other| "A message is a JSON object with `watch`, `since` or `ping`.".to_owned())?;
        if members.is_empty() {
            return Err("The message asks for nothing: send `watch`, `since` or `ping`.".to_owned());
        }
        let mut command = Self::default();
        for (name, value) in members {
            match name.as_str() {
                "watch" => command.watch = Some(jobs(&value)?),
                "since" => command.since = Some(event(&value)?),
                "ping" => command.ping = Some(value),
                _ => return Err("A member of the message is none of `watch`, `since` and `ping`.".to_owned()),
            }
        }
        Ok(command)
    }
}

fn jobs(value: &Value) -> Result<Option<Vec<JobId>>, String> {
    let wrong = || format!("`watch` is a list of at most {WATCHED_MAX} ids of jobs, or null for all events.");
    if value.is_null() {
        return Ok(None);
    }
    let ids = value.as_array().filter(|ids| ids.len() <= WATCHED_MAX).ok_or_else(wrong)?;
    let id = |id: &Value| id.as_str().and_then(|id| id.parse().ok()).ok_or_else(wrong);
    ids.iter().map(id).collect::<Result<_, _>>().map(Some)
}

fn event(value: &Value) -> Result<EventId, String> {
    let id = value.as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| "`since` is the id of an event: the last one that you have seen.".to_owned())
}

/// The time from which events are replayed to a client that has seen this one.
pub fn replayed_from(seen: &Event) -> Timestamp {
    seen.created_at.minus(OVERLAP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(number: u8) -> JobId {
        JobId::from_bytes([number; 16])
    }

    #[test]
    fn a_message_asks_for_any_of_three_things() {
        let (one, seen) = (job(1), EventId::of(&["seen"]));
        let text = json!({"watch": [one], "since": seen, "ping": {"n": 1}}).to_string();
        let whole = Command { watch: Some(Some(vec![one])), since: Some(seen), ping: Some(json!({"n": 1})) };
        assert_eq!(Command::parse(&text), Ok(whole));
        let all = Command { watch: Some(None), ..Command::default() };
        assert_eq!(Command::parse(r#"{"watch": null}"#), Ok(all));
        let null = Command { ping: Some(Value::Null), ..Command::default() };
        assert_eq!(Command::parse(r#"{"ping": null}"#), Ok(null));
    }

    #[test]
    fn every_other_message_is_refused_in_a_sentence() {
        let many = json!({"watch": vec![job(1); WATCHED_MAX + 1]}).to_string();
        for text in [
            "",
            "ping",
            "[]",
            "{}",
            r#"{"ping": 1, "pong": 1}"#,
            r#"{"watch": "job_a"}"#,
            r#"{"watch": ["job_A"]}"#,
            r#"{"watch": [null]}"#,
            r#"{"since": null}"#,
            r#"{"since": "job_a"}"#,
            &many,
        ] {
            let refused = Command::parse(text).unwrap_err();
            assert!(refused.ends_with('.'), "{text}: {refused}");
        }
    }

    #[test]
    fn a_connection_that_watches_jobs_is_sent_no_other_events() {
        let now = Timestamp::from_secs(1_000_000);
        let subscriber =
            Subscriber { account: "acct_a".parse().unwrap(), endpoint: EndpointId::from_bytes([1; 16]) };
        let event =
            Event::new(EventId::of(&["a"]), subscriber.account.clone(), "credits.low", &json!({}), now);
        let of_job = Event { job: Some(job(1)), ..event.clone() };
        let mut connection = Connection { id: "a=".to_owned(), subscriber, watched: None };
        assert!(connection.wants(&event) && connection.wants(&of_job));
        connection.watched = Some(vec![job(2), job(1)]);
        assert!(!connection.wants(&event) && connection.wants(&of_job));
        connection.watched = Some(Vec::new());
        assert!(!connection.wants(&of_job));
    }
}
