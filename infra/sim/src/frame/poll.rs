//! Calls that fail after a successful create.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::create::{self, gateway_page};
use super::jobs::{Phase, RemoteJob};
use super::play::{AnswerPlay, ResultPlay, StatusPlay};
use super::simulator::Simulator;

const JUNK_BYTES: usize = 1 << 20;
/// Of 18 bytes each: 1.5 MB.
const LOG_LINES: usize = 83_000;

/// Marks a response that the server delays, in real time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hang(pub(crate) Duration);

/// Answers a poll with the true state, or with the fault that the directives order. `word` points at
/// the status word in the true answer.
pub(crate) fn answer(
    simulator: &Simulator,
    job: &RemoteJob,
    now: Timestamp,
    code: StatusCode,
    truth: Value,
    word: &str,
) -> Response {
    spoil(simulator, job.spoilt(now), code, played(job, now, truth, word), word)
}

/// An answer as it is, or spoilt in this way.
pub(crate) fn spoil(
    simulator: &Simulator,
    how: Option<StatusPlay>,
    code: StatusCode,
    truth: Value,
    word: &str,
) -> Response {
    match how {
        // A hidden job does not get here.
        None | Some(StatusPlay::Backwards | StatusPlay::Invisible(_) | StatusPlay::Missing(_)) => {
            (code, Json(truth)).into_response()
        }
        Some(StatusPlay::Error(code)) => create::error(simulator, code),
        Some(StatusPlay::Hang(span)) => {
            let mut response = (code, Json(truth)).into_response();
            response.extensions_mut().insert(Hang(span));
            response
        }
        Some(StatusPlay::Unknown) => {
            let mut other = truth;
            if let Some(word) = other.pointer_mut(word) {
                *word = json!("REHEARSING");
            }
            json_text(other.to_string())
        }
        Some(StatusPlay::Empty) => json_text(String::new()),
        Some(StatusPlay::Html) => gateway_page(),
        Some(StatusPlay::Junk) => json_text("\u{1}junk{[".repeat(JUNK_BYTES / 7 + 1)),
        Some(StatusPlay::Truncated) => {
            let mut text = truth.to_string();
            text.truncate(text.len() / 2);
            json_text(text)
        }
    }
}

/// The true answer with the changes that the directives order. `word` points at its status word.
pub(crate) fn played(job: &RemoteJob, now: Timestamp, mut truth: Value, word: &str) -> Value {
    let (parent, word) = word.rsplit_once('/').unwrap_or_default();
    let odd = match job.play.answer {
        None => return truth,
        Some(AnswerPlay::NoFile) => {
            if job.phase(now) == Phase::Succeeded {
                without_files(&mut truth);
            }
            return truth;
        }
        Some(AnswerPlay::Long) => {
            if let Some(Value::Object(parts)) = truth.pointer_mut(parent) {
                parts.insert("logs".to_owned(), json!("100%|#####| 50/50\n".repeat(LOG_LINES)));
            }
            return truth;
        }
        Some(AnswerPlay::Null) => Value::Null,
        Some(AnswerPlay::Number) => json!(7),
    };
    if let Some(Value::Object(parts)) = truth.pointer_mut(parent) {
        let is_needed = |name: &str| {
            name == word || ["id", "name", "done", "error", "code"].iter().any(|part| name.contains(part))
        };
        for (_, part) in parts.iter_mut().filter(|(name, part)| !is_needed(name) && !names_file(part)) {
            *part = odd.clone();
        }
    }
    truth
}

fn names_file(part: &Value) -> bool {
    match part {
        Value::String(text) => text.contains("://"),
        Value::Array(items) => items.iter().any(names_file),
        Value::Object(parts) => parts.values().any(names_file),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn without_files(part: &mut Value) {
    match part {
        Value::Array(items) => {
            items.retain(|item| !(item.is_string() && names_file(item)));
            items.iter_mut().for_each(without_files);
        }
        Value::Object(parts) => {
            parts.retain(|name, part| name != "file_id" && !(part.is_string() && names_file(part)));
            parts.values_mut().for_each(without_files);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The fault of this call for the output of a finished job. Counts the call.
pub(crate) fn result_play(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Option<ResultPlay>> {
    let Some(ResultPlay::Broken(times)) = job.play.result else { return Ok(job.play.result) };
    let asked = simulator.store.update(&job.id, |job| job.results += 1)?;
    Ok(job.play.result.filter(|_| asked.is_some_and(|job| job.results <= times)))
}
