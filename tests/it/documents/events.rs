//! Every event document, given to its function as the platform would give it.

use std::collections::BTreeSet;
use std::fs;

use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::id::AccountId;
use domain::job::{CHECK_EVERY, Job};
use domain::policy::live::LiveMax;
use domain::price;
use domain::price_book::{Buyer, PERCENT_DEFAULT, PriceBook};
use domain::provider::Provider;
use domain::request::{JobRequest, Order};
use domain::time::Timestamp;
use harness::World;
use serde_json::{Value, json};
use shared::boot::{Clock, Env};
use shared::store::keystore::{ApiKey, KeyRules, KeyStore, Scope};
use shared::store::ledger::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::openapi::root;

/// What a function makes of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// An HTTP answer with this status and, of a problem, this code.
    Http(u16, &'static str),
    /// A batch of which so many messages come back.
    Batch { failed: usize },
    /// Nothing to answer.
    Done,
}
use Kind::{Batch, Done, Http};

/// In the order in which they can happen to the jobs that they name.
pub(crate) const EVENTS: [(&str, Kind); 53] = [
    ("console/sign_in_page", Http(200, "")),
    ("console/docs", Http(200, "")),
    ("submit/text_to_video", Http(202, "")),
    ("submit/image_to_video", Http(202, "")),
    ("submit/idempotency_key", Http(202, "")),
    ("submit/openai_video", Http(200, "")),
    ("submit/gateway_start", Http(202, "")),
    ("submit/malformed_json", Http(400, "malformed_json")),
    ("submit/unknown_field", Http(422, "invalid_request")),
    ("submit/upload", Http(200, "")),
    ("submit/no_key", Http(401, "unauthenticated")),
    ("status/job", Http(200, "")),
    ("status/video", Http(200, "")),
    ("status/content", Http(409, "")),
    ("dispatch/unknown_type", Batch { failed: 1 }),
    ("dispatch/one_job", Batch { failed: 0 }),
    ("dispatch/batch_of_two", Batch { failed: 0 }),
    ("status/wait", Http(200, "")),
    ("status/jobs_list", Http(200, "")),
    ("status/models", Http(200, "")),
    ("status/providers", Http(200, "")),
    ("status/account", Http(200, "")),
    ("status/usage", Http(200, "")),
    ("status/openapi", Http(200, "")),
    ("poll/once", Batch { failed: 0 }),
    ("poll/chain", Batch { failed: 0 }),
    ("settle/hint_without_verdict", Batch { failed: 0 }),
    ("settle/webhook_failure_hint", Batch { failed: 0 }),
    ("settle/poll_verdict", Batch { failed: 0 }),
    ("fetch/webhook_success", Batch { failed: 0 }),
    ("fetch/poll_success", Batch { failed: 0 }),
    ("cancel/job", Http(202, "")),
    ("cancel/delete_media", Http(409, "")),
    ("cancel/delete_video", Http(409, "")),
    ("endpoints/create", Http(201, "")),
    ("endpoints/list", Http(200, "")),
    ("endpoints/events", Http(200, "")),
    ("endpoints/unknown_event", Http(404, "")),
    ("socket/connect", Http(401, "")),
    ("socket/message", Http(200, "")),
    ("topups/create", Http(201, "")),
    ("topups/list", Http(200, "")),
    ("topups/unknown_topup", Http(404, "")),
    ("payment/report", Batch { failed: 0 }),
    ("payment/check", Batch { failed: 0 }),
    ("payment/list", Batch { failed: 0 }),
    ("notify/one_event", Batch { failed: 0 }),
    ("notify/inbound", Batch { failed: 0 }),
    ("deliver/first_try", Batch { failed: 0 }),
    ("deliver/recover", Batch { failed: 0 }),
    ("deliver/receipt", Batch { failed: 0 }),
    ("health/schedule", Done),
    ("reconcile/schedule", Done),
];

/// These are signed, and so they are good at one time and for one key only.
pub(crate) const WEBHOOKS: [(&str, Kind); 3] = [
    ("webhook/fal_ok", Http(200, "")),
    ("webhook/fal_error", Http(200, "")),
    ("webhook/bad_token", Http(401, "bad_signature")),
];
/// What the tokens in their URLs were made with.
const CALLBACK_SECRET: &str = "not-a-real-callback-token-secret";
/// The public half of what they are signed with: the first test key of RFC 8032.
const SIGNERS: &str =
    r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// When they came: a minute between the two jobs that they are about.
const CAME_AT: Timestamp = Timestamp::from_secs(1_795_342_600);

/// The API key in the events, and the two jobs that they are about.
const KEY_ID: &str = "kexampleexample22";
const SECRET_SHA256: &str = "b683d86200cd7a3a8aab7fb5ce19da4633860f875931f07a4e435d789696fe84";
const JOBS: [&str; 2] = ["job_2lvnez42p3rejgskvmgqoj3hhi", "job_klxs7ndjit3evo33ni23efi2ca"];

pub(crate) fn event(name: &str) -> Value {
    let text = fs::read_to_string(root().join(format!("events/{name}.json"))).expect(name);
    serde_json::from_str(&text).expect(name)
}

