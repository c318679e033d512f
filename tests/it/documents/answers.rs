//! Real answers, each kind of each operation, are what the API's document describes.

mod dialects;
mod links;
mod payments;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use domain::provider::Provider;
use harness::world::LATENCY;
use harness::{Answer, Moment, Receiver, World};
use local::stack::Options;
use reqwest::Method;
use serde_json::{Value, json};
use shared::boot::Env;
use shared::store::keystore::Scope;

use super::schema::Document;
use crate::dialects::IMAGE;
use crate::events::while_drained;
use crate::inbound;
use crate::uploads::announced;

const ORDER: &str = r#"{"model": "pika-2.2", "prompt": "a boat"}"#;
const NO_JOB: &str = "job_aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A caller that compares every answer with the documents.
struct Caller {
    world: World,
    document: Document,
    callbacks: Document,
    seen: Mutex<BTreeSet<String>>,
}

impl Caller {
    async fn new(world: World) -> Self {
        let document = Document::served(&world).await;
        Self { world, document, callbacks: Document::of_callbacks(), seen: Mutex::default() }
    }

    /// Calls a route, as the document names it, with this for its parameter.
    async fn call(&self, route: &str, id: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let (method, path) = route.split_once(' ').unwrap();
        let (route, query) = route.split_once('?').unwrap_or((route, ""));
        let path = path.replace("{id}", id).replace("{provider}/{token}", id).replace("{source}/{token}", id);
        let path = path.replace("{token}", id).replace("{processor}", id);
        let method: Method = method.parse().unwrap();
        let answer = self.world.call(method, &path, headers, body).await;
        let is_callback = self.callbacks.operations().any(|(name, _)| name == route);
        let document = if is_callback { &self.callbacks } else { &self.document };
        document.assert_describes(route, &answer);
        let kind = format!("{route} {}", answer.status.as_u16());
        assert!(query.is_empty() || answer.status != 404, "{kind}");
        self.seen.lock().unwrap().insert(kind);
        answer
    }

    async fn submit(&self, prompt: &str) -> String {
        let order = json!({"model": "pika-2.2", "prompt": prompt, "seed": 7, "metadata": {"order": "7"}});
        let answer =
            self.call("POST /v1/jobs", "", &[("idempotency-key", prompt)], Some(&order.to_string())).await;
        assert_eq!(answer.status, 202);
        answer.text("/id").to_owned()
    }

    async fn read(&self, id: &str) -> Answer {
        self.call("GET /v1/jobs/{id}", id, &[], None).await
    }

    async fn lists(&self) {
        for route in [
            "/v1/jobs",
            "/v1/jobs?limit=2",
            "/v1/models",
            "/v1/videos/models",
            "/v1/providers",
            "/v1/account",
            "/v1/account?limit=1",
            "/v1/usage?bucket=1h&limit=2&group_by=model,provider,key,status",
        ] {
            assert_eq!(self.call(&format!("GET {route}"), "", &[], None).await.status, 200);
        }
    }

