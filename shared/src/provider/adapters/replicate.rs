//! Replicate: one call for every model, each with an input of its own; signed webhooks,
//! polling, canceling, and a deadline that the provider keeps.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
use crate::provider::adapters::model_input::model_input;
use crate::provider::bill::{BillOf, BillPage};
use crate::provider::call::{Answer, Call};
use crate::provider::listing::OfferPage;
use crate::provider::order::{CreateOrder, Lost};
use crate::provider::outcome::{
    Canceling, Found, Notice, Outcome, Page, Polled, RETRY_AFTER_MAX, Unreadable,
};
use crate::provider::reading::{self, asset_urls, class_of_status, items, step, text, timestamp, word};
use domain::catalog::Route;
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::job::RUNNING_MAX;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::{Secret, Verified};

const API: &str = "api.replicate.com";
/// How much of a log's end is read, in bytes.
const LOG_TAIL: usize = 500;

pub(super) struct Replicate;

impl Adapter for Replicate {
    fn capabilities(&self) -> Capabilities {
        let webhooks = Some(Scheme::StandardWebhooks);
        Capabilities { webhooks, look_up: LookUp::Likely, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["REPLICATE_API_TOKEN"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn check_route(&self, route: &Route) -> Result<(), &'static str> {
        let is_model = |endpoint: &str| endpoint.split('/').count() == 2;
        match route.endpoints().all(is_model) {
            true => Ok(()),
            false => Err("a model of Replicate is `owner/name` or `owner/name:VERSION`"),
        }
    }

    /// The provider's deadline is the attempt's.
    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut body = json!({"version": order.endpoint(), "input": model_input(order)});
        if let Some(callback) = order.callback {
            body["webhook"] = json!(callback);
            body["webhook_events_filter"] = json!(["completed"]);
        }
        let mut call = Call::new(Method::POST, API, "/v1/predictions").json(body);
        call.headers.insert("cancel-after", HeaderValue::from(RUNNING_MAX.as_secs()));
        Some(call)
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/id", fault).after(wait_in_text(answer))
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v1/predictions/{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        reading::about(answer, remote, "/id").map_or_else(|polled| polled, |prediction| polled(&prediction))
    }

    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(Call::new(Method::POST, API, format!("/v1/predictions/{}/cancel", step(&remote.id))))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        let is_over = || {
            let prediction = answer.object().unwrap_or_default();
            matches!(&*word(&prediction["status"]), "succeeded" | "failed" | "aborted")
        };
        match answer.status {
            200..=299 if is_over() => Canceling::TooLate,
            _ => reading::canceling(answer),
        }
    }

    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        Some(list(lost.window(), None))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(listed) = answer.object().filter(|body| answer.is_ok() && body["results"].is_array()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let (model, input) = (lost.order.endpoint(), model_input(&lost.order));
        // A list names model and version apart.
        let (model, version) = model.split_once(':').map_or((model, None), |(model, it)| (model, Some(it)));
        let alike = |item: &&Value| {
            let is_version = version.is_none_or(|version| item["version"] == version);
            item["model"] == model && is_version && Lost::is_input(&item["input"], &input)
        };
        let items = items(&listed["results"]).iter().filter(alike);
        let found = lost.find(items.map(|item| (&item["id"], &item["created_at"])));
        match text(&listed["next"]).map(|next| cursor(&next)) {
            None => found.into(),
            Some(Some(cursor)) => Page { found, next: Some(list(lost.window(), Some(&cursor))) },
            Some(None) => Found::Unreadable("list_too_long").into(),
        }
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event = reading::event(body, &["status"])?;
        reading::notice(&event["id"], reading::verdict(polled(&event)))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/account")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| text(&body["username"]).is_some(), fault)
    }

    /// Of a version, its model.
    fn endpoint(&self, endpoint: &str) -> Option<Call> {
        let model = endpoint.split(':').next().unwrap_or(endpoint);
        Some(Call::new(Method::GET, API, format!("/v1/models/{model}")))
    }

    /// All public models, the newest first.
    fn offers(&self, cursor: Option<&str>) -> Option<Call> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("sort_by", "model_created_at").append_pair("sort_direction", "desc");
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        Some(Call::new(Method::GET, API, format!("/v1/models?{}", query.finish())))
    }

    fn read_offers(&self, answer: &Answer) -> Option<OfferPage> {
        let body = answer.object().filter(|body| answer.is_ok() && body["results"].is_array())?;
        let name = |model: &Value| Some(format!("{}/{}", text(&model["owner"])?, text(&model["name"])?));
        let endpoints = items(&body["results"]).iter().filter_map(name).collect();
        Some(OfferPage { endpoints, next: text(&body["next"]).and_then(|next| cursor(&next)) })
    }

    /// Predictions have no amount.
    fn bill(&self, of: &BillOf<'_>, part: usize, cursor: Option<&str>) -> Option<Call> {
        (part == 0).then(|| list((of.period.since, of.period.until), cursor))
    }

    fn read_bill(&self, _: &BillOf<'_>, _: Option<&str>, answer: &Answer) -> Option<BillPage> {
        let listed = answer.object().filter(|body| answer.is_ok() && body["results"].is_array())?;
        let next = match text(&listed["next"]) {
            Some(next) => Some(cursor(&next)?),
            None => None,
        };
        BillPage::of(items(&listed["results"]), next, |item| {
            (&item["id"], timestamp(&item["created_at"]), &Value::Null)
        })
    }
}

