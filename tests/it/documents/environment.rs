//! Each function is given the variables that it reads, and no others.

use std::collections::{BTreeMap, BTreeSet};

use domain::provider::Provider;
use harness::World;
use local::host::FunctionSpec;
use local::stack::start_function;
use shared::boot::config::{base_url_variable, webhook_secret_variable};
use shared::boot::{Env, Process};
use shared::provider::{Scheme, adapter};
use sim::channels::Channels;
use sim::payments::Payments;

use super::openapi::sources;

/// Read when a process starts, before there is any function.
const OF_THE_PROCESS: [&str; 4] =
    ["RUST_LOG", "SECRETS", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"];

/// What a function has to read: what the template gives it and what is in its secrets.
fn environment(world: &World, spec: &FunctionSpec) -> BTreeMap<String, String> {
    let secrets = spec.environment.get("SECRETS").map_or("", String::as_str).split(',');
    let members = secrets.filter_map(|arn| world.stack.secrets.get(arn)).flatten();
    let members = members.map(|(name, value)| (name.clone(), value.clone()));
    spec.environment.clone().into_iter().chain(members).collect()
}

/// Starts a function with this environment alone; gives what it complains about.
fn complaint(world: &World, function: &str, environment: &BTreeMap<String, String>) -> Option<String> {
    let process = Process { env: Env::from_pairs(environment.clone()), ..world.operator.clone() };
    start_function(function, &process).err().map(|error| format!("{error:#}"))
}

/// The local stack starts functions without their `main`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_main_reads_a_catalogue_if_the_template_names_one() {
    let world = World::new().await;
    for (name, spec) in &world.stack.host.template().functions {
        let main = sources(&[&format!("functions/{name}/src")])
            .into_iter()
            .find(|(file, _)| file.ends_with("main.rs"));
        let reads = main.expect(name).1.contains("Process::start_with_catalog(");
        assert_eq!(reads, spec.environment.contains_key("CATALOG"), "{name}");
    }
}

/// Every name in the code that looks like a variable of ours, and those of the providers
/// that must be set or always are here; the platform's are not.
fn names_in_the_code() -> BTreeSet<String> {
    let literals = sources(&["functions", "shared/src/boot"])
        .into_iter()
        .flat_map(|(_, text)| text.split('"').map(str::to_owned).collect::<Vec<_>>());
    let name = |text: &String| {
        text.len() > 3
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let is_foreign = |name: &String| name.starts_with("AWS_") || name == "OUT_DIR"; // Cargo's
    literals.filter(name).filter(|name| !is_foreign(name)).collect()
}

/// The variables that providers are configured by; those with a default are left out.
fn names_of_providers() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for &provider in Provider::ALL {
        let (setup, capabilities) = (adapter(provider).setup(), adapter(provider).capabilities());
        let required = setup.settings.iter().filter(|(_, default)| default.is_none());
        let plain = setup.key.iter().copied().chain(required.map(|(name, _)| *name));
        names.extend(plain.map(str::to_owned));
        names.insert(base_url_variable(provider));
        let signs = capabilities.webhooks.is_some_and(Scheme::has_secret);
        names.extend(signs.then(|| webhook_secret_variable(provider)));
    }
    names
}

/// What senders and payment processors are given, and what mails name.
fn names_of_senders() -> BTreeSet<String> {
    let names = Channels::credentials().into_iter().map(|(name, _)| name.to_owned());
    let of_payments = Payments::credentials().into_iter().flatten().map(|(name, _)| name.to_owned());
    names.chain(of_payments).chain(["API_URL", "PAYMENT_KEYS", "PAYMENT_MODE"].map(str::to_owned)).collect()
}

#[tokio::test]
async fn each_function_reads_exactly_the_variables_that_the_template_gives_it() {
    let world = World::new().await;
    let names: BTreeSet<_> = names_in_the_code().into_iter().chain(names_of_providers()).collect();
    let mut given = BTreeSet::from(OF_THE_PROCESS.map(str::to_owned));
    for (function, spec) in &world.stack.host.template().functions {
        let whole = environment(&world, spec);
        assert_eq!(complaint(&world, function, &whole), None, "{function}");
        given.extend(whole.keys().cloned());
        for name in names.iter().filter(|name| !OF_THE_PROCESS.contains(&name.as_str())) {
            // Missing, or not to be understood: a function that reads it says so by name.
            let told = [None, Some("neither a URL nor a list")].map(|value| {
                let mut environment = whole.clone();
                environment.remove(name);
                environment.extend(value.map(|value| (name.clone(), value.to_owned())));
                complaint(&world, function, &environment)
            });
            let is_read = told.iter().flatten().any(|told| told.contains(name.as_str()));
            // One secret holds these and the key of callback tokens, which `dispatch` signs.
            let beside = function == "dispatch" && name.ends_with("_WEBHOOK_SECRET");
            let needed = whole.contains_key(name) && !beside;
            assert_eq!(is_read, needed, "{function} and {name}: {told:?}");
        }
    }
    assert_eq!(given, names, "what the template gives, and what the code names");
}

#[tokio::test]
async fn a_function_without_any_variable_names_all_that_it_needs_at_once() {
    let world = World::new().await;
    for (function, spec) in &world.stack.host.template().functions {
        let told = complaint(&world, function, &BTreeMap::new()).unwrap();
        let whole = environment(&world, spec);
        for name in whole.keys() {
            let mut without = whole.clone();
            without.remove(name);
            let required = complaint(&world, function, &without).is_some();
            // Whose key is needed depends on which providers and senders there are.
            let of_provider = names_of_providers().contains(name) || names_of_senders().contains(name);
            assert!(
                told.contains(name.as_str()) == (required && !of_provider),
                "{function} and {name}: {told}"
            );
        }
    }
}
