//! `topups`: purchases of credits, and what is sold.

use std::convert::Infallible;

use domain::catalog::Catalog;
use domain::id::{AccountId, TopupId};
use domain::payment::purchase::Purchase;
use domain::public_url::Reach;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::json;
use shared::boot::{Clock, Process, Random, StartError, config, payments};
use shared::edge::auth::Authenticator;
use shared::edge::http::{Problem, answer, body_digest, check_version, json as respond, parse, route_key};
use shared::edge::idempotency;
use shared::edge::page::{cursor, encode, limit};
use shared::operate::topups::{Buyer, Order, Shop};
use shared::payment::Processors;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::purchases::Purchases;

/// Everything `topups` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub purchases: Purchases,
    pub processors: Processors,
    pub catalog: Catalog,
    /// Allowed hosts of return URLs.
    pub reach: Reach,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            purchases: Purchases::new(table),
            processors: payments::processors(&mut read)?,
            catalog: config::catalog(&mut read),
            reach: config::reach(&mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, route(app, &request))).await)
}

async fn route(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    check_version(request.headers())?;
    let key = route_key(request);
    let scope = if key.starts_with("GET ") { Scope::Read } else { Scope::Write };
    let account = &app.callers.account(request.headers(), scope, app.clock.now()).await?;
    let mut response = match key {
        "POST /v1/topups" => create(app, request, account).await,
        "GET /v1/topups" => list(app, request, account).await,
        "GET /v1/topups/{id}" => get(app, request, account).await,
        "GET /v1/packs" => Ok(packs(app)),
        _ => Err(Problem::no_route()),
    }?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn create(app: &App, request: &Request, account: &AccountId) -> Result<Response<Body>, Problem> {
    let id = match idempotency::key(request.headers())? {
        Some(name) => TopupId::of_key(account, &name),
        None => TopupId::from_bytes(app.random.bytes()),
    };
    let order: Order = parse(request)?;
    let buyer = Buyer { account, id, digest: body_digest(request).unwrap_or_default() };
    let shop = Shop {
        purchases: &app.purchases,
        offer: app.catalog.topups(),
        processors: &app.processors.on(),
        mode: app.processors.mode(),
        reach: app.reach,
    };
    let now = app.clock.now();
    let open = async |purchase: &Purchase| app.processors.open(purchase, now).await;
    let (purchase, is_repeated) = shop.buy(order, buyer, now, open).await?;
    let mut response = respond(StatusCode::CREATED, &purchase.shown());
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/topups/{}", purchase.id())) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(if is_repeated { idempotency::replayed(response) } else { response })
}

async fn list(app: &App, request: &Request, account: &AccountId) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let cursor = cursor(request, |text| text.parse::<TopupId>().ok())?;
    let page = app.purchases.list(account, limit, cursor).await?;
    let next = page.next.map(|(at, id)| encode(at, id.as_str()));
    let shown: Vec<_> = page.items.iter().map(Purchase::shown).collect();
    Ok(respond(StatusCode::OK, &json!({"topups": shown, "next_cursor": next})))
}

async fn get(app: &App, request: &Request, account: &AccountId) -> Result<Response<Body>, Problem> {
    let id = request.path_parameters().first("id").and_then(|id| id.parse().ok());
    let id: TopupId = id.ok_or_else(Problem::not_found)?;
    let purchase = app.purchases.get(&id).await?.filter(|purchase| purchase.account() == account);
    Ok(respond(StatusCode::OK, &purchase.ok_or_else(Problem::not_found)?.shown()))
}

/// What is sold, and by whom it can be paid.
fn packs(app: &App) -> Response<Body> {
    let topups = app.catalog.topups();
    let body = json!({
        "processors": app.processors.on(),
        "mode": app.processors.mode(),
        "packs": topups.packs,
        "amounts": topups.amounts,
    });
    respond(StatusCode::OK, &body)
}
