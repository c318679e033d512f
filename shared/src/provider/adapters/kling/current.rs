//! Kling's newer API: the model in the path, a static key, one list for all remote jobs.
//!
//! Errors have a `code` in the body, which takes precedence over the HTTP status: an account in
//! arrears gets 429, like one above its rate limit.

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use super::common::{API, PING, billed, class_of_failure, data, no_task, notice, read_create, read_ping};
use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, Lost, without_nulls};
use crate::provider::outcome::{Found, Notice, Outcome, Page, Polled, Unreadable};
use crate::provider::reading::{self, amount, asset_url, items, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Fault, Verdict};
use signatures::{Secret, Verified};

/// The model that makes several shots by default.
const MULTI_SHOT: &str = "/kling-3.0";

pub(in crate::provider::adapters) struct Kling;

impl Adapter for Kling {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::StandardWebhooks),
            look_up: LookUp::Certain,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["KLING_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let call = Call::new(Method::POST, API, format!("/{}", order.endpoint()));
        Some(call.json(input(order)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        read_create(answer, "id")
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/tasks?task_ids={}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let Some(tasks) = data(answer).filter(Value::is_array) else { return no_task(answer) };
        let is_it = |task: &&Value| text(&task["id"]).is_some_and(|id| id == remote.id);
        match items(&tasks).iter().find(is_it) {
            Some(task) => polled(task),
            None if items(&tasks).is_empty() => Polled::Ended(Verdict::Gone),
            None => Polled::Unreadable("other_job"),
        }
    }

    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        let path = format!("/tasks?external_task_ids={}", step(lost.order.reference));
        Some(Call::new(Method::GET, API, path))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(tasks) = data(answer).filter(Value::is_array) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let ours = |task: &&Value| task["external_id"] == lost.order.reference;
        let found = match items(&tasks).iter().find(ours).and_then(|task| reading::remote(&task["id"])) {
            Some(remote) => Found::Job(remote),
            None if items(&tasks).is_empty() => Found::Nothing,
            None => Found::Unreadable("other_job"),
        };
        found.into()
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let task = reading::event(body, &["id"])?;
        notice(&task["id"], polled(&task))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, PING)
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        read_ping(answer)
    }
}

/// With an image, the video follows its ratio, and prompt and images go into one list.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let settings = without_nulls(json!({
        "resolution": request.resolution,
        "duration": request.duration_s,
        "aspect_ratio": request.aspect_ratio,
        "audio": order.audio().map(|sound| if sound { "native" } else { "off" }),
        "multi_shot": order.endpoint().ends_with(MULTI_SHOT).then_some(false),
    }));
    let options = without_nulls(json!({
        "external_task_id": order.reference,
        "watermark_info": {"enabled": false},
        "callback_url": order.callback,
    }));
    let mut input = json!({"settings": settings, "options": options});
    match &request.image_url {
        None => input["prompt"] = json!(request.prompt),
        Some(first) => {
            let mut contents = vec![
                json!({"type": "prompt", "text": request.prompt}),
                json!({"type": "first_frame", "url": first}),
            ];
            let last = request.last_frame_url.iter();
            contents.extend(last.map(|url| json!({"type": "last_frame", "url": url})));
            input["contents"] = json!(contents);
        }
    }
    input
}

fn polled(task: &Value) -> Polled {
    match &*word(&task["status"]) {
        "submitted" | "processing" => Polled::Pending,
        "succeeded" => reading::finished(video(task), cost(task), task["message"].as_str()),
        "failed" => {
            let sentence = task["message"].as_str().unwrap_or_default();
            let charges = items(&task["billing"]).iter();
            let amounts: Vec<_> = charges.map(|charge| amount(&charge["amount"])).collect();
            let fault = Fault::new(class_of_failure(sentence), None, billed(&amounts));
            reading::broke(fault.saying(Some(sentence)), cost(task))
        }
        _ => Polled::Unreadable("unknown_status"),
    }
}

fn video(task: &Value) -> Option<String> {
    let outputs = items(&task["outputs"]);
    let is_video = |output: &&Value| output["type"].as_str().is_none_or(|kind| kind == "video");
    outputs.iter().filter(is_video).find_map(|output| asset_url(&output["url"]))
}

/// The charge in dollars. `None` for units of a package: their price is unknown.
fn cost(task: &Value) -> Option<MicroUsd> {
    let charges = items(&task["billing"]);
    let dollars = |charge: &Value| {
        let is_dollars = charge["charge_type"] == "cash" && charge["currency"] == "USD";
        amount(&charge["amount"]).filter(|_| is_dollars)
    };
    let total: Option<f64> = charges.iter().map(dollars).sum();
    total.filter(|_| !charges.is_empty()).map(reading::micro_usd)
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Kling)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "server_error their_timeout")
            .some("poll", "finished broke gone pending content_policy unknown_status")
            .some("look_up", "found nothing other_job");
    }
}
