//! What the functions' environment variables mean.

use std::collections::BTreeMap;

use url::Url;

use super::env::Reader;
use super::{Process, StartError, own_catalog};
use crate::inbound::{Platforms, Sources, TokenKeys};
use crate::provider::{
    CallbackSecrets, CredentialId, ProviderClient, ProviderConfig, Timeouts, adapter, unspoken,
};
use crate::store::Table;
use crate::store::dead_letters::DeadLetters;
use crate::store::jobs::JobStore;
use crate::store::outbox::Outbox;
use crate::store::queue::Queue;
use crate::store::verdicts::Verdicts;
use domain::catalog::{Catalog, Kind, Mistake, Mistakes};
use domain::policy::limit::LimitTable;
use domain::policy::live::LiveMax;
use domain::policy::rules::AlertRules;
use domain::provider::Provider;
use domain::public_url::Reach;
use signatures::own::Master;
use signatures::{Secret, StandardWebhooks};

/// Variable that holds another origin of a provider, for tests, gateways and simulators.
pub fn base_url_variable(provider: Provider) -> String {
    format!("{}_BASE_URL", provider.name().to_ascii_uppercase())
}

/// Variable that holds what a provider signs its webhooks with; several, separated by commas,
/// while one replaces another.
pub fn webhook_secret_variable(provider: Provider) -> String {
    format!("{}_WEBHOOK_SECRET", provider.name().to_ascii_uppercase())
}

/// `TABLE`: name of the table.
pub fn table(process: &Process, read: &mut Reader<'_>) -> Table {
    Table::new(process.dynamodb(), read.required("TABLE"))
}

/// The catalogue: the compiled-in one, with the owner's own of `CATALOG` on top.
pub fn catalog(read: &mut Reader<'_>) -> Catalog {
    let own: Option<String> = read.optional(own_catalog::VARIABLE, "a text");
    let Some(own) = own else { return Catalog::built_in() };
    let catalog = Catalog::with_own(&own);
    let mistakes = match &catalog {
        Ok(catalog) => unspoken(catalog),
        Err(Mistakes(mistakes)) => mistakes.iter().map(Mistake::to_string).collect(),
    };
    mistakes.iter().for_each(|mistake| read.problem(format!("{}, {mistake}", own_catalog::VARIABLE)));
    catalog.unwrap_or_else(|_mistakes| Catalog::built_in())
}

/// The jobs, with the queue of their events.
pub fn jobs(process: &Process, read: &mut Reader<'_>, table: &Table) -> JobStore {
    JobStore::new(table.clone()).announcing(queue(process, read, "NOTIFY_QUEUE_URL"))
}

/// `ENDPOINT_SECRET`: the master secret of all endpoints.
pub fn endpoint_master(read: &mut Reader<'_>) -> Option<Master> {
    let master = Master::new(Secret::new(read.required("ENDPOINT_SECRET")));
    if master.is_err() {
        read.problem("ENDPOINT_SECRET must have at least 32 characters");
    }
    master.ok()
}

/// A queue by the variable that holds its URL.
pub fn queue(process: &Process, read: &mut Reader<'_>, variable: &str) -> Queue {
    Queue::new(process.sqs(), read.required(variable))
}

/// `DEAD_LETTER_QUEUE_URL`: where a function moves messages that cannot succeed.
pub fn dead_letters(process: &Process, read: &mut Reader<'_>) -> Queue {
    queue(process, read, "DEAD_LETTER_QUEUE_URL")
}

/// `DEAD_LETTER_QUEUE_URLS`: all dead-letter queues, separated by commas.
pub fn all_dead_letters(process: &Process, read: &mut Reader<'_>) -> Vec<DeadLetters> {
    let urls = read.required("DEAD_LETTER_QUEUE_URLS");
    let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
    urls.map(|url| DeadLetters::at(process.sqs(), url)).collect()
}

/// `ALERT_RULES`: what the operator is alerted of, a JSON object over the defaults.
pub fn alert_rules(read: &mut Reader<'_>) -> AlertRules {
    let rules: Option<String> = read.optional("ALERT_RULES", "a text");
    rules.as_deref().unwrap_or("{}").parse().unwrap_or_else(|wrong| {
        read.problem(format!("ALERT_RULES: {wrong}"));
        AlertRules::default()
    })
}