/// The call that lists the predictions of the period.
fn list((from, to): (Timestamp, Timestamp), cursor: Option<&str>) -> Call {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("created_after", &from.to_string())
        .append_pair("created_before", &to.to_string())
        .extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    Call::new(Method::GET, API, format!("/v1/predictions?{}", query.finish()))
}

/// The place in the list that the address of its next page names: calls go to ours.
fn cursor(next: &str) -> Option<String> {
    let next = Url::parse(next).ok()?;
    next.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

/// The state of a prediction.
fn polled(prediction: &Value) -> Polled {
    match &*word(&prediction["status"]) {
        "starting" | "processing" => Polled::Pending,
        // Replicate deletes input and output one hour after the end.
        "succeeded" if prediction["data_removed"] == true => Polled::Ended(Verdict::Gone),
        "succeeded" => {
            let text = reading::says(&prediction["error"]).or_else(|| prediction["logs"].as_str().map(tail));
            reading::finished(asset_urls(texts(&prediction["output"])), None, text)
        }
        "failed" => reading::broke(failure(prediction), None),
        // Its deadline passed before it ran.
        word @ "aborted" => Polled::Ended(timed_out(word, Some(MicroUsd(0)))),
        word @ "canceled" if is_at_deadline(prediction) => Polled::Ended(timed_out(word, None)),
        "canceled" => Polled::Ended(Verdict::Canceled { cost: None }),
        _ => Polled::Unreadable("unknown_status"),
    }
}

/// The last lines of a log, with the error.
fn tail(log: &str) -> &str {
    let start = log.len().saturating_sub(LOG_TAIL);
    let start = (start..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
    log[start..].trim()
}

/// The text is the model's own, and what of it is billed is not known.
fn failure(prediction: &Value) -> Fault {
    let text = reading::says(&prediction["error"]).unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let policy = ["nsfw", "sensitive", "flagged", "moderation", "e005"];
    let class = match policy.iter().any(|word| lower.contains(word)) {
        true => ErrorClass::ContentPolicy,
        false => ErrorClass::Unknown,
    };
    Fault::new(class, error_code(text), Billed::Unknown).saying(Some(text))
}

fn is_at_deadline(prediction: &Value) -> bool {
    let (end, deadline) = (timestamp(&prediction["completed_at"]), timestamp(&prediction["deadline"]));
    end.zip(deadline).is_some_and(|(end, deadline)| end >= deadline)
}

fn timed_out(word: &str, cost: Option<MicroUsd>) -> Verdict {
    let billed = if cost == Some(MicroUsd(0)) { Billed::No } else { Billed::Unknown };
    Verdict::Broke { fault: Fault::new(ErrorClass::Timeout, Some(word), billed), cost }
}

/// The code at the end of an error text: `E005` of `... (E005)`.
fn error_code(text: &str) -> Option<&str> {
    let code = text.trim_end().strip_suffix(')')?.rsplit_once('(')?.1;
    let digits = code.strip_prefix('E')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(code)
}

/// The names that an output has for its file, before any others.
const FILES: [&str; 6] = ["video", "output", "file", "url", "image", "images"];

/// The texts in an output, which may be a text, a list or an object of any depth. Of an object, those
/// of members with the name of a file come first, and previews last.
fn texts(output: &Value) -> Vec<&Value> {
    match output {
        Value::String(_) => vec![output],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            let place = |name: &str| {
                let is_preview = ["thumb", "preview", "poster", "cover"].iter().any(|it| name.contains(it));
                (is_preview, FILES.iter().position(|file| *file == name).unwrap_or(FILES.len()))
            };
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| place(name));
            fields.into_iter().flat_map(|(_, value)| texts(value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The wait in a text, if there is no header: `... resets in ~30s.`
fn wait_in_text(answer: &Answer) -> Option<Duration> {
    let problem = answer.object().filter(|_| answer.status == 429)?;
    let text = problem["detail"].as_str().filter(|_| !answer.headers.contains_key(RETRY_AFTER))?;
    let (_, wait) = text.split_once("resets in ~")?;
    let seconds = wait.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    Fault::new(class_of_status(answer.status), None, Billed::No).saying(reading::says(&body))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn the_wait_that_a_text_asks_for_is_kept() {
        let throttled = |text: &str, headers: HeaderMap| {
            let body = json!({"detail": text}).to_string().into();
            match Replicate.read_create(&Answer { status: 429, headers, body }) {
                Outcome::Refused { retry_after, .. } => retry_after,
                other => panic!("{other:?}"),
            }
        };
        let text = "Request was throttled. Your rate limit resets in ~30s.";
        assert_eq!(throttled(text, HeaderMap::new()), Some(Duration::from_secs(30)));
        let headers = [(RETRY_AFTER, HeaderValue::from(7))].into_iter().collect();
        assert_eq!(throttled(text, headers), None, "the header is read by the client");
        assert_eq!(throttled("Request was throttled.", HeaderMap::new()), None);
        assert_eq!(throttled("resets in ~99999999s", HeaderMap::new()), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Replicate)
            .some("create", "auth insufficient_funds invalid_request rate_limited server_error")
            .some("poll", "finished broke gone pending canceled timeout content_policy unknown")
            .some("webhook", "finished broke canceled null");
    }
}
