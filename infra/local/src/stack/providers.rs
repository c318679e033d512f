//! The providers of a stack: selected real ones, and simulators.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::catalog::{Catalog, Kind};
use domain::endpoint::Sender;
use domain::payment::{Mode, Processor};
use domain::provider::Provider;
use domain::public_url::Reach;
use futures_util::FutureExt;
use shared::boot::Clock;
use shared::boot::config::{base_url_variable, webhook_secret_variable};
use shared::boot::env::{Env, check_key};
use shared::provider::fetch::{Downloader, Image};
use shared::provider::{Scheme, adapter};
use shared::store::own_catalog::OwnCatalog;
use sim::channels::Channels;
use sim::payments::Payments;
use sim::{Outward, Simulator};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Options, every, listen, url_of};
use crate::aws::secrets::Members;

/// Environment variables, and the template parameters that they set.
const SETTINGS: [(&str, &str); 14] = [
    ("ALERT_RULES", "AlertRules"),
    ("CORS_ORIGINS", "CorsOrigins"),
    ("MEDIA_VARIANTS", "MediaVariants"),
    ("SENDERS", "Senders"),
    ("KEY_RATE_LIMIT", "KeyRateLimit"),
    ("PROVIDER_LIMITS", "ProviderLimits"),
    ("LIVE_JOBS_MAX", "LiveJobsMax"),
    ("UNCLEAR_CREATE", "UnclearCreate"),
    ("CANCEL_REFUND", "CancelRefund"),
    ("OPENAI_VIDEO_ALIASES", "OpenAiVideoAliases"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "OtlpEndpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "OtlpHeaders"),
    ("PAYMENT_MODE", "PaymentMode"),
    ("PROCESSORS", "Processors"),
];
/// The senders of a local stack.
const SENDERS: [Sender; 6] =
    [Sender::Telegram, Sender::Sendgrid, Sender::Twilio, Sender::Google, Sender::Apns, Sender::SnsPush];
/// The targets of a local stack. The last one of each service does not exist, for tests of that.
const TARGETS: [&str; 8] = [
    "arn:aws:sns:us-east-1:000000000000:events",
    "arn:aws:sns:us-east-1:000000000000:gone",
    "arn:aws:sqs:us-east-1:000000000000:events",
    "arn:aws:sqs:us-east-1:000000000000:gone",
    "arn:aws:events:us-east-1:000000000000:event-bus/events",
    "arn:aws:events:us-east-1:000000000000:event-bus/gone",
    "arn:aws:lambda:us-east-1:000000000000:function:events",
    "arn:aws:lambda:us-east-1:000000000000:function:gone",
];
/// What events may be sent to in Google's cloud here; the simulator accepts them.
const GOOGLE_TARGETS: [&str; 3] = [
    "projects/simulated-project/topics/events",
    "projects/simulated-project/topics/gone",
    "https://simulated.run.app/",
];
/// The verified sender of a local stack.
const SES_IDENTITY: &str = "arn:aws:ses:us-east-1:000000000000:identity/genmux.example";
/// The interval at which due webhooks are sent.
const DELIVER_EVERY: Duration = Duration::from_millis(100);

/// The providers of a stack. Real ones must be selected explicitly, because their calls cost money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub real: Vec<Provider>,
    pub simulated: Vec<Provider>,
}

impl Pool {
    /// The selected providers. Without any, all are simulated.
    ///
    /// # Errors
    ///
    /// If a provider is to be both.
    pub fn named(real: &[Provider], simulated: &[Provider]) -> Result<Self> {
        if real.is_empty() && simulated.is_empty() {
            return Ok(Self::simulated());
        }
        let of = |named: &[Provider]| Provider::ALL.iter().copied().filter(|p| named.contains(p)).collect();
        let both: Vec<Provider> = real.iter().copied().filter(|p| simulated.contains(p)).collect();
        ensure!(both.is_empty(), "{} cannot be both real and simulated", names(&both));
        Ok(Self { real: of(real), simulated: of(simulated) })
    }

    /// Every provider, simulated.
    pub fn simulated() -> Self {
        Self { real: Vec::new(), simulated: Provider::ALL.to_vec() }
    }

