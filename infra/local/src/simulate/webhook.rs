//! Webhooks: sent when a job changes, and sent again until somebody says 2xx.

use std::time::Duration;

use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::future::join_all;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::Simulator;
use super::directive::WebhookPlay;
use super::jobs::RemoteJob;
use super::wire::Payload;

pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// From one failed try to the next; no further try after the last.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(240)];

pub(super) async fn deliver_due(simulator: &Simulator) -> anyhow::Result<usize> {
    let now = simulator.clock.now();
    let due = simulator.store.claim_due(now, |job| claim(job, now))?;
    let sent = join_all(due.iter().map(|(job, tells)| deliver(simulator, job, *tells, now))).await;
    Ok(sent.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().filter(|sent| *sent).count())
}

/// Sends the webhook of one job whether or not it is due; nothing to send is no error.
pub(super) async fn deliver_one(simulator: &Simulator, id: &str) -> anyhow::Result<()> {
    let now = simulator.clock.now();
    let mut tells = None;
    let job = simulator.store.update(id, |job| tells = claim(job, now))?;
    if let Some(job) = job {
        deliver(simulator, &job, tells, now).await?;
    }
    Ok(())
}

/// Plans the next try before this one is made: a crash in between costs a delay, never the webhook
/// of the end. Gives the time whose state is to be told.
fn claim(job: &mut RemoteJob, now: Timestamp) -> Option<Timestamp> {
    let ends_at = job.ends_at();
    let webhook = job.webhook.as_mut()?;
    let tells = webhook.tells;
    if tells < ends_at {
        let callback = webhook.callback.clone();
        job.plan_webhook(callback, ends_at);
    } else {
        webhook.due = RETRY_AFTER.get(webhook.tries as usize).map(|delay| now + *delay);
        webhook.tries += 1;
    }
    Some(tells)
}

/// Whether there was something to send.
async fn deliver(
    simulator: &Simulator,
    job: &RemoteJob,
    tells: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let (Some(webhook), Some(tells)) = (&job.webhook, tells) else { return Ok(false) };
    let payload = simulator.wire.payload(simulator, job, tells)?;
    let Some(mut payload) = payload else {
        simulator.store.update(&job.id, |job| accepted(job, tells, now))?;
        return Ok(false);
    };
    match job.play.webhook {
        // JSON all the same, but not what was signed.
        WebhookPlay::BadSignature => payload.body.push(' '),
        WebhookPlay::Unsigned => payload.signature.clear(),
        _ => {}
    }
    match post(simulator, &webhook.callback.url, payload).await {
        Ok((code, _)) if code.is_success() => {
            simulator.store.update(&job.id, |job| accepted(job, tells, now))?;
        }
        Ok((code, _)) => tracing::debug!(job.id, status = %code, "a simulated webhook was not taken"),
        Err(error) => tracing::debug!(job.id, %error, "a simulated webhook did not arrive"),
    }
    Ok(true)
}

/// Sends a payload of JSON and waits for what the receiver says to it.
pub(super) async fn post(
    simulator: &Simulator,
    url: &str,
    payload: Payload,
) -> reqwest::Result<(StatusCode, Bytes)> {
    let mut call = simulator.outward.webhooks.post(url).header(CONTENT_TYPE, "application/json");
    for (name, value) in payload.signature {
        call = call.header(name, value);
    }
    // A callback URL opens a door: errors must not carry it into a log.
    let answer = call.body(payload.body).send().await.map_err(reqwest::Error::without_url)?;
    Ok((answer.status(), answer.bytes().await.map_err(reqwest::Error::without_url)?))
}

fn accepted(job: &mut RemoteJob, tells: Timestamp, now: Timestamp) {
    if let Some(webhook) = job.webhook.as_mut().filter(|webhook| webhook.tells == tells) {
        webhook.copies = webhook.copies.saturating_sub(1);
        webhook.tries = 0;
        webhook.due = (webhook.copies > 0).then_some(now);
    }
}
