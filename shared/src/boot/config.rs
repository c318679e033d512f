//! What the functions' environment variables mean.

use url::Url;

use super::env::Reader;
use super::{Process, StartError};
use crate::domain::provider::Provider;
use crate::provider::{CallbackSecrets, ProviderClient, ProviderConfig, Secret, Timeouts, adapter};
use crate::store::Table;
use crate::store::queue::Queue;

/// Variables that hold a provider's key and, for tests, gateways and simulators, its origin.
pub const fn variables(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::Fal => ("FAL_KEY", "FAL_BASE_URL"),
        Provider::Runway => ("RUNWAYML_API_SECRET", "RUNWAY_BASE_URL"),
    }
}

/// `TABLE`: name of the table.
pub fn table(process: &Process, read: &mut Reader<'_>) -> Table {
    Table::new(process.dynamodb(), read.required("TABLE"))
}

/// A queue by the variable that holds its URL.
pub fn queue(process: &Process, read: &mut Reader<'_>, variable: &str) -> Queue {
    Queue::new(process.sqs(), read.required(variable))
}

/// `PROVIDERS`: the providers to use, by name, separated by commas.
pub fn providers(read: &mut Reader<'_>) -> Vec<Provider> {
    let names = read.required("PROVIDERS");
    let mut providers = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(provider) => providers.push(provider),
            Err(unknown) => read.problem(format!("PROVIDERS: {unknown}")),
        }
    }
    providers
}

/// The client of every provider in `PROVIDERS`, with its key and, if set, another origin.
pub fn provider_client(read: &mut Reader<'_>) -> Result<ProviderClient, StartError> {
    let all = providers(read);
    client(read, all, |read, provider| Secret::new(read.required(variables(provider).0)))
}

/// The client of those that send webhooks, without their keys: enough to fetch what they
/// publish.
pub fn keyless_client(read: &mut Reader<'_>) -> Result<ProviderClient, StartError> {
    let mut senders = providers(read);
    senders.retain(|provider| adapter(*provider).capabilities().webhooks.is_some());
    client(read, senders, |_, _| Secret::new(""))
}

fn client(
    read: &mut Reader<'_>,
    providers: Vec<Provider>,
    key: fn(&mut Reader<'_>, Provider) -> Secret,
) -> Result<ProviderClient, StartError> {
    let mut configs = Vec::new();
    for provider in providers {
        let key = key(read, provider);
        let base_url = read.optional::<Url>(variables(provider).1, "a URL");
        configs.push(ProviderConfig { provider, key, base_url });
    }
    ProviderClient::new(configs, Timeouts::default()).map_err(StartError::Http)
}

/// `WEBHOOK_TOKEN_SECRET`: keys of the callback tokens, separated by commas: the first
/// signs, all verify, so that one can be replaced while webhooks are under way.
pub fn callback_secrets(read: &mut Reader<'_>) -> Result<CallbackSecrets, StartError> {
    let secrets = read.required("WEBHOOK_TOKEN_SECRET");
    let secrets = if secrets.is_empty() { "missing".to_owned() } else { secrets };
    CallbackSecrets::new(secrets.split(',').map(|secret| Secret::new(secret.trim())).collect())
        .map_err(StartError::CallbackSecrets)
}
