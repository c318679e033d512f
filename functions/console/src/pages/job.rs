//! One job: what became of it, what it cost, its file, and how to ask for it again.

use domain::attempt::Attempt;
use domain::id::JobId;
use domain::job::{Job, State};
use domain::request::JobRequest;
use domain::upload::Upload;
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::dialect::native::ErrorView;
use shared::edge::http::Problem;
use shared::operate::cancel::Canceled;
use shared::operate::read;
use shared::store::audit::History;

use crate::Page;
use crate::layout::{Content, credits, live, status, table, time};

pub(crate) async fn show(page: &Page<'_>, id: &JobId) -> Result<Response<Body>, Problem> {
    let history = History::read(&page.app.table, id).await?;
    let history =
        history.filter(|history| history.job.account() == page.account()).ok_or_else(Problem::not_found)?;
    let job = &history.job;
    let link = read::link(&page.app.media, job, page.app.clock.now()).await?;
    // Even before there is a file: it appears by itself in the same page.
    let media = Some(page.app.media.origin(page.app.clock.now()).await?);
    let body = html! {
        (live(&html! {
            (facts(&history))
            @if let Some(fault) = job.fault() { (why(page, job, fault)) }
            @if let Some(link) = &link { (film(job, &link.url)) }
            @if can_cancel(job) {
                form method="post" action=(page.layout.at(&format!("jobs/{id}/cancel"))) {
                    button.danger type="submit" { "Cancel this job" }
                }
            }
            h2 { "Attempts" }
            (attempts(job.attempts()))
            h2 { "Timeline" }
            (timeline(&history))
            h2 { "Ledger" }
            (ledger(&history))
        }, !job.state().is_terminal()))
        h2 { "As curl" }
        pre tabindex="0" { code { (curl(&repeatable(&history.request))) } }
        @if repeatable(&history.request) != history.request { p.quiet { "Images that came with the request are not part of it." } }
        p { a href={ (page.layout.at("playground")) "?from=" (id) } { "The same again in the playground" } }
    };
    Ok(page.layout.page(page.visitor, Content { title: id.as_str(), entry: "jobs", media, body }))
}

/// `POST jobs/{id}/cancel`.
pub(crate) async fn cancel(page: &Page<'_>, id: &JobId) -> Result<Response<Body>, Problem> {
    page.check_write()?;
    let job = read::job(&page.app.jobs, page.account(), id).await?.ok_or_else(Problem::not_found)?;
    match page.app.cancel.request(job, page.app.clock.now()).await? {
        Canceled::Requested(job) => Ok(page.layout.redirect(&format!("jobs/{}", job.id()))),
        Canceled::TooLate(job) => Err(Problem::too_late_to_cancel(&job)),
    }
}

fn can_cancel(job: &Job) -> bool {
    !job.state().is_terminal() && job.state() != State::Settling && job.stop().is_none()
}

fn facts(history: &History) -> Markup {
    let (job, request) = (&history.job, &history.request);
    let refund = job.refund_for_cancel().filter(|_| job.state().is_terminal());
    html! {
        dl.facts {
            dt { "Status" } dd { (status(job.state())) @if job.stop().is_some() && !job.state().is_terminal() { " (cancel requested)" } }
            dt { "Model" } dd { (job.model()) }
            dt { "Prompt" } dd { (request.prompt) }
            @if let Some(secs) = request.duration_s { dt { "Length" } dd { (secs) " s" } }
            dt { "Resolution" } dd { (request.resolution) @if let Some(ratio) = &request.aspect_ratio { ", " (ratio) } }
            dt { "Price" } dd { (credits(job.price())) }
            @if let Some(refund) = refund { dt { "Refund" } dd { (credits(refund)) } }
            dt { "Created" } dd { (time(job.created_at())) " UTC" }
            dt { "Updated" } dd { (time(job.updated_at())) " UTC" }
            @for (name, value) in &request.metadata { dt { (name) } dd { (value) } }
        }
    }
}

