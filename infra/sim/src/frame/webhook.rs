//! Webhooks: sent when a job changes, and retried until a 2xx.

use std::time::Duration;

use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::future::join_all;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::jobs::RemoteJob;
use super::play::WebhookPlay;
use super::simulator::Simulator;
use super::wire::Payload;

/// The delays between attempts.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(240)];

impl Simulator {
    /// Sends every due webhook and waits for the answers; returns the number of deliveries. A failed one
    /// is retried after a growing delay, up to five attempts.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn deliver_due(&self) -> anyhow::Result<usize> {
        deliver_due(self).await
    }
}

async fn deliver_due(simulator: &Simulator) -> anyhow::Result<usize> {
    let now = simulator.clock.now();
    let due = simulator.store.claim_due(now, |job| claim(job, now))?;
    let sent = join_all(due.iter().map(|(job, state_at)| deliver(simulator, job, *state_at, now))).await;
    Ok(sent.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().filter(|sent| *sent).count())
}

/// Sends the webhook of one job, if it has one, whether or not it is due.
pub(crate) async fn deliver_one(simulator: &Simulator, id: &str) -> anyhow::Result<()> {
    let now = simulator.clock.now();
    let mut state_at = None;
    let job = simulator.store.update(id, |job| state_at = claim(job, now))?;
    if let Some(job) = job {
        deliver(simulator, &job, state_at, now).await?;
    }
    Ok(())
}

/// Schedules the next attempt before this one: a crash in between delays the final webhook and never
/// loses it. Returns the time whose state is reported.
fn claim(job: &mut RemoteJob, now: Timestamp) -> Option<Timestamp> {
    let ends_at = job.ends_at();
    let webhook = job.webhook.as_mut()?;
    let state_at = webhook.state_at;
    if state_at < ends_at {
        let callback = webhook.callback.clone();
        job.plan_webhook(callback, ends_at);
    } else {
        webhook.due = RETRY_AFTER.get(webhook.tries as usize).map(|delay| now + *delay);
        webhook.tries += 1;
    }
    Some(state_at)
}

/// Sends a webhook; returns whether there was one.
async fn deliver(
    simulator: &Simulator,
    job: &RemoteJob,
    state_at: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let (Some(webhook), Some(state_at)) = (&job.webhook, state_at) else { return Ok(false) };
    let payload = simulator.wire.payload(simulator, job, state_at)?;
    let Some(mut payload) = payload else {
        simulator.store.update(&job.id, |job| accepted(job, state_at, now))?;
        return Ok(false);
    };
    match job.play.webhook {
        // Valid JSON that differs from the signed text.
        WebhookPlay::BadSignature => payload.body.push(' '),
        WebhookPlay::Unsigned => payload.signature.clear(),
        _ => {}
    }
    match post(simulator, &webhook.callback.url, payload).await {
        Ok((code, _)) if code.is_success() => {
            simulator.store.update(&job.id, |job| accepted(job, state_at, now))?;
        }
        Ok((code, _)) => tracing::debug!(job.id, status = %code, "a simulated webhook was not taken"),
        Err(error) => tracing::debug!(job.id, %error, "a simulated webhook did not arrive"),
    }
    Ok(true)
}

/// Sends a JSON payload and returns the answer.
pub(crate) async fn post(
    simulator: &Simulator,
    url: &str,
    payload: Payload,
) -> reqwest::Result<(StatusCode, Bytes)> {
    let mut call = simulator.outward.webhooks.post(url).header(CONTENT_TYPE, "application/json");
    for (name, value) in payload.signature {
        call = call.header(name, value);
    }
    // A callback URL is a secret and must not be logged.
    let answer = call.body(payload.body).send().await.map_err(reqwest::Error::without_url)?;
    Ok((answer.status(), answer.bytes().await.map_err(reqwest::Error::without_url)?))
}

fn accepted(job: &mut RemoteJob, state_at: Timestamp, now: Timestamp) {
    if let Some(webhook) = job.webhook.as_mut().filter(|webhook| webhook.state_at == state_at) {
        webhook.copies = webhook.copies.saturating_sub(1);
        webhook.tries = 0;
        webhook.due = (webhook.copies > 0).then_some(now);
    }
}
