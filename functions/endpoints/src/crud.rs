//! Endpoints: created, changed, deleted, and their secrets.

use std::time::Duration;

use domain::endpoint::{Endpoint, GRACE, Kind, Status};
use domain::id::{AccountId, EndpointId};
use domain::request::or_default;
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{HeaderValue, LOCATION};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::channel;
use shared::edge::event_view as view;
use shared::edge::http::{Problem, body_bytes, json as answer, parse, set};
use shared::edge::idempotency;
use shared::operate::endpoints::{self, Given, Rules};

use super::App;

/// `POST /v1/endpoints`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    #[serde(default, deserialize_with = "or_default")]
    kind: Kind,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    to: Option<String>,
    types: Vec<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    v1a: bool,
}

/// `PATCH /v1/endpoints/{id}`: absent fields stay. `null` takes a field away, which only a description
/// can bear.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    #[serde(deserialize_with = "set")]
    url: Option<String>,
    #[serde(deserialize_with = "set")]
    to: Option<String>,
    #[serde(deserialize_with = "set")]
    types: Option<Vec<String>>,
    #[serde(deserialize_with = "set")]
    description: Option<Option<String>>,
    #[serde(deserialize_with = "set")]
    v1a: Option<bool>,
    #[serde(deserialize_with = "set")]
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    grace_s: Option<u64>,
}

fn rules(app: &App) -> Rules<'_> {
    Rules { reach: app.reach, offers: &app.offers }
}

pub(crate) async fn create(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let name = idempotency::key(request.headers())?;
    let New { kind, url, to, types, description, v1a } = parse(request)?;
    let now = app.clock.now();
    let random = || EndpointId::from_bytes(app.random.bytes());
    let id = name.map_or_else(random, |name| EndpointId::of_key(account, &name));
    let given = Given { url, to, types: Some(types), description };
    let new = endpoints::New { kind, given, v1a };
    let created = endpoints::create(&app.endpoints, rules(app), account, id, new, now).await;
    let (endpoint, is_repeated) = created?;
    let mut response = answer(StatusCode::CREATED, &with_secret(app, &endpoint, now));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/endpoints/{}", endpoint.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(if is_repeated { idempotency::replayed(response) } else { response })
}

pub(crate) async fn list(app: &App, account: &AccountId) -> Result<Response<Body>, Problem> {
    let found = endpoints::list(&app.endpoints, account).await?;
    let shown: Vec<_> = found.iter().map(view::endpoint).collect();
    Ok(answer(StatusCode::OK, &json!({"endpoints": shown})))
}

pub(crate) async fn get(app: &App, account: &AccountId, id: &EndpointId) -> Result<Response<Body>, Problem> {
    Ok(answer(StatusCode::OK, &view::endpoint(&endpoints::find(&app.endpoints, account, id).await?)))
}

pub(crate) async fn secret(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let endpoint = endpoints::find(&app.endpoints, account, id).await?;
    Ok(answer(StatusCode::OK, &secrets(app, &endpoint, app.clock.now())))
}

pub(crate) async fn change(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    if id.is_callback() {
        return Err(Problem::not_found());
    }
    let Change { url, to, types, description, v1a, status } = parse(request)?;
    let described = description.clone().flatten();
    let given = Given { url, to, types, description: described };
    let change = endpoints::Change { given, description, v1a, status };
    let changed = endpoints::change(&app.endpoints, rules(app), account, id, change, app.clock.now()).await;
    Ok(answer(StatusCode::OK, &view::endpoint(&changed?)))
}

pub(crate) async fn delete(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    endpoints::delete(&app.endpoints, account, id).await?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(crate) async fn rotate(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let Rotation { grace_s } =
        if body_bytes(request).is_empty() { Rotation::default() } else { parse(request)? };
    let (grace, now) = (grace_s.map_or(GRACE, Duration::from_secs), app.clock.now());
    let rotated = endpoints::rotate(&app.endpoints, account, id, grace, now).await?;
    Ok(answer(StatusCode::OK, &with_secret(app, &rotated, now)))
}

fn with_secret(app: &App, endpoint: &Endpoint, now: Timestamp) -> Value {
    let mut shown = view::endpoint(endpoint);
    if let (Some(shown), Value::Object(secrets)) = (shown.as_object_mut(), secrets(app, endpoint, now)) {
        shown.extend(secrets);
    }
    shown
}

/// The secrets that are active, and the public key of the newest.
fn secrets(app: &App, endpoint: &Endpoint, now: Timestamp) -> Value {
    let keys = endpoint.secrets.active(now).map(|version| channel::key(&app.master, endpoint, version));
    let keys: Vec<_> = keys.collect();
    json!({
        "secret": keys.first().map(|key| key.secret()),
        "previous_secret": keys.get(1).map(|key| key.secret()),
        "public_key": keys.first().map(|key| key.public()),
    })
}
