//! The provider's media host: the rendered video or image of a remote job.

use std::convert::Infallible;
use std::time::Duration;

use async_stream::stream as generate;
use axum::body::Body;
use axum::response::{Html, IntoResponse};
use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};

use super::create::{pause, with_retry_after};
use super::directive::caption;
use super::jobs::{Medium, Phase, RemoteJob};
use super::play::AssetPlay;
use super::simulator::{Simulator, lock};
use super::video::{self, Picture};
use super::wire::{Answer, Inbound};

/// Rendered media kept in memory. Dropped media is rendered again, to the same bytes.
const KEPT_MAX: usize = 64;
const TRICKLES: usize = 20;
const TRICKLE_EVERY: Duration = Duration::from_millis(100);

/// The URL of the media, unless the provider has its own kind of URL. An expiry counts from `issued`, or
/// else from the end of the run.
pub(crate) fn url(simulator: &Simulator, job: &RemoteJob, issued: Option<Timestamp>) -> String {
    let ending = match job.medium {
        Medium::Video { .. } => "mp4",
        Medium::Image => "png",
    };
    let plain = format!("{}/media/{}.{ending}", simulator.base(), job.id);
    issued.map_or(plain.clone(), |issued| format!("{plain}?issued={}", issued.as_millis()))
}

/// Answers a download. The key has been checked.
pub(crate) async fn answer(simulator: &Simulator, call: &Inbound, id: &str) -> anyhow::Result<Answer> {
    let now = simulator.clock.now();
    let Some(job) = simulator.store.get(id)?.filter(|job| is_there(job, now)) else {
        return Ok(StatusCode::NOT_FOUND.into());
    };
    let mut downloads = 0;
    if matches!(job.play.asset, Some(AssetPlay::Broken(_) | AssetPlay::Busy(_) | AssetPlay::Cut(_))) {
        downloads = simulator.store.update(id, |job| job.downloads += 1)?.map_or(0, |job| job.downloads);
    }
    if let Some(refused) = refused(simulator, call, &job, downloads)? {
        return Ok(refused);
    }
    let mut job = job;
    if job.play.asset == Some(AssetPlay::Other) {
        job.medium = match job.medium {
            Medium::Video { .. } => Medium::Image,
            Medium::Image => Medium::Video { seconds: 1 },
        };
    }
    let bytes = bytes(simulator, &job).await?;
    Ok(served(&job, downloads, bytes))
}

/// The answer in place of the file, if its play has one.
fn refused(
    simulator: &Simulator,
    call: &Inbound,
    job: &RemoteJob,
    downloads: u32,
) -> anyhow::Result<Option<Answer>> {
    Ok(Some(match job.play.asset {
        Some(AssetPlay::Missing) => StatusCode::NOT_FOUND.into(),
        Some(AssetPlay::Broken(times)) if downloads <= times => StatusCode::INTERNAL_SERVER_ERROR.into(),
        Some(AssetPlay::Busy(times)) if downloads <= times => {
            let busy = StatusCode::SERVICE_UNAVAILABLE.into_response();
            with_retry_after(simulator, busy, job.play.retry_after)?.into()
        }
        Some(AssetPlay::Expires(span, code)) => {
            let issued = call.query("issued").and_then(|millis| millis.parse().ok());
            if simulator.clock.now() < issued.map_or(job.ends_at(), Timestamp::from_millis) + span {
                return Ok(None);
            }
            (StatusCode::from_u16(code)?, "<Error><Code>AccessDenied</Code></Error>").into()
        }
        Some(AssetPlay::Redirect) => {
            (StatusCode::FOUND, [(LOCATION, "http://169.254.169.254/latest/meta-data/")]).into()
        }
        Some(AssetPlay::Html) => Html("<html><body>This link has moved.</body></html>").into(),
        Some(
            AssetPlay::Broken(_)
            | AssetPlay::Busy(_)
            | AssetPlay::Cut(_)
            | AssetPlay::Slow
            | AssetPlay::Trickle(_)
            | AssetPlay::Endless
            | AssetPlay::Half
            | AssetPlay::Other,
        )
        | None => return Ok(None),
    }))
}

/// The file, as its play delivers it.
fn served(job: &RemoteJob, downloads: u32, bytes: Bytes) -> Answer {
    let unannounced = [(CONTENT_TYPE, mime(job.medium))];
    match job.play.asset {
        Some(AssetPlay::Endless) => return (unannounced, endless(bytes)).into(),
        Some(AssetPlay::Half) => {
            let half = stream::iter([Ok::<_, Infallible>(bytes.slice(..bytes.len() / 2))]);
            return (unannounced, Body::from_stream(half)).into();
        }
        _ => {}
    }
    let headers = [(CONTENT_TYPE, mime(job.medium).to_owned()), (CONTENT_LENGTH, bytes.len().to_string())];
    let body = match job.play.asset {
        Some(AssetPlay::Cut(times)) if downloads <= times => half(bytes),
        Some(AssetPlay::Slow) => {
            let drop = bytes.len().div_ceil(TRICKLES);
            trickle(bytes, drop, TRICKLE_EVERY)
        }
        Some(AssetPlay::Trickle(rate)) => trickle(bytes, 1, Duration::from_secs(1) / rate),
        _ => Body::from(bytes),
    };
    (headers, body).into()
}

pub(crate) fn mime(medium: Medium) -> &'static str {
    match medium {
        Medium::Video { .. } => "video/mp4",
        Medium::Image => "image/png",
    }
}

fn is_there(job: &RemoteJob, now: Timestamp) -> bool {
    !job.deleted && job.phase(now) == Phase::Succeeded
}

/// The first half; the connection then breaks, short of the announced length.
fn half(bytes: Bytes) -> Body {
    Body::from_stream(generate! {
        yield Ok(bytes.slice(..bytes.len() / 2));
        // Lets the server send what it has before the error tears the connection down.
        tokio::task::yield_now().await;
        yield Err(std::io::Error::other("the download is cut on purpose"));
    })
}

fn trickle(bytes: Bytes, drop: usize, every: Duration) -> Body {
    Body::from_stream(generate! {
        for drop in bytes.chunks(drop) {
            yield Ok::<_, Infallible>(bytes.slice_ref(drop));
            pause(every).await;
        }
    })
}

/// The media, and then 4 MB a second without an end: above the least rate, and never complete.
fn endless(bytes: Bytes) -> Body {
    let filler = Bytes::from_static(&[0; 64 * 1024]);
    Body::from_stream(generate! {
        yield Ok::<_, Infallible>(bytes);
        loop {
            yield Ok(filler.clone());
            pause(Duration::from_millis(16)).await;
        }
    })
}

/// The job's video or image, for a download or inline.
pub(crate) async fn bytes(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Bytes> {
    let picture = Picture { caption: caption(&job.prompt), medium: job.medium, aspect: job.aspect };
    if let Some(bytes) = lock(&simulator.memory.media).get(&picture) {
        return Ok(bytes.clone());
    }
    let rendered = picture.clone();
    let bytes = Bytes::from(tokio::task::spawn_blocking(move || video::render(&rendered)).await??);
    let mut media = lock(&simulator.memory.media);
    if media.len() >= KEPT_MAX {
        media.clear();
    }
    media.insert(picture, bytes.clone());
    Ok(bytes)
}
