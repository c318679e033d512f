//! Polls that go wrong in the middle of a run.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::create::gateway_page;
use super::directive::StatusPlay;

const JUNK_BYTES: usize = 1 << 20;

/// The answer in place of the true one, or none if the truth is to be told.
pub(super) fn spoil(play: Option<StatusPlay>, truth: &Value) -> Option<Response> {
    Some(match play? {
        StatusPlay::Backwards => return None,
        StatusPlay::Unknown => {
            let mut other = truth.clone();
            other["status"] = json!("REHEARSING");
            json_text(other.to_string())
        }
        StatusPlay::Empty => json_text(String::new()),
        StatusPlay::Html => gateway_page(),
        StatusPlay::Junk => json_text("\u{1}junk{[".repeat(JUNK_BYTES / 7 + 1)),
        StatusPlay::Truncated => {
            let mut text = truth.to_string();
            text.truncate(text.len() / 2);
            json_text(text)
        }
    })
}

fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