    /// What every operation with a key answers to a bad one, a bad version, and a table that is silent.
    async fn common_refusals(&self) {
        let operations: Vec<String> = self
            .document
            .operations()
            .filter(|(_, it)| it.get("security").is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(operations.len(), 41);
        for route in &operations {
            let none = self.world.new_key(&self.world.account, vec![]).await;
            let fresh = self.world.new_key(&self.world.account, vec![Scope::Read, Scope::Write]).await;
            let [none, fresh] = [none, fresh].map(|key| format!("Bearer {key}"));
            self.call(route, NO_JOB, &[("authorization", "")], Some(ORDER)).await;
            self.call(route, NO_JOB, &[("authorization", &none)], Some(ORDER)).await;
            self.call(route, NO_JOB, &[("genmux-version", "1999-12-31")], Some(ORDER)).await;
            self.world.wire.reset();
            self.world.wire.fail_at(0, Moment::Before);
            let answer = self.call(route, NO_JOB, &[("authorization", &fresh)], Some(ORDER)).await;
            assert_eq!(answer.status, 503);
        }
    }

    /// What every operation with a key answers to one that sends more than its bucket holds.
    async fn too_many_requests(&self) {
        let operations = self.document.operations().filter(|(_, it)| it.get("security").is_none());
        for (route, _) in operations {
            let key = self.world.new_key(&self.world.account, vec![Scope::Read, Scope::Write]).await;
            let key = format!("Bearer {key}");
            let headers = [("authorization", key.as_str())];
            let ask = || self.call(&route, NO_JOB, &headers, Some("{"));
            for _ in 0..10 {
                assert_ne!(ask().await.status, 429, "{route}");
            }
            let refused = ask().await;
            let codes = ["too_many_requests", "rate_limit_exceeded"];
            let has_code = route.starts_with("HEAD ") || codes.contains(&refused.code());
            assert!(refused.status == 429 && has_code, "{route}: {refused:?}");
            self.world.clock.advance(Duration::from_secs(1));
            assert_ne!(ask().await.status, 429, "{route}");
        }
    }

    async fn refused_orders(&self) {
        let poor = "acct_poor".parse().unwrap();
        let poor = format!("Bearer {}", self.world.new_key(&poor, vec![Scope::Write]).await);
        let submit = async |headers: &[(&str, &str)], body: &str| {
            self.call("POST /v1/jobs", "", headers, Some(body)).await.status.as_u16()
        };
        assert_eq!(submit(&[("authorization", &poor)], ORDER).await, 402);
        let (image, poor) = (announced(IMAGE).to_string(), [("authorization", &*poor)]);
        let form = self.call("POST /v1/uploads", "", &poor, Some(&image)).await;
        assert_eq!(form.status, 402);
        assert_eq!(submit(&[], "{").await, 400);
        assert_eq!(submit(&[("idempotency-key", "\"\"")], ORDER).await, 400);
        assert_eq!(submit(&[], r#"{"colour": 1}"#).await, 422);
        assert_eq!(submit(&[], r#"{"model": "pika-2.2", "prompt": " ", "duration_s": 7}"#).await, 422);
        assert_eq!(submit(&[("idempotency-key", "a boat")], ORDER).await, 422);
        assert_eq!(submit(&[], &" ".repeat(256_001)).await, 413);
        for _ in 0..3 {
            assert_eq!(submit(&[], ORDER).await, 202);
        }
        assert_eq!(submit(&[], ORDER).await, 429);
    }

    /// What endpoints and events answer, to good requests and bad ones.
    async fn events(&self, receiver: &Receiver) {
        let call = async |route: &str, id: &str, body: &str| {
            self.call(route, id, &[], (!body.is_empty()).then_some(body)).await
        };
        let new = json!({"url": receiver.url("/hook"), "types": ["job.*"]}).to_string();
        let first = call("POST /v1/endpoints", "", &new).await;
        assert_eq!(first.status, 201);
        let id = first.text("/id").to_owned();
        self.created_by_key(&new).await;
        let job = self.submit("a moat").await;
        self.world.finish(&job.parse().unwrap()).await;
        self.world.drain().await;
        let listed = call("GET /v1/events", "", "").await;
        let event = listed.text("/events/0/id").to_owned();
        const TOO_LONG: usize = 256_001;
        for route in [
            "POST /v1/endpoints",
            "PATCH /v1/endpoints/{id}",
            "POST /v1/endpoints/{id}/secret/rotate",
            "POST /v1/endpoints/{id}/recover",
            "POST /v1/events/{id}/redeliver",
            "POST /v1/quotes",
            "POST /v1/uploads",
        ] {
            let id = if route.contains("events") { &event } else { &id };
            assert_eq!(call(route, id, "{").await.status, 400, "{route}");
            assert_eq!(call(route, id, r#"{"colour": 1}"#).await.status, 422, "{route}");
            assert_eq!(call(route, id, &" ".repeat(TOO_LONG)).await.status, 413, "{route}");
        }
        for (route, id, body, status) in [
            ("POST /v1/quotes", "", ORDER, 200),
            ("POST /v1/uploads", "", &announced(IMAGE).to_string(), 200),
            ("DELETE /v1/jobs/{id}/media", &job, "", 200),
            ("DELETE /v1/jobs/{id}/media", NO_JOB, "", 404),
            ("GET /v1/endpoints", "", "", 200),
            ("GET /v1/endpoints/{id}", &*id, "", 200),
            ("PATCH /v1/endpoints/{id}", &id, r#"{"v1a": true}"#, 200),
            ("GET /v1/endpoints/{id}/secret", &id, "", 200),
            ("POST /v1/endpoints/{id}/secret/rotate", &id, "", 200),
            ("POST /v1/endpoints/{id}/secret/rotate", &id, "", 409),
            ("GET /v1/endpoints/{id}/deliveries", &id, "", 200),
            ("GET /v1/endpoints/{id}/deliveries?status=done", &id, "", 422),
            ("POST /v1/endpoints/{id}/recover", &id, r#"{"since": "2020-01-01T00:00:00Z"}"#, 202),
            ("GET /v1/events?limit=0", "", "", 422),
            ("GET /v1/events/{id}", &event, "", 200),
            ("GET /v1/events/{id}/deliveries", &event, "", 200),
            ("POST /v1/events/{id}/redeliver", &event, "", 202),
            ("PATCH /v1/endpoints/{id}", &id, r#"{"status": "paused"}"#, 200),
            ("POST /v1/endpoints/{id}/recover", &id, r#"{"since": "2020-01-01T00:00:00Z"}"#, 409),
            ("POST /v1/endpoints/{id}/test", &id, "", 409),
            ("POST /v1/events/{id}/redeliver", &event, &json!({"endpoint": id}).to_string(), 409),
            ("PATCH /v1/endpoints/{id}", &id, r#"{"status": "enabled"}"#, 200),
        ] {
            assert_eq!(call(route, id, body).await.status, status, "{route}");
        }
        let test = call("POST /v1/endpoints/{id}/test", &id, "");
        let tested = while_drained(&self.world, test).await;
        assert_eq!(tested.status, 200);
        self.ended_events(&id, &new).await;
    }

    /// What a request to create an endpoint is answered under a key.
    async fn created_by_key(&self, new: &str) {
        for (key, body, status) in [
            ("hooks", new, 201),
            ("hooks", new, 201),
            ("hooks", r#"{"url": "https://a.example", "types": ["*"]}"#, 422),
            ("\"\"", new, 400),
        ] {
            let made = self.call("POST /v1/endpoints", "", &[("idempotency-key", key)], Some(body)).await;
            assert_eq!(made.status, status, "{key} {body}");
        }
    }

    /// What is answered at the limit of endpoints, and once one is deleted.
    async fn ended_events(&self, id: &str, new: &str) {
        self.tickets(id).await;
        let call = async |route: &str, id: &str, body: &str| {
            self.call(route, id, &[], (!body.is_empty()).then_some(body)).await
        };
        for _ in 0..18 {
            assert_eq!(call("POST /v1/endpoints", "", new).await.status, 201);
        }
        assert_eq!(call("POST /v1/endpoints", "", new).await.status, 409);
        assert_eq!(call("DELETE /v1/endpoints/{id}", id, "").await.status, 204);
        for (route, body) in [
            ("GET /v1/endpoints/{id}", ""),
            ("PATCH /v1/endpoints/{id}", "{}"),
            ("DELETE /v1/endpoints/{id}", ""),
            ("GET /v1/endpoints/{id}/secret", ""),
            ("POST /v1/endpoints/{id}/secret/rotate", ""),
            ("POST /v1/endpoints/{id}/test", ""),
            ("POST /v1/endpoints/{id}/tickets", ""),
            ("POST /v1/endpoints/{id}/recover", r#"{"since": "2020-01-01T00:00:00Z"}"#),
            ("GET /v1/endpoints/{id}/deliveries", ""),
            ("GET /v1/events/{id}", ""),
            ("GET /v1/events/{id}/deliveries", ""),
            ("POST /v1/events/{id}/redeliver", ""),
        ] {
            assert_eq!(call(route, id, body).await.status, 404, "{route}");
        }
    }

    async fn refusals(&self) {
        self.unsubscribes().await;
        self.dialects().await;
        self.refused_orders().await;
        self.common_refusals().await;
    }

    /// A test event that no one sends in time.
    async fn slow_test(&self) {
        let new = json!({"url": "http://127.0.0.1:1/", "types": ["job.*"]}).to_string();
        let made = self.call("POST /v1/endpoints", "", &[], Some(&new)).await;
        let tested = self.call("POST /v1/endpoints/{id}/test", made.text("/id"), &[], None).await;
        assert_eq!(tested.status, 202);
    }

    /// The latest webhook that came, sent again as it is and spoilt in every way.
    async fn webhooks(&self) {
        const ROUTE: &str = "POST /v1/webhooks/{provider}/{token}";
        let event =
            self.world.wire.invocations().into_iter().rev().find(|(name, _)| name == "webhook").unwrap().1;
        let body = event["body"].as_str().unwrap();
        let sent: Vec<(&str, &str)> = event["headers"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.starts_with("x-fal-"))
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let token = format!("fal/{}", event["pathParameters"]["token"].as_str().unwrap());
        let post = async |token: &str, headers: &[(&str, &str)], body: &str| {
            let headers: Vec<_> = headers.iter().copied().chain([("authorization", "")]).collect();
            self.call(ROUTE, token, &headers, Some(body)).await.status.as_u16()
        };
        assert_eq!(post(&token, &sent, body).await, 200);
        assert_eq!(post(&token, &sent[1..], body).await, 400);
        assert_eq!(post(&token, &sent, "{}").await, 401);
        assert_eq!(post("fal/nonsense", &sent, body).await, 401);
        assert_eq!(post(&token.replace("fal", "runway"), &sent, body).await, 404);
        assert_eq!(post(&token, &sent, &" ".repeat(5 * 1024 * 1024 + 1)).await, 413);
        self.world.wire.reset();
        self.world.wire.fail_at(0, Moment::Before);
        assert_eq!(post(&token, &sent, body).await, 503);
        self.world.clock.advance(Duration::from_secs(301));
        assert_eq!(post(&token, &sent, body).await, 400);
        self.inbound().await;
    }

    /// A webhook of another platform, genuine and spoilt.
    async fn inbound(&self) {
        let platform = inbound::github();
        let path = inbound::path(&self.world, self.world.account.as_str(), platform.kind);
        let id = path.strip_prefix("/v1/inbound/").unwrap();
        let post = async |id: &str, signed: &str, body: &str| {
            let headers = platform.headers("", "id_1", "opened", signed, 0);
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
            let headers: Vec<_> = headers.chain([("authorization", "")]).collect();
            let route = "POST /v1/inbound/{source}/{token}";
            self.call(route, id, &headers, Some(body)).await.status.as_u16()
        };
        assert_eq!(post(id, "{}", "{}").await, 200);
        assert_eq!(post(id, "{", "{").await, 400);
        assert_eq!(post(id, "{}", "{ }").await, 401);
        assert_eq!(post("github/nonsense", "{}", "{}").await, 404);
        assert_eq!(post(id, "{}", &" ".repeat(5 * 1024 * 1024 + 1)).await, 413);
        self.world.wire.reset();
        self.world.wire.fail_at(0, Moment::Before);
        assert_eq!(post(id, "{}", "{}").await, 503);
    }
}

/// Few live jobs, and an inbound source.
fn few(options: &mut Options) {
    options.env = Env::from_pairs([("LIVE_JOBS_MAX", "3")]);
    inbound::with_github(options);
}

fn assert_same(seen: &BTreeSet<String>, described: &BTreeSet<String>) {
    assert_eq!(seen.symmetric_difference(described).collect::<Vec<_>>(), [""; 0], "on one side only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_answer_of_every_operation_is_as_described() {
    let world = World::with(few).await;
    let caller = Caller::new(world).await;
    let world = &caller.world;
    caller.call("GET /openapi.json", "", &[("authorization", "")], None).await;
    caller.lists().await;
    let canceled = caller.submit("a coat").await;
    let answer = caller.call("POST /v1/jobs/{id}/cancel", &canceled, &[], None).await;
    assert_eq!(answer.text("/status"), "canceled");
    caller.read(&canceled).await;

    let done = caller.submit("a boat").await;
    let failed = caller.submit("a goat [[sim: fail=content_policy]]").await;
    let stopped = caller.submit("a float [[sim: latency=900]]").await;
    assert_eq!(caller.read(&done).await.text("/status"), "queued");
    world.drain().await;
    let running = caller.read(&done).await;
    assert_eq!(running.text("/status"), "running");
    let tag = running.headers["etag"].to_str().unwrap();
    let known = [("if-none-match", tag), ("prefer", "wait=0")];
    assert_eq!(caller.call("GET /v1/jobs/{id}", &done, &known, None).await.status, 304);
    assert_eq!(caller.call("GET /v1/jobs/{id}", &done, &[("genmux-version", "x")], None).await.status, 400);
    assert_eq!(caller.call("POST /v1/jobs/{id}/cancel", &stopped, &[], None).await.status, 202);
    assert_eq!(caller.call("DELETE /v1/jobs/{id}/media", &stopped, &[], None).await.status, 409);
    assert_eq!(caller.read(&stopped).await.body["cancel_requested"], true);

    world.clock.advance(LATENCY);
    world.simulator(Provider::Fal).deliver_due().await.unwrap();
    caller.webhooks().await;
    for (id, status) in [(&done, "succeeded"), (&failed, "failed"), (&stopped, "canceled")] {
        world.finish(&id.parse().unwrap()).await;
        assert_eq!(caller.read(id).await.text("/status"), status);
    }
    assert_eq!(caller.submit("a boat").await, done);
    assert_eq!(caller.call("POST /v1/jobs/{id}/cancel", &done, &[], None).await.status, 409);
    assert_eq!(caller.call("POST /v1/jobs/{id}/cancel", NO_JOB, &[], None).await.status, 404);
    assert_eq!(caller.read(NO_JOB).await.status, 404);
    world.tick().await;
    caller.lists().await;
    for route in ["GET /v1/jobs?status=done", "GET /v1/account?limit=0", "GET /v1/usage?bucket=1m"] {
        assert_eq!(caller.call(route, "", &[], None).await.status, 422);
    }
    caller.events(&Receiver::start().await).await;
    caller.payments().await;
    caller.refusals().await;
    world.audit().await;
    let slow = |options: &mut Options| options.env = Env::from_pairs([("KEY_RATE_LIMIT", "1")]);
    let world = World::with(slow).await;
    let hasty = Caller::new(world).await;
    tokio::join!(hasty.too_many_requests(), hasty.slow_test());
    caller.seen.lock().unwrap().extend(hasty.seen.into_inner().unwrap());
    // Nothing is described that was not seen, but for the gateway's own failures.
    let gateway =
        |route: &str, status: &str| status == "500" || (route == "GET /openapi.json" && status == "503");
    let operations = caller.document.operations().chain(caller.callbacks.operations());
    let described = operations.flat_map(|(route, operation): (String, &Value)| {
        let statuses = operation["responses"].as_object().unwrap().keys();
        statuses
            .filter(|status| !gateway(&route, status))
            .map(|status| format!("{route} {status}"))
            .collect::<Vec<_>>()
    });
    assert_same(&caller.seen.into_inner().unwrap(), &described.collect());
}
