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
        "jobs.overdue" => {
            format!("A job is {} s past its check.", body["data"]["longest_s"])
        }
        "ledger.mismatch" => format!("The money of job {} does not match its state.", text("/data/job")),
        "credits.low" => "The balance is low.".to_owned(),
        "credits.granted" => "Credits were granted.".to_owned(),
        "endpoint.disabled" => {
            format!("Endpoint {} was disabled ({}).", text("/data/endpoint"), text("/data/reason"))
        }
        "endpoint.test" => "This is a test event of Genmux.".to_owned(),
        _ => format!("Event {kind}."),
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
        assert_eq!(line(r#"{"type": "budget.reached"}"#), "Event budget.reached.");
        assert_eq!(line("broken"), "Event .");
    }
}
