//! Making a remote job, with everything that may go wrong on the way.

use std::time::Duration;

use anyhow::Context;
use axum::response::{Html, IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::directive::{CreatePlay, Play, Refusal, WebhookPlay};
use super::jobs::RemoteJob;
use super::wire::Answer;
use super::{Simulator, webhook};

/// A valid order.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) endpoint: String,
    pub(super) prompt: String,
    pub(super) seconds: u32,
    pub(super) aspect: (u32, u32),
    pub(super) credits: u32,
    pub(super) webhook_url: Option<String>,
    pub(super) play: Play,
}

/// Plays a create: `refuse` and `accept` word the provider's answers.
pub(super) async fn play(
    simulator: &Simulator,
    order: Order,
    refuse: impl FnOnce(Refusal) -> Response,
    accept: impl FnOnce(&RemoteJob) -> Response,
) -> anyhow::Result<Answer> {
    let create = match order.play.times {
        Some(times) if simulator.store.count_create(&order.prompt)? > times => CreatePlay::Accept,
        _ => order.play.create,
    };
    match create {
        CreatePlay::Refuse(refusal) => {
            let mut response = refuse(refusal);
            if let Some(seconds) = order.play.retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            return Ok(Answer::Reply(response));
        }
        CreatePlay::DropBefore => return Ok(Answer::Hangup),
        CreatePlay::Html => return Ok((StatusCode::BAD_GATEWAY, gateway_page()).into()),
        CreatePlay::Accept | CreatePlay::DropAfter | CreatePlay::Slow(_) => {}
    }
    let early = order.play.webhook == WebhookPlay::Early;
    let job = remote_job(simulator, order)?;
    simulator.store.insert(&job)?;
    if early {
        webhook::deliver_one(simulator, &job.id).await?;
    }
    match create {
        CreatePlay::DropAfter => return Ok(Answer::Hangup),
        CreatePlay::Slow(span) => pause(span).await,
        _ => {}
    }
    Ok(Answer::Reply(accept(&job)))
}

fn remote_job(simulator: &Simulator, order: Order) -> anyhow::Result<RemoteJob> {
    let latency = match order.play.webhook {
        WebhookPlay::Early => Duration::ZERO,
        _ => order.play.latency.unwrap_or(simulator.options.latency),
    };
    let mut job = RemoteJob {
        id: uuid()?,
        gateway_id: uuid()?,
        endpoint: order.endpoint,
        prompt: order.prompt,
        seconds: order.seconds,
        aspect: order.aspect,
        credits: order.credits,
        created_at: simulator.clock.now(),
        latency,
        play: order.play,
        canceled_at: None,
        deleted: false,
        webhook: None,
        results: 0,
        downloads: 0,
    };
    if let Some(url) = order.webhook_url {
        job.order_webhook(url);
    }
    Ok(job)
}

/// A random UUID, version 4.
fn uuid() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness")?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// What a proxy shows instead of the provider's answer.
pub(super) fn gateway_page() -> Response {
    Html("<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>")
        .into_response()
}

/// Waits in real time: slowness is for the caller's own timeouts, which know no other.
#[expect(clippy::disallowed_methods, reason = "a slow provider is slow in real time")]
pub(super) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