    /// In the order in which providers are listed everywhere.
    pub fn all(&self) -> Vec<Provider> {
        let is_in = |provider: &Provider| self.real.contains(provider) || self.simulated.contains(provider);
        Provider::ALL.iter().copied().filter(is_in).collect()
    }
}

/// Names, as the variables of the functions list them.
pub(super) fn names(providers: &[Provider]) -> String {
    providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(",")
}

/// What a stack knows of its providers.
#[derive(Debug)]
pub struct Providers {
    pub simulators: BTreeMap<Provider, Simulator>,
    /// The vendors of all senders, simulated.
    pub channels: Channels,
    /// All payment processors, simulated.
    pub payments: Payments,
    /// Of the template.
    pub parameters: BTreeMap<String, String>,
    /// What is in the template's secrets, by logical id.
    pub secrets: BTreeMap<&'static str, Members>,
}

/// Starts the simulators, and gathers the keys and origins of all providers.
pub async fn start(
    options: &Options,
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) -> Result<Providers> {
    let Options { pool, env, .. } = options;
    check_keys(&pool.real, env)?;
    let mut simulators = BTreeMap::new();
    let outward = outward()?;
    let mut keys = Members::new();
    let mut of_webhooks =
        Members::from([("WEBHOOK_TOKEN_SECRET".to_owned(), options.callback_secret.clone())]);
    for provider in pool.all() {
        let (setup, url_variable) = (adapter(provider).setup(), base_url_variable(provider));
        let webhooks = adapter(provider).capabilities().webhooks;
        let secret = webhook_secret_variable(provider);
        let url = if pool.real.contains(&provider) {
            let settings = setup.settings.iter().map(|(variable, _)| variable);
            for variable in setup.key.iter().chain(settings) {
                keys.extend(env.get(variable).map(|value| ((*variable).to_owned(), value.to_owned())));
            }
            of_webhooks.extend(env.get(&secret).map(|value| (secret, value.to_owned())));
            env.get(&url_variable).unwrap_or_default().to_owned()
        } else {
            let file = options.databases.as_ref().map(|folder| folder.join("providers.sqlite"));
            let (simulator, url) =
                simulator(provider, options, &outward, file.as_deref(), shutdown, servers).await?;
            let signs = webhooks.is_some_and(Scheme::has_secret);
            of_webhooks.extend(signs.then(|| (secret, simulator.webhook_secret().expose().to_owned())));
            let any_key = setup.key.iter().map(|variable| (*variable, "simulated".to_owned()));
            keys.extend(any_key.chain(simulator.credentials()).map(|(name, value)| (name.to_owned(), value)));
            simulators.insert(provider, simulator);
            url
        };
        if webhooks.is_some() {
            of_webhooks.insert(url_variable.clone(), url.clone());
        }
        keys.insert(url_variable, url);
    }
    let (channels, of_channels) = channels(options, shutdown, servers).await?;
    let (payments, of_payments, proofs) = payments(options, shutdown, servers).await?;
    let of_endpoints = Members::from([("ENDPOINT_SECRET".to_owned(), options.endpoint_secret.clone())]);
    let of_inbound = Members::from([
        ("INBOUND_TOKEN_SECRET".to_owned(), options.inbound_secret.clone()),
        ("INBOUND_SOURCES".to_owned(), env.get("INBOUND_SOURCES").unwrap_or("[]").to_owned()),
        ("INBOUND_BASE_URL".to_owned(), of_channels["CHANNEL_BASE_URL"].clone()),
    ]);
    let secrets = BTreeMap::from([
        ("ProviderKeys", keys),
        ("WebhookSecrets", of_webhooks),
        ("EndpointSecrets", of_endpoints),
        ("InboundSources", of_inbound),
        ("ChannelSecrets", of_channels),
        ("PaymentKeys", of_payments),
        ("PaymentWebhooks", proofs),
    ]);
    Ok(Providers { simulators, channels, payments, parameters: parameters(options), secrets })
}

