//! Endpoints of an account: what may be in one, and how one is made, changed and deleted. For the API, the
//! command line and the console.

mod fields;
mod redeliver;
mod send;

use std::time::Duration;

use domain::endpoint::{
    ENDPOINTS_MAX, EXTRAS_MAX, Endpoint, GRACE_MAX, Health, Kind, Offers, Secrets, Status,
};
use domain::event::Pattern;
use domain::id::{AccountId, EndpointId};
use domain::public_url::Reach;
use domain::request::FieldError;
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::endpoints::{Created, EndpointStore};

pub use fields::{Given, Named};
pub use redeliver::Redelivery;
pub use send::{first_try, recover, send_test, spend};

/// Writes that lose a race against a delivery's record are made again.
pub const RACES_MAX: usize = 5;

/// Why a use case was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("there is no such endpoint")]
    NotFound,
    #[error("{}", fields::sentence(.0))]
    Fields(Vec<FieldError>),
    #[error("An account has at most {ENDPOINTS_MAX} endpoints. Delete one first.")]
    TooMany,
    /// An endpoint with this id is another.
    #[error("an endpoint with this id is another")]
    Taken,
    #[error("The endpoint is {}. Enable it first.", .0.name())]
    NotEnabled(Status),
    #[error(
        "The secret before this one signs as well until {0}. Rotate after that, or at once with `grace_s` 0, which \
         ends both."
    )]
    StillRotating(Timestamp),
    /// And how long until it may be sent another.
    #[error(
        "An endpoint of the kind `{}` is sent at most {EXTRAS_MAX} events on request in an hour. Nothing was sent.",
        .0.name()
    )]
    SentEnough(Kind, Duration),
    #[error("The event has not been sent for the first time. It is safe to retry.")]
    NotSentYet,
    #[error("The event is just being sent to this endpoint. It is safe to retry.")]
    BeingSent,
    #[error("The endpoint changed meanwhile. It is safe to retry.")]
    Busy,
}

impl Refusal {
    fn field(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Fields(vec![FieldError { field: field.into(), detail: detail.into(), allowed: Vec::new() }])
    }
}

/// What may be in an endpoint of this deployment.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub reach: Reach,
    /// What the owner has set up.
    pub offers: &'a Offers,
}

/// An endpoint to make.
#[derive(Debug, Clone)]
pub struct New {
    pub kind: Kind,
    pub given: Given,
    pub v1a: bool,
}

/// A change; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub given: Given,
    /// With `Some(None)`, none.
    pub description: Option<Option<String>>,
    pub v1a: Option<bool>,
    pub status: Option<Status>,
}

