//! fal's webhooks: signed, sent again until somebody says 2xx.

use std::time::Duration;

use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use shared::domain::time::Timestamp;

use super::directive::WebhookPlay;
use super::jobs::RemoteJob;
use super::{Simulator, fal};

pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// From one failed try to the next; no further try after the last.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(240)];

/// The account in the signed text.
pub(super) const USER_ID: &str = "github|simulated";

pub(super) async fn deliver_due(simulator: &Simulator) -> anyhow::Result<usize> {
    let now = simulator.clock.now();
    let due = simulator.store.claim_due(now, |job| claim(job, now))?;
    let sent = join_all(due.iter().map(|job| deliver(simulator, job, now))).await;
    sent.into_iter().collect::<anyhow::Result<Vec<()>>>().map(|sent| sent.len())
}

/// Sends the webhook of one job whether or not it is due; nothing to send is no error.
pub(super) async fn deliver_one(simulator: &Simulator, id: &str) -> anyhow::Result<()> {
    let now = simulator.clock.now();
    match simulator.store.update(id, |job| claim(job, now))? {
        Some(job) => deliver(simulator, &job, now).await,
        None => Ok(()),
    }
}

/// Plans the next try before this one is made: a crash in between costs a delay, never a webhook.
fn claim(job: &mut RemoteJob, now: Timestamp) {
    if let Some(webhook) = &mut job.webhook {
        webhook.due = RETRY_AFTER.get(webhook.tries as usize).map(|delay| now + *delay);
        webhook.tries += 1;
    }
}

async fn deliver(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<()> {
    let Some(webhook) = &job.webhook else { return Ok(()) };
    let body = fal::webhook_body(simulator, job).to_string();
    let mut signature = simulator.signer.sign(&job.id, USER_ID, now.as_secs(), body.as_bytes());
    if job.play.webhook == WebhookPlay::BadSignature {
        let other = if signature.starts_with('0') { "1" } else { "0" };
        signature.replace_range(..1, other);
    }
    let response = simulator
        .client
        .post(&webhook.url)
        .header(CONTENT_TYPE, "application/json")
        .header("X-Fal-Webhook-Request-Id", &job.id)
        .header("X-Fal-Webhook-User-Id", USER_ID)
        .header("X-Fal-Webhook-Timestamp", now.as_secs())
        .header("X-Fal-Webhook-Signature", signature)
        .body(body)
        .send()
        .await;
    match response {
        Ok(response) if response.status().is_success() => {
            simulator.store.update(&job.id, |job| accepted(job, now))?;
        }
        Ok(response) => {
            tracing::debug!(job.id, status = %response.status(), "a simulated webhook was not taken")
        }
        Err(error) => tracing::debug!(job.id, %error, "a simulated webhook did not arrive"),
    }
    Ok(())
}

fn accepted(job: &mut RemoteJob, now: Timestamp) {
    if let Some(webhook) = &mut job.webhook {
        webhook.copies = webhook.copies.saturating_sub(1);
        webhook.tries = 0;
        webhook.due = (webhook.copies > 0).then_some(now);
    }
}