/// `MEDIA_ALLOW_LOOPBACK`: whether this machine is reached as well. Only the local stack sets it.
pub fn reach(read: &mut Reader<'_>) -> Reach {
    Reach::of(read.optional("MEDIA_ALLOW_LOOPBACK", "true or false").unwrap_or(false))
}

/// The queues that verdicts go to.
pub fn verdicts(process: &Process, read: &mut Reader<'_>) -> Verdicts {
    Verdicts {
        settle: queue(process, read, "SETTLE_QUEUE_URL"),
        fetch: queue(process, read, "FETCH_QUEUE_URL"),
    }
}

/// The queues that a job's follow-ups go to.
pub fn outbox(process: &Process, read: &mut Reader<'_>) -> Outbox {
    Outbox {
        dispatch: Some(queue(process, read, "DISPATCH_QUEUE_URL")),
        poll: Some(queue(process, read, "POLL_QUEUE_URL")),
    }
}

/// `KEY_RATE_LIMIT`: requests a second that an instance takes from one API key; 0 or none for all.
pub fn key_rate(read: &mut Reader<'_>) -> u32 {
    read.optional("KEY_RATE_LIMIT", "a number").unwrap_or(0)
}

/// `LIVE_JOBS_MAX`: active jobs that one account may have at once.
pub fn live_jobs_max(read: &mut Reader<'_>) -> LiveMax {
    read.required("LIVE_JOBS_MAX");
    read.optional("LIVE_JOBS_MAX", "a number or none").unwrap_or(LiveMax::AtMost(0))
}

/// `MEDIA_DAYS`: days after which the bucket deletes files; `None` if it keeps them.
pub fn media_days(read: &mut Reader<'_>) -> Option<u32> {
    read.optional("MEDIA_DAYS", "a number of days").filter(|days| *days > 0)
}

/// `OPENAI_VIDEO_ALIASES`: names of models that stand for one of ours in OpenAI's dialect.
pub fn openai_aliases(read: &mut Reader<'_>, catalog: &Catalog) -> BTreeMap<String, String> {
    const VARIABLE: &str = "OPENAI_VIDEO_ALIASES";
    let text: String = read.optional(VARIABLE, "a text").unwrap_or_default();
    let mut aliases = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, model)) = pair.split_once(':').map(|(name, model)| (name.trim(), model.trim()))
        else {
            read.problem(format!("{VARIABLE} must be like `sora-2:veo-3.1-fast`, separated by commas"));
            continue;
        };
        if catalog.model(name).is_some() {
            read.problem(format!("{VARIABLE}: `{name}` is the name of a model"));
        }
        if catalog.model(model).is_none_or(|model| model.kind != Kind::Video) {
            read.problem(format!("{VARIABLE}: the providers have no video model `{model}`"));
        }
        aliases.insert(name.to_owned(), model.to_owned());
    }
    aliases
}

/// `PROVIDER_LIMITS`: what providers take from us, where it is not as the code has it.
pub fn limits(read: &mut Reader<'_>) -> LimitTable {
    read.optional("PROVIDER_LIMITS", "like `runway=per_minute:60,at_once:5;fal=at_once:40`")
        .unwrap_or_default()
}

/// `PROVIDERS`: the providers to use, by name, separated by commas.
pub fn providers(read: &mut Reader<'_>) -> Vec<Provider> {
    let names = read.required("PROVIDERS");
    named(read, "PROVIDERS", &names)
}

/// `SIMULATED_PROVIDERS`: those that are simulators. The local stack alone sets it.
pub fn simulated(read: &mut Reader<'_>) -> Vec<Provider> {
    let names: String = read.optional("SIMULATED_PROVIDERS", "a list").unwrap_or_default();
    named(read, "SIMULATED_PROVIDERS", &names)
}

fn named(read: &mut Reader<'_>, variable: &str, names: &str) -> Vec<Provider> {
    let mut providers = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(provider) => providers.push(provider),
            Err(unknown) => read.problem(format!("{variable}: {unknown}")),
        }
    }
    providers
}

/// A URL under which the API is reached, from a variable. Its path is kept.
pub fn public_url(read: &mut Reader<'_>, variable: &str) -> Option<Url> {
    let text: String = read.optional(variable, "a text")?;
    parse_public_url(&text).map_err(|wrong| read.problem(format!("{variable} {wrong}"))).ok()
}