/// The parameters of the template.
fn parameters(options: &Options) -> BTreeMap<String, String> {
    let Options { pool, env, .. } = options;
    let mut parameters = BTreeMap::from([("Providers".to_owned(), names(&pool.all()))]);
    // No rate limit on a local stack, unless configured.
    parameters.insert("KeyRateLimit".to_owned(), "0".to_owned());
    for (variable, parameter) in SETTINGS {
        parameters.extend(env.get(variable).map(|value| (parameter.to_owned(), value.to_owned())));
    }
    parameters
        .extend(options.catalog.as_deref().map(|text| ("Catalog".to_owned(), OwnCatalog::key_of(text))));
    parameters.entry("Senders".to_owned()).or_insert_with(|| SENDERS.map(Sender::name).join(","));
    let processors = || Processor::ALL.map(Processor::name).join(",");
    parameters.entry("Processors".to_owned()).or_insert_with(processors);
    parameters.entry("PaymentMode".to_owned()).or_insert_with(|| Mode::Test.name().to_owned());
    parameters.insert("EventTargets".to_owned(), TARGETS.join(","));
    parameters.insert("GoogleTargets".to_owned(), GOOGLE_TARGETS.join(","));
    parameters.insert("PushBySns".to_owned(), "true".to_owned());
    parameters.insert("SmsBySns".to_owned(), "true".to_owned());
    parameters.insert("SesIdentity".to_owned(), SES_IDENTITY.to_owned());
    parameters.insert("SesConfigurationSet".to_owned(), "genmux".to_owned());
    parameters
}

