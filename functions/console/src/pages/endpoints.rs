//! Endpoints, and what was delivered to each.

use domain::delivery::{self, Delivery};
use domain::endpoint::{Endpoint, Offers, Reason, Status};
use domain::id::{EndpointId, EventId};
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::http::Problem;
use shared::edge::page::{decode, encode};
use shared::operate::endpoints::{self as operate, Change, Redelivery, Rules};

use crate::Page;
use crate::layout::{Content, live, table, time};

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
    let endpoint = operate::find(&page.app.endpoints, page.account(), &id).await?;
    let cursor = page.form.get("after").and_then(|text| decode(text, |id| id.parse::<EventId>().ok()));
    let deliveries = page.app.events.deliveries(page.account(), &id, LENGTH, cursor).await?;
    let rows: Vec<_> = deliveries.items.iter().map(|one| row(page, &endpoint, one)).collect();
    let next = deliveries.next.map(|(at, event)| {
        format!("{}?after={}", page.layout.at(&format!("endpoints/{id}")), encode(at, event.as_str()))
    });
    let sent = match page.form.get("sent").and_then(|id| id.parse::<EventId>().ok()) {
        Some(event) => Some((page.app.events.delivery(&event, &id).await?, event)),
        None => None,
    };
    let is_waiting = sent.as_ref().is_some_and(|(delivery, _)| delivery.as_ref().is_none_or(waits));
    let headings = ["Created (UTC)", "Event", "Status", "Tries", "Last answer", "Action"];
    let body = html! {
        @if id.is_callback() { p { "The ends of jobs that named a " code { "callback_url" } "." } }
        @else { (facts(&endpoint)) (actions(page, &endpoint)) }
        (live(&html! {
            @if let Some((delivery, event)) = &sent { (outcome(event, delivery.as_ref())) }
            h2 { "Deliveries" }
            (table("Deliveries", headings, &rows, "Nothing was sent yet."))
            @if let Some(next) = &next { p { a href=(next) { "Older deliveries" } } }
        }, is_waiting))
    };
    Ok(page.layout.page(page.visitor, Content { title: "Endpoint", entry: "endpoints", media: None, body }))
}

/// `POST endpoints/{id}/test|redeliver|pause|resume`.
pub(crate) async fn change(page: &Page<'_>, id: &str, action: &str) -> Result<Response<Body>, Problem> {
    page.check_write()?;
    let (app, account, now) = (page.app, page.account(), page.app.clock.now());
    let id: EndpointId = id.parse().map_err(|_not_an_id| Problem::not_found())?;
    let sent = match action {
        "test" => {
            let (stores, event) = ((&app.endpoints, &app.events), EventId::from_bytes(app.random.bytes()));
            operate::send_test(stores, &app.notify, (account, &id), event, now).await?
        }
        "redeliver" => {
            let event = page.form.get("event").and_then(|event| event.parse::<EventId>().ok());
            let event = event.ok_or_else(Problem::not_found)?;
            let stores = Redelivery { endpoints: &app.endpoints, events: &app.events, deliver: &app.deliver };
            stores.to_one(account, &event, id.clone(), now).await?.event
        }
        "pause" => return set(page, &id, Status::Paused).await,
        "resume" => return set(page, &id, Status::Enabled).await,
        _ => return Err(Problem::not_found()),
    };
    Ok(page.layout.redirect(&format!("endpoints/{id}?sent={sent}")))
}

async fn set(page: &Page<'_>, id: &EndpointId, status: Status) -> Result<Response<Body>, Problem> {
    let app = page.app;
    let change = Change { status: Some(status), ..Change::default() };
    // No address is changed, which is all that these rules are about.
    let rules = Rules { reach: app.reach, offers: &Offers::default() };
    operate::change(&app.endpoints, rules, page.account(), id, change, app.clock.now()).await?;
    Ok(page.layout.redirect(&format!("endpoints/{id}")))
}

fn actions(page: &Page<'_>, endpoint: &Endpoint) -> Markup {
    let button = |action: &str, name: &str| {
        let target = page.layout.at(&format!("endpoints/{}/{action}", endpoint.id));
        html! { form method="post" action=(target) { button type="submit" { (name) } } }
    };
    html! {
        div.actions {
            @if endpoint.status == Status::Enabled { (button("test", "Send a test event")) (button("pause", "Pause")) }
            @else { (button("resume", "Resume")) }
        }
    }
}

/// What became of an event that was just sent on request.
fn outcome(event: &EventId, delivery: Option<&Delivery>) -> Markup {
    html! {
        p.card role="status" {
            code { (event) } " "
            @match delivery {
                Some(delivery) if !waits(delivery) => { (delivery_status(delivery)) ": " (last_answer(delivery)) }
                _ => "is being sent."
            }
        }
    }
}

/// Whether the first try of this round has not ended.
fn waits(delivery: &Delivery) -> bool {
    delivery.status == delivery::Status::Pending && (delivery.number == 0 || delivery.claimed)
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
            @if endpoint.kind.field().is_some() { dt { "Address" } dd { (endpoint.shown_address()) } }
            dt { "Kind" } dd { (endpoint.kind.name()) }
            dt { "Status" } dd { (status(endpoint)) }
            @if health.failures > 0 { dt { "Failures" } dd { (health.failures) " in a row" } }
            @if let Some(at) = health.failing_since { dt { "Failing since" } dd { (time(at)) " UTC" } }
            @if let Some(at) = health.last_success_at { dt { "Last success" } dd { (time(at)) " UTC" } }
        }
    }
}

fn row(page: &Page<'_>, endpoint: &Endpoint, delivery: &Delivery) -> [Markup; 6] {
    let target = page.layout.at(&format!("endpoints/{}/redeliver", endpoint.id));
    [
        time(delivery.created_at),
        html! { (delivery.kind) " " code { (delivery.event) } },
        delivery_status(delivery),
        html! { (delivery.tries.len()) },
        last_answer(delivery),
        html! {
            @if endpoint.status == Status::Enabled {
                form method="post" action=(target) {
                    input type="hidden" name="event" value=(delivery.event);
                    button.plain type="submit" aria-label={ "Send " (delivery.event) " again" } { "Send again" }
                }
            }
        },
    ]
}

fn delivery_status(delivery: &Delivery) -> Markup {
    let name = delivery.status.name();
    html! { span class={ "status " (name) } { (name) } }
}

fn last_answer(delivery: &Delivery) -> Markup {
    html! {
        @if let Some(last) = delivery.tries.last() {
            @if let Some(code) = last.status { (code) " " }
            (last.error.as_deref().unwrap_or_default())
            " after " (last.ms) " ms"
        }
    }
}
