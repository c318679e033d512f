//! `POST /v1/quotes`: what a job would cost, before it is submitted.

use domain::request::{JobRequest, Order};
use domain::route::offered;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use shared::edge::dialect::native::RequestView;
use shared::edge::http::{Problem, check_version, json as answer, parse};
use shared::store::keystore::Scope;

use super::{App, unpriced};

/// Takes the body of a job. Nothing is charged, and no image is fetched.
pub(crate) async fn quote(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let caller = app.callers.caller(request.headers(), Scope::Read, now).await?;
    let order = JobRequest::within(parse::<Order>(request)?, &caller.account, &app.catalog, app.reach, now);
    let mut order = order.map_err(Problem::invalid)?;
    let allowed = &caller.rules.allowed;
    allowed.check(&order, &app.catalog).map_err(Problem::not_allowed)?;
    order.providers = allowed.providers.clone().unwrap_or_default();
    order.prefer = order.prefer.or(app.submit.policy(&caller.account, now).await?.prefer);
    let terms = app.submit.prices.of(&caller.account, now).await?;
    let price = terms.quote(&order, &app.catalog).ok_or_else(unpriced)?;
    let routes = offered(&order, &app.catalog);
    let expected_s = routes.first().map(|(_, takes_s)| *takes_s);
    let routes: Vec<Value> = routes
        .iter()
        .map(|(route, takes_s)| {
            json!({"name": route.name(), "provider": route.provider, "expected_s": takes_s})
        })
        .collect();
    let body = json!({
        "price_micro_credits": price.micros(),
        "price_credits": price.to_string(),
        "price_version": terms.version(),
        "expected_s": expected_s,
        "routes": routes,
        "request": RequestView::new(&order),
    });
    Ok(answer(StatusCode::OK, &body))
}
