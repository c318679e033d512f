//! Endpoints, and what was delivered to each.

use domain::delivery::Delivery;
use domain::endpoint::{Endpoint, Reason};
use domain::id::{EndpointId, EventId};
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};

use crate::Page;
use crate::layout::{Content, table, time};

const LENGTH: i32 = 50;

pub(crate) async fn list(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let endpoints = page.app.endpoints.list(page.account()).await?;
    let row = |endpoint: &Endpoint| {
        let types: Vec<_> = endpoint.types.iter().map(|pattern| pattern.as_str()).collect();
        [
            html! { a href=(page.layout.at(&format!("endpoints/{}", endpoint.id))) { (endpoint.shown_address()) } },
            html! { (endpoint.kind.name()) },
            status(endpoint),
            html! { (types.join(" ")) },
            html! { (endpoint.description.as_deref().unwrap_or_default()) },
        ]
    };
    let rows: Vec<_> = endpoints.iter().map(row).collect();
    let body = html! {
        (table("Endpoints", ["Address", "Kind", "Status", "Events", "Description"], &rows, "This account has no endpoint."))
        p { "Endpoints are created by the API:" }
        pre tabindex="0" { code { "curl \"$API/v1/endpoints\" -H \"Authorization: Bearer $KEY\" \\\n  -d '{\"url\": \"https://hooks.example.com/genmux\", \"types\": [\"job.*\"]}'" } }
        p { a href=(page.layout.at("endpoints/ep_callback")) { "Deliveries to callback URLs" } }
    };
    Ok(page.layout.page(page.visitor, Content { title: "Endpoints", entry: "endpoints", media: None, body }))
}

pub(crate) async fn show(page: &Page<'_>, id: &str) -> Result<Response<Body>, Problem> {
    let id: EndpointId = id.parse().map_err(|_not_an_id| Problem::not_found())?;
    let found = page.app.endpoints.get(page.account(), &id).await?;
    if found.is_none() && id != EndpointId::callback() {
        return Err(Problem::not_found());
    }
    let cursor = page.form.get("after").and_then(|text| decode(text, |id| id.parse::<EventId>().ok()));
    let deliveries = page.app.events.deliveries(page.account(), &id, LENGTH, cursor).await?;
    let rows: Vec<_> = deliveries.items.iter().map(row).collect();
    let next = deliveries.next.map(|(at, event)| {
        format!("{}?after={}", page.layout.at(&format!("endpoints/{id}")), encode(at, event.as_str()))
    });
    let body = html! {
        @if let Some(endpoint) = &found { (facts(endpoint)) } @else { p { "The ends of jobs that named a " code { "callback_url" } "." } }
        h2 { "Deliveries" }
        (table("Deliveries", ["Created (UTC)", "Event", "Status", "Tries", "Last answer"], &rows, "Nothing was sent yet."))
        @if let Some(next) = next { p { a href=(next) { "Older deliveries" } } }
        p { "To send one again:" }
        pre tabindex="0" { code { "curl -X POST \"$API/v1/events/evt_…/redeliver\" -H \"Authorization: Bearer $KEY\"" } }
    };
    Ok(page.layout.page(page.visitor, Content { title: "Endpoint", entry: "endpoints", media: None, body }))
}

fn status(endpoint: &Endpoint) -> Markup {
    let name = endpoint.status.name();
    html! {
        span class={ "status " (name) } { (name) }
        @if let Some(reason) = endpoint.disabled_reason.map(Reason::name) { " (" (reason) ")" }
    }
}

fn facts(endpoint: &Endpoint) -> Markup {
    let health = &endpoint.health;
    html! {
        dl.facts {
            dt { "Address" } dd { (endpoint.shown_address()) }
            dt { "Kind" } dd { (endpoint.kind.name()) }
            dt { "Status" } dd { (status(endpoint)) }
            @if health.failures > 0 { dt { "Failures" } dd { (health.failures) " in a row" } }
            @if let Some(at) = health.failing_since { dt { "Failing since" } dd { (time(at)) " UTC" } }
            @if let Some(at) = health.last_success_at { dt { "Last success" } dd { (time(at)) " UTC" } }
        }
    }
}

fn row(delivery: &Delivery) -> [Markup; 5] {
    let name = delivery.status.name();
    let last = delivery.tries.last();
    [
        time(delivery.created_at),
        html! { (delivery.kind) " " code { (delivery.event) } },
        html! { span class={ "status " (name) } { (name) } },
        html! { (delivery.tries.len()) },
        html! {
            @if let Some(last) = last {
                @if let Some(code) = last.status { (code) " " }
                (last.error.as_deref().unwrap_or_default())
                " after " (last.ms) " ms"
            }
        },
    ]
}
