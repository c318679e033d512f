//! Endpoints: created, changed, deleted, and their secrets.

use std::time::Duration;

use domain::endpoint::{ENDPOINTS_MAX, Endpoint, GRACE, GRACE_MAX, Health, Kind, Secrets, Status};
use domain::event::{Pattern, TYPES};
use domain::id::{AccountId, EndpointId};
use domain::request::{FieldError, or_default};
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{HeaderValue, LOCATION};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::channel;
use shared::edge::http::{Problem, body_bytes, json as answer, parse, set};
use shared::edge::idempotency;
use shared::store::endpoints::Created;

use super::{App, find, or_callbacks, view};

const DESCRIPTION_CHARS_MAX: usize = 256;
const TYPES_MAX: usize = 20;
/// Writes that lose a race against a delivery's record are made again.
pub(crate) const RACES_MAX: usize = 5;

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

/// The checked parts of a [`Change`].
struct Checked {
    address: Option<String>,
    types: Option<Vec<Pattern>>,
}

pub(crate) async fn create(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let name = idempotency::key(request.headers())?;
    let New { kind, url, to, types, description, v1a } = parse(request)?;
    if !app.offers.kinds().contains(&kind) {
        return Err(not_offered(app, kind));
    }
    let given = Given { url, to, must: true };
    let checked = check(app, kind, &given, Some(&types), description.as_deref())?;
    let now = app.clock.now();
    must_take(app, kind, checked.address.as_deref(), now).await?;
    let random = || EndpointId::from_bytes(app.random.bytes());
    let endpoint = Endpoint {
        id: name.map_or_else(random, |name| EndpointId::of_key(account, &name)),
        account: account.clone(),
        kind,
        address: checked.address.unwrap_or_default(),
        types: checked.types.unwrap_or_default(),
        description,
        v1a,
        status: Status::Enabled,
        disabled_reason: None,
        secrets: Secrets::default(),
        health: Health::default(),
        extras: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let (endpoint, is_repeated) = match app.endpoints.create(&endpoint).await? {
        Created::New => {
            tracing::info!(endpoint = endpoint.id.as_str(), "endpoint.created");
            (endpoint, false)
        }
        Created::Existing(found) if is_repeat(&endpoint, &found) => (*found, true),
        Created::Existing(_) => return Err(idempotency::key_reused()),
        Created::TooMany => {
            let detail = format!("An account has at most {ENDPOINTS_MAX} endpoints. Delete one first.");
            return Err(Problem::new(StatusCode::CONFLICT, "too_many_endpoints", detail));
        }
    };
    let mut response = answer(StatusCode::CREATED, &with_secret(app, &endpoint, now));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/endpoints/{}", endpoint.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(if is_repeated { idempotency::replayed(response) } else { response })
}

/// An address that bounced or complained is no other endpoint's either: it would harm what the operator sends with.
async fn must_take(app: &App, kind: Kind, address: Option<&str>, now: Timestamp) -> Result<(), Problem> {
    let Some(address) = address.filter(|_| !kind.repeats()) else { return Ok(()) };
    if app.endpoints.is_suppressed(kind, address, now).await? {
        let detail = "cannot be this: it bounced, or its reader reported it as spam, in the last 90 days";
        return Err(refused(kind.field(), detail, Vec::new()));
    }
    Ok(())
}

/// Whether an endpoint with the id of the request's key is what the request asks for.
fn is_repeat(asked: &Endpoint, found: &Endpoint) -> bool {
    let asks =
        |one: &Endpoint| (one.kind, one.address.clone(), one.types.clone(), one.description.clone(), one.v1a);
    asks(asked) == asks(found)
}

pub(crate) async fn list(app: &App, account: &AccountId) -> Result<Response<Body>, Problem> {
    let endpoints = app.endpoints.list(account).await?;
    let own = endpoints.iter().filter(|endpoint| !endpoint.id.is_callback());
    Ok(answer(StatusCode::OK, &json!({"endpoints": own.map(view::endpoint).collect::<Vec<_>>()})))
}

pub(crate) async fn get(app: &App, account: &AccountId, id: &EndpointId) -> Result<Response<Body>, Problem> {
    Ok(answer(StatusCode::OK, &view::endpoint(&find(app, account, id).await?)))
}

pub(crate) async fn secret(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let endpoint = find(app, account, id).await?;
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
    if status == Some(Status::Disabled) {
        let allowed = [Status::Enabled, Status::Paused].map(|status| status.name().to_owned()).into();
        return Err(refused("status", "cannot be set to this", allowed));
    }
    let kind = find(app, account, id).await?.kind;
    let described = description.as_ref().and_then(Option::as_deref);
    let checked = check(app, kind, &Given { url, to, must: false }, types.as_deref(), described)?;
    must_take(app, kind, checked.address.as_deref(), app.clock.now()).await?;
    let changed = replace(app, account, id, |next, _| {
        if let Some(address) = &checked.address {
            next.move_to(address);
        }
        next.types = checked.types.clone().unwrap_or_else(|| next.types.clone());
        next.description = description.clone().unwrap_or_else(|| next.description.take());
        next.v1a = v1a.unwrap_or(next.v1a);
        if status == Some(Status::Enabled) && !next.may_be_enabled() {
            return Err(refused(
                "status",
                "cannot be this: its address refuses what is sent. Give it another `to`",
                Vec::new(),
            ));
        }
        next.status = status.unwrap_or(next.status);
        Ok(())
    })
    .await?;
    Ok(answer(StatusCode::OK, &view::endpoint(&changed)))
}

pub(crate) async fn delete(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    for _ in 0..RACES_MAX {
        let found = app.endpoints.get(account, id).await?.filter(|endpoint| !endpoint.id.is_callback());
        let endpoint = found.ok_or_else(Problem::not_found)?;
        if app.endpoints.delete(&endpoint).await? {
            return Ok(deleted(id));
        }
    }
    Err(busy())
}

fn deleted(id: &EndpointId) -> Response<Body> {
    tracing::info!(endpoint = id.as_str(), "endpoint.deleted");
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(crate) async fn rotate(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let Rotation { grace_s } =
        if body_bytes(request).is_empty() { Rotation::default() } else { parse(request)? };
    let grace = grace_s.map_or(GRACE, Duration::from_secs);
    if grace > GRACE_MAX {
        let detail = format!("must be a number of seconds from 0 to {}", GRACE_MAX.as_secs());
        return Err(refused("grace_s", &detail, Vec::new()));
    }
    let now = app.clock.now();
    let rotated = replace(app, account, id, |next, now| {
        next.secrets = next.secrets.rotated(grace, now).map_err(still_rotating)?;
        Ok(())
    })
    .await?;
    Ok(answer(StatusCode::OK, &with_secret(app, &rotated, now)))
}

/// One field that cannot be so.
fn refused(field: &'static str, detail: &str, allowed: Vec<String>) -> Problem {
    Problem::invalid(vec![FieldError { field: field.into(), detail: detail.to_owned(), allowed }])
}

fn still_rotating(until: Timestamp) -> Problem {
    let detail = format!(
        "The secret before this one signs as well until {until}. Rotate after that, or at once with \
         `grace_s` 0, which ends both."
    );
    Problem::new(StatusCode::CONFLICT, "still_rotating", detail)
}

/// Replaces an endpoint by its next version.
async fn replace(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
    change: impl Fn(&mut Endpoint, Timestamp) -> Result<(), Problem>,
) -> Result<Endpoint, Problem> {
    for _ in 0..RACES_MAX {
        let found = app.endpoints.get(account, id).await?;
        let is_first = found.is_none();
        let endpoint = or_callbacks(found, account, id)?;
        let now = app.clock.now();
        let mut changed = Ok(());
        let next = endpoint.changed(now, |next| changed = change(next, now));
        changed?;
        let is_written = match is_first {
            true => app.endpoints.put_first(&next).await?,
            false => app.endpoints.replace(&endpoint, &next, None).await?,
        };
        if is_written {
            return Ok(next);
        }
    }
    Err(busy())
}

/// Other writes were faster each time.
pub(crate) fn busy() -> Problem {
    let detail = "The endpoint changed meanwhile. It is safe to retry.";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
    Problem { retry_after: Some(Duration::from_secs(2)), ..problem }
}

/// The fields that an address can be in, and whether there must be one.
struct Given {
    url: Option<String>,
    to: Option<String>,
    must: bool,
}

impl Given {
    /// The address, in the field of its kind; `None` if there is none and need not be.
    fn address(&self, app: &App, kind: Kind) -> Result<Option<String>, FieldError> {
        let wrong =
            |field: &'static str, detail: String| FieldError { field: field.into(), detail, allowed: vec![] };
        let (name, field) = (kind.name(), kind.field());
        let (given, other, stray) = match field {
            "url" => (&self.url, "to", &self.to),
            _ => (&self.to, "url", &self.url),
        };
        if stray.is_some() {
            return Err(wrong(other, format!("is not for `{name}`, which takes `{field}`")));
        }
        match given {
            None if self.must => Err(wrong(field, format!("is missing: it is the address of a `{name}`"))),
            None => Ok(None),
            Some(text) => match kind.address(text, app.reach) {
                Ok(address) if app.offers.allows(kind, &address) => Ok(Some(address)),
                Ok(_) => Err(wrong(field, "is not among the targets that the operator allows".to_owned())),
                Err(why) if field == "url" => {
                    Err(wrong(field, format!("must be an https URL on port 443 or above 1023: {why}")))
                }
                Err(why) => Err(wrong(field, format!("is no address of a `{name}`: {why}"))),
            },
        }
    }
}

/// The owner has set up nothing for the kind.
fn not_offered(app: &App, kind: Kind) -> Problem {
    let detail = format!("cannot be `{}`: the operator has set up nothing to send it with", kind.name());
    let allowed = app.offers.kinds().iter().map(|kind| kind.name().to_owned()).collect();
    refused("kind", &detail, allowed)
}

fn check(
    app: &App,
    kind: Kind,
    given: &Given,
    types: Option<&[String]>,
    description: Option<&str>,
) -> Result<Checked, Problem> {
    let mut errors = Vec::new();
    let address = given.address(app, kind).unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    let mut wrong = |field: &'static str, detail: String, allowed: Vec<String>| {
        errors.push(FieldError { field: field.into(), detail, allowed });
    };
    let types = types.map(|types| {
        if types.is_empty() || types.len() > TYPES_MAX {
            wrong("types", format!("must name 1 to {TYPES_MAX} types of events"), vec![]);
        }
        let patterns = types.iter().map(|text| text.parse::<Pattern>());
        patterns.collect::<Result<Vec<_>, _>>().unwrap_or_else(|why| {
            let known = ["*", "job.*", "inbound.*"].into_iter().chain(TYPES).map(str::to_owned);
            wrong("types", format!("names one that is {why}"), known.collect());
            Vec::new()
        })
    });
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        wrong("description", format!("must have at most {DESCRIPTION_CHARS_MAX} characters"), vec![]);
    }
    if errors.is_empty() { Ok(Checked { address, types }) } else { Err(Problem::invalid(errors)) }
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
