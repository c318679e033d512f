//! The provider's media host: the rendered film of a remote job, without a key.

use std::convert::Infallible;
use std::time::Duration;

use async_stream::stream;
use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use shared::domain::time::Timestamp;

use super::create::pause;
use super::directive::{AssetPlay, caption};
use super::jobs::{Phase, RemoteJob};
use super::video::{self, Film};
use super::wire::{Answer, query};
use super::{Simulator, lock};

/// Rendered films kept in memory; a film that fell out is rendered again, to the same bytes.
const FILMS_MAX: usize = 64;
const TRICKLES: usize = 20;
const TRICKLE_EVERY: Duration = Duration::from_millis(100);

/// The job id in `/media/{id}.mp4`.
pub(super) fn id(path: &str) -> Option<&str> {
    path.strip_prefix("/media/")?.strip_suffix(".mp4")
}

/// The address of the film. `issued` starts the clock of an expiry; without it the end does.
pub(super) fn url(simulator: &Simulator, job: &RemoteJob, issued: Option<Timestamp>) -> String {
    let plain = format!("{}/media/{}.mp4", simulator.base(), job.id);
    issued.map_or(plain.clone(), |issued| format!("{plain}?issued={}", issued.as_millis()))
}

pub(super) async fn answer(simulator: &Simulator, call: &Parts, id: &str) -> anyhow::Result<Answer> {
    let now = simulator.clock.now();
    let Some(job) = simulator.store.get(id)?.filter(|job| is_there(job, now)) else {
        return Ok(StatusCode::NOT_FOUND.into());
    };
    let mut downloads = 0;
    if matches!(job.play.asset, Some(AssetPlay::Broken(_) | AssetPlay::Cut(_))) {
        downloads = simulator.store.update(id, |job| job.downloads += 1)?.map_or(0, |job| job.downloads);
    }
    match job.play.asset {
        Some(AssetPlay::Missing) => return Ok(StatusCode::NOT_FOUND.into()),
        Some(AssetPlay::Broken(times)) if downloads <= times => {
            return Ok(StatusCode::INTERNAL_SERVER_ERROR.into());
        }
        Some(AssetPlay::Expires(span)) => {
            let issued = query(call, "issued").and_then(|millis| millis.parse().ok());
            if now >= issued.map_or(job.ends_at(), Timestamp::from_millis) + span {
                return Ok((StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into());
            }
        }
        Some(AssetPlay::Redirect) => {
            return Ok((StatusCode::FOUND, [(LOCATION, "http://169.254.169.254/latest/meta-data/")]).into());
        }
        Some(AssetPlay::Html) => return Ok(Html("<html><body>This link has moved.</body></html>").into()),
        Some(AssetPlay::Broken(_) | AssetPlay::Cut(_) | AssetPlay::Slow) | None => {}
    }
    let film = film(simulator, &job).await?;
    let length = film.len();
    let body = match job.play.asset {
        Some(AssetPlay::Cut(times)) if downloads <= times => half(film),
        Some(AssetPlay::Slow) => trickle(film),
        _ => Body::from(film),
    };
    Ok(mp4(length, body).into())
}

fn is_there(job: &RemoteJob, now: Timestamp) -> bool {
    !job.deleted && job.phase(now) == Phase::Succeeded
}

fn mp4(length: usize, body: Body) -> Response {
    ([(CONTENT_TYPE, "video/mp4".to_owned()), (CONTENT_LENGTH, length.to_string())], body).into_response()
}

/// The first half; the connection then breaks, short of the announced length.
fn half(film: Bytes) -> Body {
    Body::from_stream(stream! {
        yield Ok(film.slice(..film.len() / 2));
        // Lets the server send what it has before the error tears the connection down.
        tokio::task::yield_now().await;
        yield Err(std::io::Error::other("the download is cut on purpose"));
    })
}

fn trickle(film: Bytes) -> Body {
    Body::from_stream(stream! {
        for drop in film.chunks(film.len().div_ceil(TRICKLES)) {
            yield Ok::<_, Infallible>(film.slice_ref(drop));
            pause(TRICKLE_EVERY).await;
        }
    })
}

async fn film(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Bytes> {
    let order = Film { caption: caption(&job.prompt), seconds: job.seconds, aspect: job.aspect };
    if let Some(film) = lock(&simulator.desk.films).get(&order) {
        return Ok(film.clone());
    }
    let ordered = order.clone();
    let film = Bytes::from(tokio::task::spawn_blocking(move || video::render(&ordered)).await??);
    let mut films = lock(&simulator.desk.films);
    if films.len() >= FILMS_MAX {
        films.clear();
    }
    films.insert(order, film.clone());
    Ok(film)
}
