//! The newest files.

use domain::id::JobId;
use domain::job::{Job, State};
use futures_util::future::try_join_all;
use lambda_http::{Body, Response};
use maud::html;
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};
use shared::operate::read::{self, Link};

use crate::Page;
use crate::layout::{Content, time};

/// How many jobs are looked at for one page.
const READ: i32 = 50;
const SHOWN: usize = 24;

pub(crate) async fn show(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let app = page.app;
    let cursor = page.form.get("after").and_then(|text| decode(text, |id| id.parse::<JobId>().ok()));
    let read = app.jobs.list(page.account(), READ, cursor).await?;
    let made: Vec<&Job> = read.iter().filter(|job| job.state() == State::Succeeded).take(SHOWN).collect();
    // The next page begins after the last job that this one has seen.
    let last = if made.len() == SHOWN { made.last().copied() } else { read.last() };
    let more = made.len() == SHOWN || read.len() == usize::try_from(READ).unwrap_or(0);
    let next = last.filter(|_| more).map(|job| encode(job.created_at(), job.id().as_str()));
    let links = try_join_all(made.iter().map(|job| read::link(&app.media, job, app.clock.now()))).await?;
    let shown: Vec<(&Job, Link)> =
        made.iter().zip(links).filter_map(|(job, link)| Some((*job, link?))).collect();
    let media = Some(app.media.origin(app.clock.now()).await?);
    let body = html! {
        @if shown.is_empty() { p.quiet { "There is no file here yet." } }
        div.gallery {
            @for (job, link) in &shown {
                figure.card {
                    @if is_image(job) { img src=(link.url) alt="A generated image" loading="lazy"; }
                    @else { video src=(link.url) controls preload="metadata" aria-label="A generated video" {} }
                    figcaption {
                        a href=(page.layout.at(&format!("jobs/{}", job.id()))) { (job.model()) } " " span.quiet { (time(job.created_at())) }
                    }
                }
            }
        }
        @if let Some(after) = next { p { a href={ (page.layout.at("gallery")) "?after=" (after) } { "Older files" } } }
    };
    Ok(page.layout.page(page.visitor, Content { title: "Gallery", entry: "gallery", media, body }))
}

fn is_image(job: &Job) -> bool {
    job.media().is_some_and(|media| media.content_type.starts_with("image/"))
}
