//! An event as a line of text for people, and as an object for programs.

use serde_json::Value;

use super::client::Envelope;

/// Above a line, where a channel shows a title.
pub(super) const TITLE: &str = "Genmux";

/// An event for a program that gets no headers: its body, with its id.
pub(super) fn with_id(envelope: Envelope<'_>) -> String {
    let mut body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    body["id"] = envelope.id.into();
    // A queue refuses these two, which JSON leaves as they are.
    body.to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// What happened, in a sentence. No prompt and no link: a channel has many readers.
pub(super) fn line(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = text("/type");
    match kind {
        "job.running" | "job.succeeded" | "job.failed" | "job.canceled" => {
            let (job, model) = (text("/data/id"), text("/data/model"));
            // The job may have moved on before this was sent: its status is not what the event says.
            let what = match kind {
                "job.running" => "is running",
                "job.succeeded" => "has succeeded",
                "job.failed" => "has failed",
                _ => "was canceled",
            };
            let why = match text("/data/error/code") {
                "" => String::new(),
                code if kind == "job.failed" => format!(" ({code})"),
                _ => String::new(),
            };
            format!("Job {job} ({model}) {what}{why}.")
        }
        "provider.down" => {
            let failed = &body["data"]["failed_pings"];
            format!("Provider {} is down: {failed} pings in a row failed.", text("/data/provider"))
        }
        "provider.recovered" => format!("Provider {} has recovered.", text("/data/provider")),
        "provider.needs_attention" => {
            let (provider, class) = (text("/data/provider"), text("/data/class"));
            format!("Provider {provider} needs attention ({class}).")
        }
        "provider.degraded" => {
            format!(
                "Provider {} answers pings and makes nothing ({}).",
                text("/data/provider"),
                text("/data/class")
            )
        }
        "queue.dead_letters" | "success_rate.low" | "latency.high" | "spend.high" => {
            alarm(kind, &body["data"])
        }
        "jobs.overdue" => {
            format!("A job is {} s past its check.", body["data"]["longest_s"])
        }
        "ledger.mismatch" => format!("The money of job {} does not match its state.", text("/data/job")),
        "credits.low" => "The balance is low.".to_owned(),
        "credits.granted" => "Credits were granted.".to_owned(),
        _ if kind.starts_with("topup.") => {
            let (price, currency) = (text("/data/price"), text("/data/currency"));
            format!("Purchase of {price} {currency}: {}.", kind.trim_start_matches("topup."))
        }
        "endpoint.disabled" => {
            format!("Endpoint {} was disabled ({}).", text("/data/endpoint"), text("/data/reason"))
        }
        "endpoint.test" => "This is a test event of Genmux.".to_owned(),
        _ => format!("Event {kind}."),
    }
}

/// An alarm that is raised or cleared.
fn alarm(kind: &str, data: &Value) -> String {
    let is_over = data["status"] == "cleared";
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let minutes = data["window_s"].as_u64().unwrap_or_default() / 60;
    match kind {
        "queue.dead_letters" if is_over => {
            format!("The dead-letter queue of {} is empty again.", text("queue"))
        }
        "queue.dead_letters" => {
            format!("The dead-letter queue of {} has messages: {}.", text("queue"), data["messages"])
        }
        "success_rate.low" => {
            let again = if is_over { " again" } else { "" };
            format!(
                "{}% of {} jobs of {minutes} minutes succeeded{again}.",
                data["success_percent"], data["jobs"]
            )
        }
        "latency.high" => {
            let took = data["latency_p95_s"].as_u64().unwrap_or_default();
            let again = if is_over { " again" } else { "" };
            format!("95% of {} jobs of {minutes} minutes took at most {took} s{again}.", data["jobs"])
        }
        _ => {
            let cents = data["spend_micro_usd"].as_u64().unwrap_or_default() / 10_000;
            let word = if is_over { "no longer too much" } else { "too much" };
            format!("Jobs of {minutes} minutes cost ${}.{:02}: {word}.", cents / 100, cents % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::client::Envelope;
    use super::{line, with_id};

    #[test]
    fn an_object_has_the_events_id() {
        let envelope = Envelope { id: "evt_a", body: r#"{"type": "job.failed"}"# };
        assert_eq!(with_id(envelope), r#"{"id":"evt_a","type":"job.failed"}"#);
    }

    #[test]
    fn an_event_is_a_sentence_without_the_prompt() {
        let job = json!({"type": "job.failed", "data": {
            "id": "job_a", "model": "veo-3.1", "status": "failed", "error": {"code": "timeout"},
            "request": {"prompt": "secret"},
        }});
        assert_eq!(line(&job.to_string()), "Job job_a (veo-3.1) has failed (timeout).");
        let late = json!({"type": "job.running", "data": {
            "id": "job_a", "model": "veo-3.1", "status": "failed", "error": {"code": "timeout"},
        }});
        assert_eq!(line(&late.to_string()), "Job job_a (veo-3.1) is running.");
        let down = json!({"type": "provider.down", "data": {"provider": "fal", "failed_pings": 3}});
        assert_eq!(line(&down.to_string()), "Provider fal is down: 3 pings in a row failed.");
        let degraded = json!({"type": "provider.degraded", "data": {"provider": "fal", "class": "provider_unavailable"}});
        let said = "Provider fal answers pings and makes nothing (provider_unavailable).";
        assert_eq!(line(&degraded.to_string()), said);
        assert_eq!(line(r#"{"type": "budget.reached"}"#), "Event budget.reached.");
        assert_eq!(line("broken"), "Event .");
    }

    #[test]
    fn an_alarm_is_a_sentence_when_it_is_raised_and_another_when_it_is_over() {
        let data = json!({
            "window_s": 3_600, "queue": "poll", "messages": 2, "jobs": 20, "success_percent": 75,
            "latency_p95_s": 900, "spend_micro_usd": 41_200_000, "spend_micro_usd_max": 40_000_000,
        });
        let line = |kind: &str, status: &str| {
            let mut data = data.clone();
            data["status"] = status.into();
            line(&json!({"type": kind, "data": data}).to_string())
        };
        for (kind, raised, cleared) in [
            (
                "queue.dead_letters",
                "The dead-letter queue of poll has messages: 2.",
                "The dead-letter queue of poll is empty again.",
            ),
            (
                "success_rate.low",
                "75% of 20 jobs of 60 minutes succeeded.",
                "75% of 20 jobs of 60 minutes succeeded again.",
            ),
            (
                "latency.high",
                "95% of 20 jobs of 60 minutes took at most 900 s.",
                "95% of 20 jobs of 60 minutes took at most 900 s again.",
            ),
            (
                "spend.high",
                "Jobs of 60 minutes cost $41.20: too much.",
                "Jobs of 60 minutes cost $41.20: no longer too much.",
            ),
        ] {
            assert_eq!(line(kind, "raised"), raised);
            assert_eq!(line(kind, "cleared"), cleared);
        }
    }
}
