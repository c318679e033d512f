//! The balance, what runs, and what became of the newest jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::job::{Job, State};
use futures_util::try_join;
use lambda_http::{Body, Response};
use maud::html;
use shared::edge::http::Problem;

use super::jobs;
use crate::Page;
use crate::layout::{Content, live};

/// How many jobs are looked at.
const NEWEST: i32 = 100;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) async fn show(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let app = page.app;
    let (newest, balance) =
        try_join!(app.jobs.list(page.account(), NEWEST, None), app.ledger.balance(page.account()))?;
    let since = app.clock.now().minus(DAY);
    let of_today: Vec<&Job> = newest.iter().filter(|job| job.created_at() >= since).collect();
    // What is counted is said, so that no number seems to be of more than it is.
    let is_all = of_today.len() < newest.len() || newest.len() < usize::try_from(NEWEST).unwrap_or(0);
    let span = if is_all { "in 24 hours" } else { "of the newest 100" };
    // Older ones may be active, too.
    let is_cut = newest.len() == usize::try_from(NEWEST).unwrap_or(0);
    let active = newest.iter().filter(|job| !job.state().is_terminal()).count();
    let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
    for job in of_today.iter().filter(|job| job.state().is_terminal()) {
        *ended.entry(job.state().name()).or_default() += 1;
    }
    let count = |state: State| ended.get(state.name()).copied().unwrap_or(0);
    let body = html! {
        (live(&html! {
            dl.cards {
                div { dt { "Balance" } dd { (balance) " credits" } }
                div { dt { "Active jobs" @if is_cut { " of the newest 100" } } dd { (active) } }
                @for state in [State::Succeeded, State::Failed, State::Canceled] {
                    div { dt { (title(state)) " " (span) } dd { (count(state)) } }
                }
            }
            h2 { "Newest jobs" }
            (jobs::table_of(page, &newest[..newest.len().min(10)]))
        }, active > 0))
        p { a href=(page.layout.at("playground")) { "Make a video" } }
    };
    let content = Content { title: "Overview", entry: "", media: None, body };
    Ok(page.layout.page(page.visitor, content))
}

fn title(state: State) -> &'static str {
    match state {
        State::Succeeded => "Succeeded",
        State::Failed => "Failed",
        _ => "Canceled",
    }
}
