//! Each function's binary, started as the platform would with the template's environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::World;
use harness::runtime::{Function, environment};
use serde_json::{Value, json};

use crate::documents::{EVENTS, WEBHOOKS, event, kind, root, settle_in};

/// Where the binaries are: in the folder that `BINARIES` names, or built here.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says which binaries")]
        if let Ok(folder) = std::env::var("BINARIES") {
            return folder.into();
        }
        let built = Command::new(env!("CARGO"))
            .args(["build", "--workspace", "--bins", "--locked", "--quiet"])
            .current_dir(root())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the binaries are built");
        Path::new(env!("CARGO_BIN_EXE_panics")).parent().unwrap().to_owned()
    })
}

async fn start(world: &World, function: &str) -> Function {
    Function::start(&binaries().join(function), &environment(world, function)).await
}

fn terminate(function: &Function) {
    let id = function.process.id().unwrap().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_binary_answers_its_events_survives_nonsense_and_ends_when_told() {
    let world = World::new().await;
    settle_in(&world).await;
    // Their signatures are too old by now, and a wrong token is one at any time.
    let bad_token = WEBHOOKS.into_iter().filter(|(name, _)| *name == "webhook/bad_token");
    let events: Vec<_> = EVENTS.into_iter().chain(bad_token).collect();
    let mut started = BTreeMap::new();
    for (name, expected) in events {
        let (function, _) = name.split_once('/').unwrap();
        if !started.contains_key(function) {
            let mut process = start(&world, function).await;
            let refused = process.invoke(json!(["nonsense"])).await;
            assert!(refused.is_err(), "{function} takes anything: {refused:?}");
            started.insert(function, process);
        }
        let answer = started.get_mut(function).unwrap().invoke(event(name)).await;
        assert_eq!(kind(&answer.expect(name)), expected, "{name}");
    }
    assert!(started.keys().eq(world.stack.host.template().functions.keys()), "all of them");
    let mut counted = BTreeSet::new();
    for (function, process) in started {
        terminate(&process);
        let (status, logs, errors) = process.end().await;
        assert!(status.success(), "{function}: {status}: {errors}");
        assert!(logs.lines().last().is_some_and(|last| last.contains("process.stopped")), "{logs}");
        for line in logs.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if !line["_aws"].is_null() {
                assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Genmux/genmux", "{line}");
                counted.insert(function);
                continue;
            }
            let of_the_process = line["message"].as_str().is_some_and(|text| text.starts_with("process."));
            let id =
                ["request_id", "requestId"].map(|name| line["span"][name].as_str()).into_iter().flatten();
            assert!(of_the_process || id.count() == 1, "{function}: a line without its request: {line}");
        }
    }
    assert!(
        ["submit", "dispatch", "reconcile", "webhook"].iter().all(|name| counted.contains(name)),
        "{counted:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_without_its_variables_names_them_all_and_stops() {
    let world = World::new().await;
    for function in world.stack.host.template().functions.keys() {
        let given = environment(&world, function);
        let endpoints = given.clone().into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect();
        let (status, _, errors) = Function::start(&binaries().join(function), &endpoints).await.end().await;
        assert!(!status.success(), "{function} starts without anything");
        let told: Vec<_> = errors.lines().collect();
        assert_eq!(told.len(), 1, "{function}: {errors}");
        assert!(told[0].contains("the environment is not complete"), "{function}: {errors}");
        let may_be_missing = [
            "RUST_LOG",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "SECRETS",
            "MEDIA_ALLOW_LOOPBACK",
            "PROVIDER_LIMITS",
            "WEBHOOK_BASE_URL",
            "SIMULATED_PROVIDERS",
            "SIMULATED_CALLBACK_URL",
            "UNCLEAR_CREATE",
            "KEY_RATE_LIMIT",
            "CANCEL_REFUND",
            "CATALOG",
            "ALERT_RULES",
            "SENDERS",
            "EVENT_TARGETS",
            "CHANNEL_BASE_URL",
            "API_URL",
            "GOOGLE_TARGETS",
            "SES_CONFIGURATION_SET",
            "OPENAI_VIDEO_ALIASES",
            "MEDIA_DAYS",
            "MEDIA_VARIANTS",
            "PAYMENT_BASE_URL",
            "PAYMENT_KEYS",
            "PAYMENT_MODE",
            "PROCESSORS",
        ];
        for name in given.keys().filter(|name| !name.starts_with("AWS_")) {
            let named = told[0].contains(&format!("{name} is missing"));
            assert!(named || may_be_missing.contains(&name.as_str()), "{function} and {name}: {errors}");
        }
    }
}

#[tokio::test]
async fn a_panic_fails_one_invocation_and_not_the_process() {
    let panics = Path::new(env!("CARGO_BIN_EXE_panics"));
    let mut process = Function::start(panics, &BTreeMap::new()).await;
    let said = process.invoke(json!({"panic": true})).await.unwrap_err();
    assert!(said["errorMessage"].as_str().unwrap().contains("on purpose"), "{said}");
    assert_eq!(process.invoke(json!({"panic": false})).await, Ok(json!({"panic": false})));
}
