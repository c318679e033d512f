//! The balance and the ledger.

use lambda_http::{Body, Response};
use maud::html;
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};
use shared::operate::budgets;
use shared::store::ledger::Line;

use crate::Page;
use crate::layout::{Content, credits, table, time};

const LENGTH: i32 = 50;

pub(crate) async fn show(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let ledger = &page.app.ledger;
    let cursor = page.form.get("after").and_then(|text| decode(text, Line::key));
    let balance = ledger.balance(page.account()).await?;
    let lines = ledger.lines(page.account(), LENGTH, cursor).await?;
    let row = |line: &Line| {
        let job = line.entry.job();
        let job =
            html! { @if let Some(id) = job { a href=(page.layout.at(&format!("jobs/{id}"))) { (id) } } };
        [time(line.at), html! { (line.entry.name()) }, credits(line.entry.amount()), job]
    };
    let rows: Vec<_> = lines.items.iter().map(row).collect();
    let next =
        lines.next.map(|(at, key)| format!("{}?after={}", page.layout.at("credits"), encode(at, &key)));
    let key = &page.visitor.key;
    let policy = page.app.submit.policy(page.account(), page.app.clock.now()).await?;
    let of_key = Some((&key.id, &key.rules));
    let now = page.app.clock.now();
    let spent = budgets::standings(&page.app.budgets, page.account(), &policy, of_key, now).await?;
    let body = html! {
        dl.cards { div { dt { "Balance" } dd { (balance) " credits" } } }
        @for budget in &spent { p { (budget) } }
        p.quiet { "A credit is $0.01. Credits are charged when a job is submitted, and refunded when it ends without a result." }
        h2 { "Ledger" }
        (table("Ledger", ["At (UTC)", "Kind", "Amount", "Job"], &rows, "There is no entry."))
        @if let Some(next) = next { p { a href=(next) { "Older entries" } } }
    };
    Ok(page.layout.page(page.visitor, Content { title: "Credits", entry: "credits", media: None, body }))
}
