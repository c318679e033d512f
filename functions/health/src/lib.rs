//! `health`: pings every configured provider and writes its gauge; compares its price list with
//! the catalogue once a day.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use domain::catalog::{Catalog, Route};
use domain::event::{Event, EventType};
use domain::id::{AccountId, EventId};
use domain::policy::health::{Alert, Gauge, Ping};
use domain::price_list;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use serde_json::json;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::BoxError;
use shared::edge::http::chain;
use shared::edge::invocation;
use shared::provider::ProviderClient;
use shared::store::admission::AdmissionStore;
use shared::store::queue::{Message, Queue};
use tracing::Instrument;

/// How often a provider's price list is compared.
const PRICES_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Everything `health` may touch.
#[derive(Debug)]
pub struct App {
    pub admission: AdmissionStore,
    pub providers: ProviderClient,
    /// Providers in use.
    pub sold: Vec<Provider>,
    pub catalog: Catalog,
    pub notify: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let sold = config::providers(&mut read);
        let app = Self {
            admission: AdmissionStore::new(config::table(process, &mut read)),
            catalog: config::catalog(&mut read).only(&sold),
            sold,
            providers: config::provider_client(&mut read)?,
            notify: config::queue(process, &mut read, "NOTIFY_QUEUE_URL"),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<EventBridgeEvent>) -> Result<(), BoxError> {
    check_all(app).instrument(invocation(&event.context.request_id)).await
}

async fn check_all(app: &App) -> Result<(), BoxError> {
    let providers = &app.sold;
    let gauges = app.admission.health(providers).await?;
    // Concurrently: a slow provider must not delay the others.
    let written =
        join_all(providers.iter().map(|provider| check(app, *provider, gauges.get(provider)))).await;
    written.into_iter().collect()
}

async fn check(app: &App, provider: Provider, before: Option<&Gauge>) -> Result<(), BoxError> {
    let now = app.clock.now();
    let (answer, took) = app.providers.ping(provider, now).await;
    let ping = match answer {
        Ok(()) => Ping::Answered { latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) },
        Err(_) => Ping::Failed,
    };
    let new = Gauge::new(now);
    let before = before.unwrap_or(&new);
    let mut after = before.after(ping, now);
    let is_due = before.priced_at.is_none_or(|at| now.since(at) >= PRICES_EVERY);
    if is_due && matches!(ping, Ping::Answered { .. }) {
        compare_prices(app, provider, now).await;
        after.priced_at = Some(now);
    }
    if after.health != before.health {
        tracing::warn!(provider = %provider, from = before.health.name(), to = after.health.name(), "provider.health_changed");
    }
    let (after, alert) = after.with_alert(now);
    let event = alert.map(|alert| event(provider, &after, alert, now));
    let written = match &event {
        Some(event) => app.admission.set_health_with(provider, &after, event).await,
        None => app.admission.set_health(provider, &after).await,
    };
    let written = written.inspect_err(|error| {
        tracing::error!(provider = %provider, error = chain(error), "gauge.not_written");
    })?;
    if let Some(event) = event.filter(|_| written) {
        let message = Message::Notify { event: event.id };
        // A lost message is sent by `reconcile`.
        if let Err(error) = app.notify.send(&message, Some(event.account.as_str()), Duration::ZERO).await {
            tracing::warn!(error = chain(&error), "message.not_queued");
        }
    }
    Ok(())
}

/// The operator's event of an alert.
fn event(provider: Provider, gauge: &Gauge, alert: Alert, now: Timestamp) -> Event {
    let kind = match alert {
        Alert::Down => EventType::DOWN,
        Alert::Recovered => EventType::RECOVERED,
    };
    let data = json!({
        "provider": provider,
        "health": gauge.health.name(),
        "failed_pings": gauge.failures,
        "latency_ms": gauge.latency_ms,
        "since": gauge.since.to_string(),
    });
    let id = EventId::of(&[provider.name(), kind, &gauge.version.to_string()]);
    Event::new(id, AccountId::operator(), kind, &data, now)
}

/// Logs every price of a provider's list that differs from the catalogue.
async fn compare_prices(app: &App, provider: Provider, now: Timestamp) {
    let routes: Vec<&Route> = app.catalog.models().flat_map(|model| &model.routes).collect();
    let routes: Vec<&Route> = routes.into_iter().filter(|route| route.provider == provider).collect();
    let list = app.providers.prices(provider, &routes, now).await;
    for difference in price_list::differences(&routes, &list) {
        let ours: Vec<String> = difference.ours.iter().map(|cost| cost.0.to_string()).collect();
        tracing::warn!(
            provider = provider.name(),
            route = difference.route,
            endpoint = difference.listed.endpoint,
            unit = difference.listed.unit.name(),
            ours_micro_usd = ours.join(" "),
            theirs_micro_usd = difference.listed.price.0,
            "price.differs"
        );
    }
}
