//! The balance, purchases and the ledger.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use maud::html;
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};
use shared::operate::budgets;
use shared::store::ledger::Line;

use super::topups;
use crate::Page;
use crate::layout::{Content, credits, table, time};

const LENGTH: i32 = 50;
/// Purchases on one page.
const PURCHASES: i32 = 10;

pub(crate) async fn show(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    page_with(page, None).await
}

/// The page, with what kept credits from being bought, and the status of that answer.
pub(crate) async fn page_with(
    page: &Page<'_>,
    wrong: Option<(StatusCode, String)>,
) -> Result<Response<Body>, Problem> {
    let (app, account, now) = (page.app, page.account(), page.app.clock.now());
    let cursor = page.form.get("after").and_then(|text| decode(text, Line::key));
    let balance = app.ledger.balance(account).await?;
    let lines = app.ledger.lines(account, LENGTH, cursor).await?;
    let rows: Vec<_> = lines.items.iter().map(|line| row(page, line)).collect();
    let next =
        lines.next.map(|(at, key)| format!("{}?after={}", page.layout.at("credits"), encode(at, &key)));
    let older = page.form.get("before").and_then(|text| decode(text, |id| id.parse().ok()));
    let bought = app.purchases.list(account, PURCHASES, older).await?;
    let older = bought
        .next
        .map(|(at, id)| format!("{}?before={}", page.layout.at("credits"), encode(at, id.as_str())));
    let key = &page.visitor.key;
    let policy = app.submit.policy(account, now).await?;
    let spent = budgets::standings(&app.budgets, account, &policy, Some((&key.id, &key.rules)), now).await?;
    let is_sold = !app.till.on().is_empty();
    // What may be sent again is sent as the same form.
    let again = wrong.as_ref().filter(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE);
    let again = again.and_then(|_| page.form.get("form"));
    let body = html! {
        @if let Some((_, text)) = &wrong { p.bad role="alert" { (text) } }
        dl.cards { div { dt { "Balance" } dd { (balance) " credits" } } }
        @for budget in &spent { p { (budget) } }
        p.quiet { "A credit is $0.01. Credits are charged when a job is submitted, and refunded when it ends without a result." }
        (topups::form(page, again))
        @if is_sold || !bought.items.is_empty() {
            h2 { "Purchases" }
            (topups::rows(page, &bought.items))
            @if let Some(older) = older { p { a href=(older) { "Older purchases" } } }
        }
        h2 { "Ledger" }
        (table("Ledger", ["At (UTC)", "Kind", "Amount", "Of"], &rows, "There is no entry."))
        @if let Some(next) = next { p { a href=(next) { "Older entries" } } }
    };
    let content = Content { title: "Credits", entry: "credits", media: None, body };
    let mut response = page.layout.page(page.visitor, content);
    if let Some((status, _)) = wrong {
        *response.status_mut() = status;
    }
    Ok(response)
}

fn row(page: &Page<'_>, line: &Line) -> [maud::Markup; 4] {
    let of = match (line.entry.job(), line.entry.topup()) {
        (Some(job), _) => Some((format!("jobs/{job}"), job.to_string())),
        (None, Some(topup)) => Some((format!("credits/{topup}"), topup.to_string())),
        (None, None) => None,
    };
    let of = html! { @if let Some((path, id)) = of { a href=(page.layout.at(&path)) { (id) } } };
    [time(line.at), html! { (line.entry.name()) }, credits(line.entry.amount()), of]
}
