//! The result of a run at fal.

use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use super::errors::{POLICY, issue};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::media;
use crate::frame::play::{Failure, ResultPlay};
use crate::frame::simulator::Simulator;

/// The model's own status and output at the end of the run.
pub(super) fn outcome(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> (StatusCode, Value) {
    let refused = |field: &str, message: &str, kind: &str| {
        (StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": [issue(&["body", field], message, kind)]}))
    };
    let no_media = || refused("prompt", "The model produced no media for this input", "no_media_generated");
    match job.phase(now) {
        Phase::Failed(Failure::ContentPolicy) => refused("prompt", POLICY, "content_policy_violation"),
        Phase::Failed(Failure::Invalid) => {
            refused("image_url", "Failed to load the image", "image_load_error")
        }
        // They bill no error of the server, but an input that took time to be found wrong.
        Phase::Failed(Failure::Internal) if job.play.fail_bills => no_media(),
        Phase::Failed(Failure::Internal) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"detail": "Runner server error", "error_type": "runner_server_error"}),
        ),
        Phase::Failed(Failure::NoCode) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({"detail": "Something went wrong"}))
        }
        Phase::Canceled => (
            StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            json!({"detail": "Request was cancelled", "error_type": "client_cancelled"}),
        ),
        _ if job.play.result == Some(ResultPlay::NoMedia) => no_media(),
        Phase::Succeeded | Phase::Throttled | Phase::Queued | Phase::Running(_) => {
            let file = |kind: &str, ending: &str| {
                json!({"url": media::url(simulator, job, None), "content_type": kind,
                       "file_name": format!("{}.{ending}", job.id)})
            };
            let output = match job.medium {
                Medium::Video { .. } => json!({"video": file("video/mp4", "mp4")}),
                Medium::Image => json!({"images": [file("image/png", "png")], "description": ""}),
            };
            (StatusCode::OK, output)
        }
    }
}