/// Why the job failed, and what became of its price.
fn why(page: &Page<'_>, job: &Job, fault: &domain::verdict::Fault) -> Markup {
    let error = ErrorView::new(fault);
    html! {
        div.card role="status" {
            p { strong.bad { (error.code) } " " (error.message) }
            @if let Some(code) = error.provider_code { p.quiet { "The provider's own code: " code { (code) } } }
            p {
                @match job.refund_for_cancel() {
                    Some(refund) if refund == job.price() => { "The price was refunded in full." }
                    Some(refund) => { (credits(refund)) " were refunded: what the provider may bill is kept." }
                    None => { "The refund follows when the provider's answer is known." }
                }
                " " a href=(page.layout.at("credits")) { "Ledger" }
            }
        }
    }
}

fn film(job: &Job, url: &str) -> Markup {
    let Some(media) = job.media() else { return html! {} };
    let is_image = media.content_type.starts_with("image/");
    html! {
        p.film {
            @if is_image { img src=(url) alt="The generated image"; }
            @else { video src=(url) controls preload="metadata" {} }
        }
        p.quiet { (media.content_type) ", " (media.bytes) " bytes, SHA-256 " code { (media.sha256) } " · " a href=(url) { "Download" } }
    }
}

fn attempts(attempts: &[Attempt]) -> Markup {
    let row = |attempt: &Attempt| {
        let error = attempt.fault.as_ref().map(ErrorView::new);
        [
            html! { (attempt.number) },
            html! { (attempt.route) @if attempt.simulated { " (simulated)" } },
            html! { (attempt.phase.name()) },
            time(attempt.started_at),
            html! { @if let Some(at) = attempt.ended_at { (time(at)) } },
            html! { @if let Some(error) = error { (error.code) ": " (error.message) } },
        ]
    };
    let rows: Vec<_> = attempts.iter().map(row).collect();
    table(
        "Attempts",
        ["No.", "Route", "Status", "Started", "Ended", "Error"],
        &rows,
        "No provider was called yet.",
    )
}

fn timeline(history: &History) -> Markup {
    let created = [time(history.job.created_at()), html! { "created" }, html! {}];
    let moves = history.moves.iter().map(|moved| {
        let attempt = (moved.attempt > 0).then_some(moved.attempt);
        [
            time(moved.at),
            html! { (status(moved.state)) },
            html! { (moved.event) @if let Some(number) = attempt { ", attempt " (number) } },
        ]
    });
    let rows: Vec<_> = std::iter::once(created).chain(moves).collect();
    table("Timeline", ["At (UTC)", "Status", "What happened"], &rows, "")
}

fn ledger(history: &History) -> Markup {
    let rows: Vec<_> = history
        .lines
        .iter()
        .map(|line| [time(line.at), html! { (line.entry.name()) }, credits(line.entry.amount())])
        .collect();
    table("Ledger", ["At (UTC)", "Kind", "Amount"], &rows, "There is no entry.")
}

/// A request that can be sent again: without the images that came with it, whose names are no URLs.
pub(super) fn repeatable(request: &JobRequest) -> JobRequest {
    let mut request = request.clone();
    for url in [&mut request.image_url, &mut request.last_frame_url] {
        url.take_if(|url| Upload::named(url.as_str()).is_some());
    }
    request
}

/// The request as a command for a shell. `API` and `KEY` stay names: no key is part of a page.
fn curl(request: &JobRequest) -> String {
    let body = serde_json::to_string(request).unwrap_or_default().replace('\'', r"'\''");
    format!(
        "curl \"$API/v1/jobs\" -H \"Authorization: Bearer $KEY\" \\\n  -H \"Idempotency-Key: $(uuidgen)\" \\\n  -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_prompt_ends_no_word_of_the_shell() {
        let request = JobRequest { prompt: "it's; rm -rf /".to_owned(), ..JobRequest::default() };
        assert!(curl(&request).contains(r"it'\''s; rm -rf /"), "{}", curl(&request));
    }
}
