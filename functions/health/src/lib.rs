//! `health`: pings every configured provider and writes its gauge; compares its price list with
//! the catalogue once a day; checks dead-letter queues and the results of recent jobs. Alerts the operator.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use domain::catalog::{Catalog, Route};
use domain::event::{Event, EventType};
use domain::policy::alarm::Turn;
use domain::policy::breaker::Open;
use domain::policy::health::{Change, Condition, Gauge, Ping};
use domain::policy::rules::AlertRules;
use domain::price_list;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::join_all;
use futures_util::join;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::BoxError;
use shared::edge::http::chain;
use shared::edge::invocation;
use shared::provider::ProviderClient;
use shared::store::admission::{AdmissionStore, ProviderState};
use shared::store::dead_letters::DeadLetters;
use shared::store::events::EventStore;
use shared::store::queue::{Message, Queue};
use shared::store::watch::WatchStore;
use tracing::Instrument;

mod watch;

/// How often a provider's price list is compared.
const PRICES_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How long the look at jobs and queues may take: less than the invocation.
const JUDGE_MAX: Duration = Duration::from_secs(25);

/// Everything `health` may touch.
#[derive(Debug)]
pub struct App {
    pub admission: AdmissionStore,
    pub events: EventStore,
    pub watch: WatchStore,
    pub rules: AlertRules,
    pub dead_letters: Vec<DeadLetters>,
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
        let table = config::table(process, &mut read);
        let app = Self {
            admission: AdmissionStore::new(table.clone()),
            events: EventStore::new(table.clone()),
            watch: WatchStore::new(table),
            rules: config::alert_rules(&mut read),
            dead_letters: config::all_dead_letters(process, &mut read),
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
    let Context { request_id, env_config, .. } = &event.context;
    check_all(app).instrument(invocation(request_id, &env_config.function_name)).await
}

async fn check_all(app: &App) -> Result<(), BoxError> {
    let providers = &app.sold;
    let mut states = app.admission.states(providers).await?;
    // Concurrently: a slow provider must not delay the others.
    let checks = providers.iter().map(|provider| check(app, *provider, states.remove(provider)));
    let (checked, looked) = join!(join_all(checks.collect::<Vec<_>>()), watch::look(app));
    checked.into_iter().chain([looked]).collect()
}

async fn check(app: &App, provider: Provider, state: Option<ProviderState>) -> Result<(), BoxError> {
    let now = app.clock.now();
    let ProviderState { health, admission } = state.unwrap_or_default();
    let (before, open) =
        (health.unwrap_or_else(|| Gauge::new(now)), admission.and_then(|known| known.breaker.open));
    let (answer, took) = app.providers.ping(provider, now).await;
    let ping = match answer {
        Ok(()) => Ping::Answered { latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) },
        Err(_) => Ping::Failed,
    };
    let mut after = before.after(ping, now);
    let is_due = before.priced_at.is_none_or(|at| now.since(at) >= PRICES_EVERY);
    if is_due && answer.is_ok() {
        compare_prices(app, provider, now).await;
        after.priced_at = Some(now);
    }
    let (after, turn) = after.judged(answer.err().map(|fault| fault.class), open, now);
    let change = after.change_from(&before);
    if let Some(change) = change {
        tracing::warn!(provider = %provider, from = change.from.name(), to = change.to.name(), "provider.health_changed");
    }
    let alert = turn.map(|turn| alert(provider, &after, open, turn, now));
    if record(app, provider, &after, change.as_ref(), alert.as_ref()).await?
        && let Some(alert) = alert
    {
        announce(app, alert.event()).await;
    }
    Ok(())
}

/// An event of a provider's turn.
enum Alert {
    /// Written with the gauge.
    Ours(Event),
    /// The function that met the refusal has written it under the same id, unless it died.
    Shared(Event),
}

impl Alert {
    const fn event(&self) -> &Event {
        match self {
            Self::Ours(event) | Self::Shared(event) => event,
        }
    }
}

/// Writes a gauge with what it changes. Returns whether its event is to be sent.
async fn record(
    app: &App,
    provider: Provider,
    gauge: &Gauge,
    change: Option<&Change>,
    alert: Option<&Alert>,
) -> Result<bool, BoxError> {
    let (ours, shared) = match alert {
        Some(Alert::Ours(event)) => (Some(event), None),
        Some(Alert::Shared(event)) => (None, Some(event)),
        None => (None, None),
    };
    // First, so that a crash in between repeats it. It is sent in any case: what was sent is not sent again.
    if let Some(event) = shared {
        app.events.put(event).await?;
    }
    let written = match (change, ours) {
        (None, None) => app.admission.set_health(provider, gauge).await,
        (change, event) => app.admission.set_health_with(provider, gauge, change, event).await,
    };
    let written = written.inspect_err(|error| {
        tracing::error!(provider = %provider, error = chain(error), "gauge.not_written");
    })?;
    Ok(written || shared.is_some())
}

/// Queues the message of an event. A lost one is sent by `reconcile`.
async fn announce(app: &App, event: &Event) {
    let message = Message::Notify { event: event.id.clone() };
    if let Err(error) = app.notify.send(&message, Some(event.account.as_str()), Duration::ZERO).await {
        tracing::warn!(error = chain(&error), "message.not_queued");
    }
}

fn alert(provider: Provider, gauge: &Gauge, open: Option<Open>, turn: Turn, now: Timestamp) -> Alert {
    let condition = gauge.condition();
    let refusal = condition.needs().filter(|_| turn == Turn::Raised);
    if let Some((class, open)) = refusal.zip(open).filter(|(class, open)| *class == open.why) {
        return Alert::Shared(Event::of_refusal(provider, class.name(), open.since));
    }
    let about = [provider.name(), &gauge.version.to_string()];
    if let Some(class) = refusal {
        let data = json!({"provider": provider, "class": class.name(), "reason": null});
        return Alert::Ours(Event::of_alarm(EventType::ATTENTION, &about, &data, now));
    }
    let kind = match (turn, condition) {
        (Turn::Cleared, _) => EventType::RECOVERED,
        (Turn::Raised, Condition::Down) => EventType::DOWN,
        (Turn::Raised, _) => EventType::DEGRADED,
    };
    let data = json!({
        "provider": provider,
        "health": condition.name(),
        "failed_pings": gauge.failures,
        "latency_ms": gauge.latency_ms,
        "class": open.map(|open| open.why.name()),
        "since": gauge.since.to_string(),
    });
    Alert::Ours(Event::of_alarm(kind, &about, &data, now))
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