/// `SOCKET_URL`: the stage of the WebSocket API, by https. A missing one is a problem.
pub fn socket_url(read: &mut Reader<'_>) -> Option<Url> {
    let text = read.required("SOCKET_URL");
    match parse_public_url(&text) {
        Ok(url) => Some(url),
        // Its absence is a problem already.
        Err(_wrong) if text.is_empty() => None,
        Err(wrong) => {
            read.problem(format!("SOCKET_URL {wrong}"));
            None
        }
    }
}

/// A URL under which the API is reached, as a folder: what is joined to it comes below its path.
///
/// # Errors
///
/// If it is no http URL, or has what a callback URL cannot be built on.
pub fn parse_public_url(text: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(text).map_err(|_unreadable| "must be a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be a URL of http or https");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must be a URL without a query and a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must be a URL without a user name and a password");
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The client of every provider in `PROVIDERS`, with its key and settings and, if set, another
/// origin; and of every other whose key is there. `PROVIDERS` decides who gets new attempts: what
/// runs at one that was taken out is still asked about.
pub fn provider_client(read: &mut Reader<'_>) -> Result<ProviderClient, StartError> {
    let mut all = providers(read);
    let taken_out = Provider::ALL.iter().filter(|provider| !all.contains(provider));
    let taken_out: Vec<_> = taken_out.copied().filter(|provider| has_key(read, *provider)).collect();
    all.extend(taken_out);
    client(read, all, |read, provider| {
        let setup = adapter(provider).setup();
        let key: Vec<String> = setup.key.iter().map(|variable| read.key(variable)).collect();
        let mut value = |(variable, default): &(&'static str, Option<&str>)| match default {
            Some(default) => {
                (*variable, read.optional(variable, "a text").unwrap_or_else(|| (*default).to_owned()))
            }
            None => (*variable, read.required(variable)),
        };
        let settings = setup.settings.iter().map(&mut value).collect();
        let mut config = ProviderConfig {
            settings,
            ..ProviderConfig::new(CredentialId::deployment(provider), Secret::new(key.join(":")))
        };
        config.base_url = base_url(read, provider);
        if setup.homeless && config.base_url.is_none() {
            read.problem(format!("{} is missing", base_url_variable(provider)));
        }
        config
    })
}

fn has_key(read: &mut Reader<'_>, provider: Provider) -> bool {
    let setup = adapter(provider).setup();
    let must_be_set = setup.settings.iter().filter(|(_, default)| default.is_none());
    let mut variables = setup.key.iter().chain(must_be_set.map(|(variable, _)| variable));
    let is_set = |variable: &&'static str| read.is_set(variable);
    let has_origin = !setup.homeless || read.is_set(&base_url_variable(provider));
    !setup.key.is_empty() && variables.all(is_set) && has_origin
}

/// The client of those that send webhooks, without their keys: enough to prove those. Also of those
/// that `PROVIDERS` does not name: what runs at one that was taken out still reports, and its token
/// proves that it was given our callback URL.
pub fn keyless_client(read: &mut Reader<'_>) -> Result<ProviderClient, StartError> {
    let sends = |provider: &Provider| adapter(*provider).capabilities().webhooks.is_some();
    let senders = Provider::ALL.iter().copied().filter(sends).collect();
    client(read, senders, |read, provider| ProviderConfig {
        base_url: base_url(read, provider),
        webhook_secret: webhook_secret(read, provider),
        ..ProviderConfig::new(CredentialId::deployment(provider), Secret::new(""))
    })
}

fn client(
    read: &mut Reader<'_>,
    providers: Vec<Provider>,
    configure: fn(&mut Reader<'_>, Provider) -> ProviderConfig,
) -> Result<ProviderClient, StartError> {
    let configs = providers.into_iter().map(|provider| configure(read, provider)).collect();
    ProviderClient::new(configs, Timeouts::default()).map_err(StartError::Http)
}

fn base_url(read: &mut Reader<'_>, provider: Provider) -> Option<Url> {
    read.optional(&base_url_variable(provider), "a URL")
}

/// Absent where it signs otherwise, or where we were told no secret.
fn webhook_secret(read: &mut Reader<'_>, provider: Provider) -> Option<StandardWebhooks> {
    adapter(provider).capabilities().webhooks.filter(|scheme| scheme.has_secret())?;
    let variable = webhook_secret_variable(provider);
    let secrets: String = read.optional(&variable, "a text")?;
    let secrets: Vec<_> = secrets.split(',').map(|secret| Secret::new(secret.trim())).collect();
    let secret = StandardWebhooks::new(&secrets);
    if secret.is_err() {
        read.problem(format!("{variable} must be secrets in base64 after `whsec_`, separated by commas"));
    }
    secret.ok()
}

/// `INBOUND_SOURCES`: the inbound sources, a JSON list, none without it; `INBOUND_TOKEN_SECRET`: the keys of
/// their URLs, separated by commas: the first signs, all verify.
pub fn inbound_sources(read: &mut Reader<'_>) -> Sources {
    let keys = read.required("INBOUND_TOKEN_SECRET");
    let keys = TokenKeys::parse(&keys).unwrap_or_else(|wrong| {
        read.problem(format!("INBOUND_TOKEN_SECRET {wrong}"));
        TokenKeys::none()
    });
    let list: Option<String> = read.optional("INBOUND_SOURCES", "a text");
    Sources::parse(list.as_deref().unwrap_or("[]"), keys).unwrap_or_else(|wrong| {
        read.problem(format!("INBOUND_SOURCES: {wrong}"));
        Sources::default()
    })
}

/// `INBOUND_BASE_URL`: another origin of all platforms, for tests and simulators.
pub fn platforms(read: &mut Reader<'_>) -> Platforms {
    Platforms::new(read.optional("INBOUND_BASE_URL", "a URL"))
}

/// `WEBHOOK_TOKEN_SECRET`: keys of the callback tokens, separated by commas: the first
/// signs, all verify, so that one can be replaced while webhooks are under way.
pub fn callback_secrets(read: &mut Reader<'_>) -> Result<CallbackSecrets, StartError> {
    let secrets = read.required("WEBHOOK_TOKEN_SECRET");
    if secrets.chars().any(char::is_control) {
        read.problem("WEBHOOK_TOKEN_SECRET has a line break or another control character");
    }
    let secrets = if secrets.is_empty() { "missing".to_owned() } else { secrets };
    CallbackSecrets::new(secrets.split(',').map(|secret| Secret::new(secret.trim())).collect())
        .map_err(StartError::CallbackSecrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::env::Env;

    #[test]
    fn an_alias_stands_for_a_video_model_that_there_is() {
        let read = |text: &str| {
            let env = Env::from_pairs([("OPENAI_VIDEO_ALIASES", text)]);
            let mut read = env.reader();
            let aliases = openai_aliases(&mut read, &Catalog::built_in());
            read.finish(aliases).map_err(|wrong| wrong.to_string())
        };
        let aliases = read(" sora-2:veo-3.1-fast, sora-2-pro : veo-3.1 ,").unwrap();
        assert_eq!(aliases.len(), 2);
        assert_eq!(aliases["sora-2-pro"], "veo-3.1");
        assert_eq!(read("").unwrap().len(), 0);
        for (text, why) in [
            ("sora-2", "must be like"),
            ("sora-2:veo-99", "no video model `veo-99`"),
            ("sora-2:nano-banana-2", "no video model"),
            ("veo-3.1:gen-4.5", "is the name of a model"),
        ] {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_public_url_keeps_its_path_and_is_refused_where_nothing_can_be_joined_to_it() {
        for (text, url) in [
            ("https://a.example", "https://a.example/"),
            ("https://a.example/x", "https://a.example/x/"),
            ("https://a.example/x/y/", "https://a.example/x/y/"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x/"),
        ] {
            assert_eq!(parse_public_url(text).unwrap().as_str(), url);
        }
        for (text, told) in [
            ("a.example", "must be a URL"),
            ("ftp://a.example", "http"),
            ("mailto:a@b", "http"),
            ("https://a.example/?x=1", "query"),
            ("https://a.example/#x", "fragment"),
            ("https://u:p@a.example", "user name"),
        ] {
            assert!(parse_public_url(text).unwrap_err().contains(told), "{text}");
        }
    }

    #[test]
    fn rules_that_cannot_be_so_stop_the_start_with_the_field() {
        let env = super::super::Env::from_pairs([("ALERT_RULES", r#"{"jobs_min": 0}"#)]);
        let mut read = env.reader();
        assert_eq!(alert_rules(&mut read), AlertRules::default());
        let refused = read.finish(()).unwrap_err().to_string();
        assert!(refused.contains("ALERT_RULES: jobs_min must be a whole number from 1 to 1000"), "{refused}");
    }
}