/// Makes an endpoint under this id. A repeat returns the one that it made, and `true`.
///
/// # Errors
///
/// `Fields`, `TooMany`, `Taken`, `Store`.
pub async fn create(
    store: &EndpointStore,
    rules: Rules<'_>,
    account: &AccountId,
    id: EndpointId,
    new: New,
    now: Timestamp,
) -> Result<(Endpoint, bool), Refusal> {
    let Named { address, types } = new.given.named(rules, new.kind, true)?;
    // A repeat returns what it made, whatever became of its address since.
    if !new.kind.repeats() && store.get(account, &id).await?.is_none() {
        must_take(store, new.kind, address.as_deref(), now).await?;
    }
    let endpoint = Endpoint {
        id,
        account: account.clone(),
        kind: new.kind,
        address: address.unwrap_or_default(),
        types: types.unwrap_or_default(),
        description: new.given.description,
        v1a: new.v1a,
        status: Status::Enabled,
        disabled_reason: None,
        secrets: Secrets::default(),
        health: Health::default(),
        extras: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    match store.create(&endpoint).await? {
        Created::New => {
            tracing::info!(endpoint = endpoint.id.as_str(), "endpoint.created");
            Ok((endpoint, false))
        }
        Created::Existing(found) if asks(&endpoint) == asks(&found) => Ok((*found, true)),
        Created::Existing(_) => Err(Refusal::Taken),
        Created::TooMany => Err(Refusal::TooMany),
    }
}

/// An address that bounced or complained is no other endpoint's either: it would harm what the operator sends with.
async fn must_take(
    store: &EndpointStore,
    kind: Kind,
    address: Option<&str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(address) = address.filter(|_| !kind.repeats()) else { return Ok(()) };
    if store.is_suppressed(kind, address, now).await? {
        let detail = "cannot be this: it takes none of our messages";
        return Err(Refusal::field(kind.field().unwrap_or("kind"), detail));
    }
    Ok(())
}

/// What a request asks for: a repeat asks for the same.
fn asks(one: &Endpoint) -> (Kind, &str, &[Pattern], Option<&str>, bool) {
    (one.kind, &one.address, &one.types, one.description.as_deref(), one.v1a)
}

/// An account's endpoints, oldest first, without what stands for its callback URLs.
pub async fn list(store: &EndpointStore, account: &AccountId) -> Result<Vec<Endpoint>, Error> {
    let mut found = store.list(account).await?;
    found.retain(|endpoint| !endpoint.id.is_callback());
    Ok(found)
}

/// The account's endpoint, or the one that stands for its callback URLs.
///
/// # Errors
///
/// `NotFound`, `Store`.
pub async fn find(store: &EndpointStore, account: &AccountId, id: &EndpointId) -> Result<Endpoint, Refusal> {
    or_callbacks(store.get(account, id).await?, account, id)
}

fn or_callbacks(found: Option<Endpoint>, account: &AccountId, id: &EndpointId) -> Result<Endpoint, Refusal> {
    let callbacks = || id.is_callback().then(|| Endpoint::of_callbacks(account.clone()));
    found.or_else(callbacks).ok_or(Refusal::NotFound)
}

/// The same, if events are sent to it.
///
/// # Errors
///
/// `NotFound`, `NotEnabled`, `Store`.
pub async fn enabled(
    store: &EndpointStore,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Endpoint, Refusal> {
    let found = find(store, account, id).await?;
    if found.status == Status::Enabled { Ok(found) } else { Err(Refusal::NotEnabled(found.status)) }
}

/// Changes an endpoint.
///
/// # Errors
///
/// `Fields`, `NotFound`, `Busy`, `Store`.
pub async fn change(
    store: &EndpointStore,
    rules: Rules<'_>,
    account: &AccountId,
    id: &EndpointId,
    change: Change,
    now: Timestamp,
) -> Result<Endpoint, Refusal> {
    if id.is_callback() {
        return Err(Refusal::NotFound);
    }
    let Change { given, description, v1a, status } = change;
    if status == Some(Status::Disabled) {
        let allowed = [Status::Enabled, Status::Paused].map(|status| status.name().to_owned()).into();
        let detail = "cannot be set to this".to_owned();
        return Err(Refusal::Fields(vec![FieldError { field: "status".into(), detail, allowed }]));
    }
    let kind = find(store, account, id).await?.kind;
    let named = given.named(rules, kind, false)?;
    must_take(store, kind, named.address.as_deref(), now).await?;
    replace(store, account, id, now, |next| {
        if let Some(address) = &named.address {
            next.move_to(address);
        }
        next.types = named.types.clone().unwrap_or_else(|| next.types.clone());
        next.description = description.clone().unwrap_or_else(|| next.description.take());
        next.v1a = v1a.unwrap_or(next.v1a);
        if status == Some(Status::Enabled) && !next.may_be_enabled() {
            return Err(Refusal::field(
                "status",
                "cannot be this: its address refuses what is sent. Give it another `to`",
            ));
        }
        next.status = status.unwrap_or(next.status);
        Ok(())
    })
    .await
}

/// Gives an endpoint another secret. The last one signs as well for `grace`.
///
/// # Errors
///
/// `Fields`, `NotFound`, `StillRotating`, `Busy`, `Store`.
pub async fn rotate(
    store: &EndpointStore,
    account: &AccountId,
    id: &EndpointId,
    grace: Duration,
    now: Timestamp,
) -> Result<Endpoint, Refusal> {
    if grace > GRACE_MAX {
        let detail = format!("must be a number of seconds from 0 to {}", GRACE_MAX.as_secs());
        return Err(Refusal::field("grace_s", detail));
    }
    replace(store, account, id, now, |next| {
        next.secrets = next.secrets.rotated(grace, now).map_err(Refusal::StillRotating)?;
        Ok(())
    })
    .await
}

/// Deletes an endpoint.
///
/// # Errors
///
/// `NotFound`, `Busy`, `Store`.
pub async fn delete(store: &EndpointStore, account: &AccountId, id: &EndpointId) -> Result<(), Refusal> {
    for _ in 0..RACES_MAX {
        let found = store.get(account, id).await?.filter(|endpoint| !endpoint.id.is_callback());
        if store.delete(&found.ok_or(Refusal::NotFound)?).await? {
            tracing::info!(endpoint = id.as_str(), "endpoint.deleted");
            return Ok(());
        }
    }
    Err(Refusal::Busy)
}

/// Replaces an endpoint by its next version.
async fn replace(
    store: &EndpointStore,
    account: &AccountId,
    id: &EndpointId,
    now: Timestamp,
    change: impl Fn(&mut Endpoint) -> Result<(), Refusal>,
) -> Result<Endpoint, Refusal> {
    for _ in 0..RACES_MAX {
        let found = store.get(account, id).await?;
        let is_first = found.is_none();
        let endpoint = or_callbacks(found, account, id)?;
        let mut changed = Ok(());
        let next = endpoint.changed(now, |next| changed = change(next));
        changed?;
        let is_written = match is_first {
            true => store.put_first(&next).await?,
            false => store.replace(&endpoint, &next, None).await?,
        };
        if is_written {
            return Ok(next);
        }
    }
    Err(Refusal::Busy)
}