/// Starts the vendors of the senders, and gathers what those are given. None of them is ever real here.
async fn channels(
    options: &Options,
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) -> Result<(Channels, Members)> {
    let channels = Channels::new(clock(&options.clock));
    let listener = listen(0).await?;
    let url = url_of(&listener)?;
    let (serving, until) = (channels.clone(), shutdown.clone());
    servers.spawn(async move {
        serving.serve(listener, until.cancelled_owned()).await;
        Ok(())
    });
    let mut members = Members::from([("CHANNEL_BASE_URL".to_owned(), url)]);
    members.extend(Channels::credentials().into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok((channels, members))
}

/// Starts the payment processors, and gathers their credentials and what proves their webhooks. None of them is ever
/// real here.
async fn payments(
    options: &Options,
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) -> Result<(Payments, Members, Members)> {
    let payments = Payments::new(clock(&options.clock));
    let listener = listen(0).await?;
    let url = url_of(&listener)?;
    let (serving, until) = (payments.clone(), shutdown.clone());
    servers.spawn(async move {
        serving.serve(listener, until.cancelled_owned()).await;
        Ok(())
    });
    let [mut keys, proofs] = Payments::credentials()
        .map(|all| all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Members>());
    keys.insert("PAYMENT_BASE_URL".to_owned(), url);
    Ok((payments, keys, proofs))
}

/// Checks the variables of the real providers; the error names every missing or malformed one.
fn check_keys(real: &[Provider], env: &Env) -> Result<()> {
    let mut wrong = Vec::new();
    for &provider in real {
        let setup = adapter(provider).setup();
        let settings = setup.settings.iter().filter(|(_, default)| default.is_none());
        let settings = settings.map(|(variable, _)| (*variable).to_owned());
        let url = setup.homeless.then(|| base_url_variable(provider));
        let keys = setup.key.iter().map(|variable| (*variable).to_owned());
        for variable in keys.clone().chain(settings).chain(url) {
            if env.get(&variable).is_none() {
                wrong.push(format!("{variable} is missing: {provider} requires it"));
            }
        }
        for variable in keys {
            if let Err(what) = check_key(&variable, env.get(&variable).unwrap_or_default()) {
                wrong.push(format!("{variable} {what}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// The HTTP clients of simulators. They fetch images as the functions do, also from this machine.
pub fn outward() -> Result<Outward> {
    let downloader = Downloader::new(Reach::Loopback)?;
    Outward::new(Arc::new(move |url, now| {
        let downloader = downloader.clone();
        async move { Image::fetch(&downloader, &url, now).await.is_ok() }.boxed()
    }))
}

/// A clock of the stack, as simulators read it.
pub fn clock(clock: &Clock) -> sim::Clock {
    let clock = clock.clone();
    sim::Clock::new(move || clock.now())
}

/// The endpoints of a provider that an owner's own catalogue names, and what they make.
fn further(own: &str, provider: Provider) -> Result<BTreeMap<String, Kind>> {
    let catalog = Catalog::with_own(own)?.only(&[provider]);
    let routes = catalog.models().flat_map(|model| model.routes.iter().map(|route| (route, model.kind)));
    let endpoints =
        routes.flat_map(|(route, kind)| route.endpoints().map(move |endpoint| (endpoint.to_owned(), kind)));
    Ok(endpoints.collect())
}

async fn simulator(
    provider: Provider,
    options: &Options,
    outward: &Outward,
    file: Option<&Path>,
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) -> Result<(Simulator, String)> {
    let further = options.catalog.as_deref().map(|own| further(own, provider)).transpose()?;
    let further = further.unwrap_or_default();
    let settings = sim::Options { latency: options.latency, further, ..sim::Options::default() };
    let simulator = sim::open(provider, file, clock(&options.clock), settings, outward.clone())?;
    let listener = listen(0).await?;
    let url = url_of(&listener)?;
    if options.unreachable.contains(&provider) {
        return Ok((simulator, "http://127.0.0.1:1".to_owned()));
    }
    let (serve, until) = (simulator.clone(), shutdown.clone());
    servers.spawn(async move { serve.serve(listener, until.cancelled_owned()).await });
    Ok((simulator, url))
}

/// Delivers the webhooks of simulated providers and processors when they are due, until shutdown.
pub fn deliver(
    simulators: &BTreeMap<Provider, Simulator>,
    payments: Option<&Payments>,
    shutdown: &CancellationToken,
    timers: &mut JoinSet<()>,
) {
    if let Some(payments) = payments.cloned() {
        timers.spawn(every(DELIVER_EVERY, shutdown.clone(), move || {
            let payments = payments.clone();
            async move {
                payments.deliver_due().await;
                Ok(())
            }
        }));
    }
    for simulator in simulators.values() {
        let (simulator, shutdown) = (simulator.clone(), shutdown.clone());
        timers.spawn(every(DELIVER_EVERY, shutdown, move || {
            let simulator = simulator.clone();
            async move { simulator.deliver_due().await.map(|_| ()) }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_providers_are_alone_unless_others_are_named() {
        let named = |real: &[Provider], simulated: &[Provider]| Pool::named(real, simulated).unwrap();
        assert_eq!(named(&[], &[]), Pool::simulated());
        let alone = named(&[Provider::Runway, Provider::Fal], &[]);
        assert_eq!((names(&alone.all()), names(&alone.real)), ("fal,runway".into(), "fal,runway".into()));
        let mixed = named(&[Provider::Runway], &[Provider::Fal]);
        assert_eq!((names(&mixed.all()), names(&mixed.simulated)), ("fal,runway".into(), "fal".into()));
        assert_eq!(names(&named(&[], &[Provider::Luma]).all()), "luma");
        let error = Pool::named(&[Provider::Fal], &[Provider::Fal]).unwrap_err().to_string();
        assert_eq!(error, "fal cannot be both real and simulated");
    }

    #[test]
    fn every_variable_that_a_real_provider_needs_is_named() {
        let env = Env::from_pairs([("RUNWAYML_API_SECRET", "k k"), ("OPENAI_API_KEY", " k\n")]);
        let real = [Provider::Fal, Provider::Runway, Provider::Openai, Provider::Vertex];
        let error = check_keys(&real, &env).unwrap_err().to_string();
        for name in ["FAL_KEY is missing", "RUNWAYML_API_SECRET is malformed", "OPENAI_BASE_URL is missing"] {
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(error.contains("GOOGLE_APPLICATION_CREDENTIALS_JSON") && !error.contains("k k"), "{error}");
        check_keys(&[Provider::Fal], &Env::from_pairs([("FAL_KEY", "k")])).unwrap();
        check_keys(&[], &Env::default()).unwrap();
    }
}
