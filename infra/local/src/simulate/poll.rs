//! Calls that go wrong after a good create.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use shared::domain::time::Timestamp;

use super::Simulator;
use super::create::{self, gateway_page};
use super::directive::{ResultPlay, StatusPlay};
use super::jobs::RemoteJob;

const JUNK_BYTES: usize = 1 << 20;

/// Marks a response that the server holds back for so long, in real time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hang(pub(super) Duration);

/// Answers a poll with the truth, or with what the play has in its place. `word` points at the
/// status word in the truth.
pub(super) fn answer(
    simulator: &Simulator,
    job: &RemoteJob,
    now: Timestamp,
    code: StatusCode,
    truth: Value,
    word: &str,
) -> Response {
    match job.spoilt(now) {
        // What hides the job is not played here.
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

fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// What the play has for this call for the output of a finished job, which is counted.
pub(super) fn result_play(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Option<ResultPlay>> {
    let Some(ResultPlay::Broken(times)) = job.play.result else { return Ok(job.play.result) };
    let asked = simulator.store.update(&job.id, |job| job.results += 1)?;
    Ok(job.play.result.filter(|_| asked.is_some_and(|job| job.results <= times)))
}
