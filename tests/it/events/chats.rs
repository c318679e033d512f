//! Chats and alerts. The servers here answer as Slack's and Discord's documents say, and refuse what
//! those refuse.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode as Status;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::id::AccountId;
use shared::store::keystore::Scope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Chat {
    said: Arc<Mutex<Vec<String>>>,
    /// The next answers are a rate limit of so many seconds.
    busy: Arc<Mutex<Vec<f64>>>,
}

impl Chat {
    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    async fn start(&self) -> String {
        let router = Router::new()
            .route("/services/{*rest}", post(slack))
            .route("/api/webhooks/{id}/{token}", post(discord))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn slack(State(chat): State<Chat>, Path(rest): Path<String>, body: Bytes) -> Response {
    if rest != "T0/B0/secret" {
        return (Status::NOT_FOUND, "no_service").into_response();
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return (Status::BAD_REQUEST, "invalid_payload").into_response();
    };
    let Some(text) = message["text"].as_str().filter(|text| !text.is_empty()) else {
        return (Status::BAD_REQUEST, "no_text").into_response();
    };
    chat.said.lock().unwrap().push(format!("slack: {text}"));
    (Status::OK, "ok").into_response()
}

async fn discord(
    State(chat): State<Chat>,
    Path((id, token)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let answer = |status: Status, body: Value| (status, axum::Json(body)).into_response();
    if id != "1" {
        return answer(Status::NOT_FOUND, json!({"message": "Unknown Webhook", "code": 10015}));
    }
    if token != "secret" {
        return answer(Status::UNAUTHORIZED, json!({"message": "Invalid Webhook Token", "code": 50027}));
    }
    if let Some(after) = chat.busy.lock().unwrap().pop() {
        let body = json!({"message": "You are being rate limited.", "retry_after": after, "global": false});
        return answer(Status::TOO_MANY_REQUESTS, body);
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let content = message["content"].as_str().unwrap_or_default();
    if content.is_empty() || content.chars().count() > 2_000 {
        return answer(Status::BAD_REQUEST, json!({"code": 50035, "message": "Invalid Form Body"}));
    }
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    chat.said.lock().unwrap().push(format!("discord: {content}"));
    match query.get("wait").map(String::as_str) {
        Some("true") => answer(Status::OK, json!({"id": "2", "content": content})),
        _ => Status::NO_CONTENT.into_response(),
    }
}

/// Calls the API as this account.
async fn as_account(world: &World, account: &AccountId, path: &str, body: &Value) -> Answer {
    let key = world.new_key(account, vec![Scope::Read, Scope::Write]).await;
    let bearer = format!("Bearer {key}");
    world.call(Method::POST, path, &[("authorization", &bearer)], Some(&body.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_one_alert_on_each_channel_and_one_recovery() {
    let (world, chat) = (World::new().await, Chat::default());
    let (url, receiver) = (chat.start().await, Receiver::start().await);
    let operator = AccountId::operator();
    for (kind, url) in [
        ("slack", format!("{url}/services/T0/B0/secret")),
        ("discord", format!("{url}/api/webhooks/1/secret")),
        ("webhook", receiver.url("/alerts")),
    ] {
        let body = json!({"kind": kind, "url": url, "types": ["provider.*"]});
        let made = as_account(&world, &operator, "/v1/endpoints", &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        // The address of a chat is a secret.
        assert!(!made.text("/url").contains("/secret"), "{made:?}");
    }
    let probe = async |failed: bool| {
        if failed {
            world.simulator(Provider::Fal).cut(CallKind::Ping, Fault::DropBefore);
        }
        let event = include_str!("../../../events/health/schedule.json");
        let (one, other) = (
            world.stack.host.invoke("health", serde_json::from_str(event).unwrap()),
            world.stack.host.invoke("health", serde_json::from_str(event).unwrap()),
        );
        // Two runs overlap at the last probe.
        let _answers = if failed {
            (one.await, None)
        } else {
            let (a, b) = tokio::join!(one, other);
            (a, Some(b))
        };
        world.drain().await;
        world.clock.advance(Duration::from_secs(60));
    };
    for _ in 0..5 {
        probe(true).await;
    }
    let down = "Provider fal is down: 3 pings in a row failed.";
    let mut said = chat.said();
    said.sort();
    assert_eq!(said, [format!("discord: {down}"), format!("slack: {down}")]);
    assert_eq!(receiver.count("/alerts"), 1);
    for _ in 0..3 {
        probe(false).await;
    }
    assert_eq!(chat.said().len(), 4, "{:?}", chat.said());
    assert!(chat.said()[2..].iter().all(|line| line.ends_with("Provider fal has recovered.")));
    let types: Vec<_> = receiver.at("/alerts").iter().map(|one| one.json()["type"].clone()).collect();
    assert_eq!(types, ["provider.down", "provider.recovered"]);
    // A key that is refused, again and again: one event an hour.
    for n in 0..3 {
        let order = json!({"model": "veo-3.1", "prompt": "a [[sim: create=refuse:401, only=runway]]", "provider": "runway"});
        world.post_job(&order, &format!("refused {n}")).await;
        pass(&world, Duration::from_secs(180)).await;
    }
    let attention: Vec<_> = receiver.at("/alerts").iter().map(|one| one.json()).skip(2).collect();
    assert_eq!(attention.len(), 1, "{attention:?}");
    let data = json!({"provider": "runway", "class": "auth", "reason": null});
    assert_eq!((&attention[0]["type"], &attention[0]["data"]), (&json!("provider.needs_attention"), &data));
    assert!(chat.said().contains(&"slack: Provider runway needs attention (auth).".to_owned()));
    // Customers have no such event.
    let events = api(&world, Method::GET, "/v1/events", Value::Null).await;
    assert_eq!(events.body["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_busy_is_told_later_and_one_that_is_deleted_disables_its_endpoint() {
    let (world, chat) = (World::new().await, Chat::default());
    let url = chat.start().await;
    chat.busy.lock().unwrap().push(90.2);
    let add = async |kind: &str, path: &str| {
        let body = json!({"kind": kind, "url": format!("{url}{path}"), "types": ["job.succeeded"]});
        let made = api(&world, Method::POST, "/v1/endpoints", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.text("/id").to_owned()
    };
    let busy = add("discord", "/api/webhooks/1/secret").await;
    let gone = [
        add("discord", "/api/webhooks/2/secret").await,
        add("discord", "/api/webhooks/1/old").await,
        add("slack", "/services/T0/B0/old").await,
    ];
    let job = world.submit("gen-4.5", "a <boat> & more", "chats").await;
    world.finish(&job).await;
    world.drain().await;
    for id in &gone {
        assert_eq!(status_of(&world, id).await["disabled_reason"], "gone");
    }
    assert_eq!(chat.said(), Vec::<String>::new());
    let waits = &deliveries(&world, &busy).await[0];
    assert_eq!((&waits["status"], &waits["tries"][0]["status_code"]), (&json!("pending"), &json!(429)));
    pass(&world, Duration::from_secs(80)).await;
    assert_eq!(chat.said(), Vec::<String>::new());
    pass(&world, Duration::from_secs(80)).await;
    assert_eq!(chat.said(), [format!("discord: Job {job} (gen-4.5) has succeeded.")]);
    // An address of another kind is refused.
    let wrong = json!({"kind": "slack", "url": format!("{url}/api/webhooks/1/secret"), "types": ["*"]});
    let refused = api(&world, Method::POST, "/v1/endpoints", wrong).await;
    assert_eq!(refused.body["errors"][0]["field"], "url");
}
