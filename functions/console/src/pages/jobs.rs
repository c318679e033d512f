//! Lists of jobs.

use domain::id::JobId;
use domain::job::{Job, State};
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};
use shared::operate::jobs;

use crate::Page;
use crate::layout::{Content, credits, live, status, table, time};

const LENGTH: i32 = 50;

pub(crate) async fn list(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let wanted = page.form.get("status");
    let wanted = State::ALL.into_iter().find(|state| Some(state.name()) == wanted);
    let after = page.form.get("after").and_then(|text| decode(text, |id| id.parse::<JobId>().ok()));
    let is_first = after.is_none();
    let found = jobs::page(&page.app.jobs, page.account(), wanted, LENGTH, after).await?;
    let next = found.next.map(|(at, id)| encode(at, id.as_str()));
    let next = next.map(|after| {
        let status = wanted.map(|state| format!("&status={}", state.name())).unwrap_or_default();
        format!("{}?after={after}{status}", page.layout.at("jobs"))
    });
    let is_live = is_first && found.jobs.iter().any(|job| !job.state().is_terminal());
    let body = html! {
        form.row method="get" action=(page.layout.at("jobs")) {
            div {
                label for="status" { "Status" }
                select #status name="status" {
                    option value="" { "all" }
                    @for state in State::ALL { option selected[wanted == Some(state)] { (state.name()) } }
                }
            }
            button type="submit" { "Show" }
        }
        form.row method="get" action=(page.layout.at("jobs/find")) {
            div { label for="id" { "Job" } input #id name="id" placeholder="job_…"; }
            button type="submit" { "Open" }
        }
        (live(&html! {
            (table_of(page, &found.jobs))
            @if let Some(next) = &next { p { a href=(next) { "Older jobs" } } }
        }, is_live))
    };
    Ok(page.layout.page(page.visitor, Content { title: "Jobs", entry: "jobs", media: None, body }))
}

/// `GET jobs/find?id=`: the page of one job.
pub(crate) fn find(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let id: Option<JobId> = page.form.get("id").and_then(|id| id.parse().ok());
    let id = id.ok_or_else(Problem::not_found)?;
    Ok(page.layout.redirect(&format!("jobs/{id}")))
}

/// These jobs as links to their pages.
pub(crate) fn table_of(page: &Page<'_>, jobs: &[Job]) -> Markup {
    let row = |job: &Job| {
        let provider =
            job.current().or(job.attempts().last()).map_or("–", |attempt| attempt.provider.name());
        [
            html! { a href=(page.layout.at(&format!("jobs/{}", job.id()))) { (short(job.id())) } },
            status(job.state()),
            html! { (job.model()) },
            html! { (provider) },
            credits(job.price()),
            time(job.created_at()),
            html! { @if let Some(fault) = job.fault() { (fault.class.name()) } },
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    let headings = ["Job", "Status", "Model", "Provider", "Price", "Created (UTC)", "Error"];
    table("Jobs", headings, &rows, "There is no such job.")
}

/// The first characters of an id, enough to tell jobs apart by eye.
fn short(id: &JobId) -> String {
    id.as_str().chars().take(12).collect::<String>() + "…"
}