async fn kind_of_answer(world: &World, name: &str) -> Kind {
    let (function, _) = name.split_once('/').unwrap();
    let answer = world
        .stack
        .host
        .invoke(function, event(name))
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    kind(&answer)
}

pub(crate) fn kind(answer: &Value) -> Kind {
    if answer.is_null() {
        return Done;
    }
    if let Some(failed) = answer["batchItemFailures"].as_array() {
        return Batch { failed: failed.len() };
    }
    // A page for people is not JSON.
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
    let codes = ["malformed_json", "invalid_request", "unauthenticated", "bad_signature"];
    let code = codes.into_iter().find(|code| body["code"] == *code).unwrap_or_default();
    Http(answer["statusCode"].as_u64().and_then(|status| status.try_into().ok()).unwrap(), code)
}

/// Gives the caller of the events their key, credits and jobs.
pub(crate) async fn settle_in(world: &World) {
    let account: AccountId = "acct_harbourfilms".parse().unwrap();
    let now = world.clock.now();
    let key = ApiKey {
        id: KEY_ID.parse().unwrap(),
        account: account.clone(),
        secret_sha256: SECRET_SHA256.to_owned(),
        scopes: vec![Scope::Read, Scope::Write],
        revoked: false,
        created_at: now,
        rules: KeyRules::default(),
    };
    KeyStore::new(world.table()).create(&key).await.unwrap();
    world.grant(&account, Credits::from_micros(2_000_000_000)).await;
    let catalog = Catalog::for_providers(Provider::ALL);
    let order: Order = serde_json::from_value(json!({"model": "veo-3.1", "prompt": "a boat"})).unwrap();
    let request = JobRequest::new(order, &catalog).unwrap();
    let buyer = Buyer { account: &account, percent: PERCENT_DEFAULT };
    let price = price::quote(&request, &catalog, &PriceBook::default(), buyer).unwrap();
    for id in JOBS {
        let job = Job::new(
            id.parse().unwrap(),
            account.clone(),
            request.model.clone(),
            price,
            request.digest(),
            now,
        );
        let limits = Limits { live_jobs: LiveMax::AtMost(1_000), loss_per_day: None, low_below: None };
        world.jobs().create(&job, &request, now + CHECK_EVERY, limits).await.unwrap();
    }
}

/// Answers every call with the keys that the events are signed by; gives its URL.
async fn serve_signers() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = SIGNERS.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{SIGNERS}");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _request = stream.read(&mut request).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[test]
fn there_is_an_event_of_every_function_and_each_is_tested() {
    let mut files = BTreeSet::new();
    for folder in fs::read_dir(root().join("events")).unwrap().map(|entry| entry.unwrap().path()) {
        let function = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            files.insert(format!("{function}/{}", file.file_stem().unwrap().to_str().unwrap()));
        }
    }
    let tested = EVENTS.iter().chain(&WEBHOOKS).map(|(name, _)| (*name).to_owned());
    assert_eq!(files, tested.collect());
    let functions = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names.iter().map(|name| name.split('/').next().unwrap().to_owned()).collect()
    };
    let packages = fs::read_dir(root().join("functions")).unwrap();
    let packages = packages.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(functions(&files), packages.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_gets_its_kind_of_answer() {
    let world = World::new().await;
    settle_in(&world).await;
    for (name, kind) in EVENTS {
        assert_eq!(kind_of_answer(&world, name).await, kind, "{name}");
    }
    world.drain().await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_webhook_gets_its_kind_of_answer() {
    let signers = serve_signers().await;
    let world = World::with(|options| {
        options.clock = Clock::manual(CAME_AT);
        options.callback_secret = CALLBACK_SECRET.to_owned();
        options.env = Env::from_pairs([("FAL_KEY", "key"), ("FAL_BASE_URL", &signers)]);
        options.pool.simulated.retain(|provider| *provider != Provider::Fal);
        options.pool.real = vec![Provider::Fal];
    })
    .await;
    for (name, kind) in WEBHOOKS {
        assert_eq!(kind_of_answer(&world, name).await, kind, "{name}");
    }
}

/// A rewritten document is no longer what the platform sends.
#[test]
fn every_event_is_of_its_own_route_or_source() {
    for (name, kind) in EVENTS.iter().chain(&WEBHOOKS) {
        let event = event(name);
        match kind {
            Http(..) if name.starts_with("socket/") => {
                let (_, kind) = name.split_once('/').unwrap();
                let of_service = event["requestContext"]["eventType"].as_str().unwrap();
                assert!(of_service.eq_ignore_ascii_case(kind), "{name}: {of_service}");
            }
            Http(..) => {
                assert_eq!(event["version"], "2.0", "{name}");
                assert_eq!(event["routeKey"], event["requestContext"]["routeKey"], "{name}");
            }
            Batch { .. } => {
                let function = name.split('/').next().unwrap();
                let source = format!(":genmux-{function}");
                let records = event["Records"].as_array().unwrap();
                assert!(
                    records.iter().all(|it| it["eventSourceARN"].as_str().unwrap().ends_with(&source)),
                    "{name}"
                );
            }
            Done => assert_eq!(event["detail-type"], "Scheduled Event", "{name}"),
        }
    }
}
