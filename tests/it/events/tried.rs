//! Events that arrive.

use domain::job::State;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_moves_of_a_job_arrive_signed_and_are_listed() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (id, secret) = endpoint(&world, &receiver.url("/hook"), &["job.*"]).await;
    let job = world.submit("gen-4.5", "a paper boat", "told").await;
    assert_eq!(world.finish(&job).await.state(), State::Succeeded);
    world.drain().await;

    let received = receiver.at("/hook");
    let types: Vec<_> = received.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["job.running", "job.succeeded"]);
    for one in &received {
        assert!(one.is_signed_by(&secret), "{one:?}");
        assert!(one.header("webhook-id").starts_with("evt_") && !one.header("webhook-id").contains('.'));
        assert_eq!(one.header("content-type"), "application/json");
        assert!(one.body.len() < 20_000);
    }
    let body = received[1].json();
    let now = world.status(&job).await.body;
    assert_eq!(body["data"]["id"], job.as_str());
    assert_eq!(body["data"]["status"], "succeeded");
    assert_eq!(body["data"]["media"][0]["sha256"], now["media"][0]["sha256"]);
    let file = reqwest::get(body["data"]["media"][0]["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(file.status(), 200);
    assert_eq!(body["data"]["request"], now["request"]);

    let listed = deliveries(&world, &id).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["type"], "job.succeeded", "the newest first");
    assert_eq!(
        (&listed[0]["status"], &listed[0]["tries"][0]["status_code"]),
        (&json!("delivered"), &json!(200))
    );
    let events = api(&world, Method::GET, "/v1/events", Value::Null).await.body;
    assert_eq!(events["events"][0]["id"], received[1].header("webhook-id"));
    assert_eq!(events["events"][0]["data"], body["data"]);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_url_gets_the_end_of_its_job_alone() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let order =
        |path: &str| json!({"model": "gen-4.5", "prompt": "a boat", "callback_url": receiver.url(path)});
    let one = world.post_job(&order("/one"), "one").await.text("/id").parse().unwrap();
    let plain = world.submit("gen-4.5", "a boat", "plain").await;
    for id in [&one, &plain] {
        assert_eq!(world.finish(id).await.state(), State::Succeeded);
    }
    world.drain().await;
    let received = receiver.at("/one");
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].json()["data"]["id"], one.as_str());
    let secret = api(&world, Method::GET, "/v1/endpoints/ep_callback/secret", Value::Null).await;
    assert!(received[0].is_signed_by(secret.text("/secret")));
    assert_eq!(deliveries(&world, "ep_callback").await.len(), 1);
    assert_eq!(
        api(&world, Method::GET, "/v1/events", Value::Null).await.body["events"].as_array().unwrap().len(),
        1
    );

    // Its secret is replaced, and the old one signs as well for a time.
    let rotated = api(&world, Method::POST, "/v1/endpoints/ep_callback/secret/rotate", Value::Null).await;
    assert_eq!(rotated.text("/previous_secret"), secret.text("/secret"));
    let failed = json!({"model": "gen-4.5", "prompt": "a boat [[sim: fail=content_policy]]", "callback_url": receiver.url("/two")});
    let two = world.post_job(&failed, "two").await.text("/id").parse().unwrap();
    assert_eq!(world.finish(&two).await.state(), State::Failed);
    world.drain().await;
    let received = receiver.at("/two");
    assert_eq!(received[0].json()["type"], "job.failed");
    assert!(
        received[0].is_signed_by(rotated.text("/secret")) && received[0].is_signed_by(secret.text("/secret"))
    );
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_tested_changed_and_deleted() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 503, &[], "not yet");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.failed"]).await;
    let path = format!("/v1/endpoints/{id}");
    let test = format!("{path}/test");
    let tested = while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
    assert_eq!(tested.status, StatusCode::OK, "{tested:?}");
    assert_eq!(tested.body["tries"][0]["status_code"], 503);
    assert_eq!(tested.body["tries"][0]["answer"], "not yet");
    assert_eq!(receiver.at("/hook")[0].json()["type"], "endpoint.test");

    let changed = json!({"types": ["job.*"], "v1a": true, "url": receiver.url("/new")});
    let changed = api(&world, Method::PATCH, &path, changed).await;
    assert_eq!(changed.body["types"], json!(["job.*"]), "{changed:?}");
    let secrets = api(&world, Method::GET, &format!("{path}/secret"), Value::Null).await;
    let job = world.submit("gen-4.5", "a boat", "new").await;
    world.finish(&job).await;
    world.drain().await;
    let received = receiver.at("/new");
    // The test event again, and two of the job.
    assert_eq!(received.len(), 3);
    for key in ["/secret", "/public_key"] {
        assert!(received[1].is_signed_by(secrets.text(key)), "{key}");
    }

    assert_eq!(api(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    for (method, path) in [(Method::GET, &path), (Method::DELETE, &path), (Method::POST, &test)] {
        assert_eq!(api(&world, method, path, Value::Null).await.status, StatusCode::NOT_FOUND);
    }
    let job = world.submit("gen-4.5", "a boat", "after").await;
    world.finish(&job).await;
    world.drain().await;
    assert_eq!(receiver.count("/new"), 3);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_names_its_field_and_accounts_do_not_see_each_other() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let good = || json!({"url": receiver.url("/hook"), "types": ["*"]});
    for (field, value) in [
        ("url", json!("ftp://a.example")),
        ("url", json!("https://10.0.0.1/")),
        ("types", json!([])),
        ("types", json!(["job"])),
        ("description", json!("x".repeat(257))),
        ("types", json!(null)),
        ("url", json!(null)),
    ] {
        let mut body = good();
        body[field] = value.clone();
        let refused = api(&world, Method::POST, "/v1/endpoints", body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    // As in an order, `null` is absent.
    let mut nulls = good();
    for field in ["kind", "to", "description", "v1a"] {
        nulls[field] = Value::Null;
    }
    let made = api(&world, Method::POST, "/v1/endpoints", nulls).await;
    assert_eq!((made.status, &made.body["kind"]), (StatusCode::CREATED, &json!("webhook")), "{made:?}");
    let mut last = (String::new(), String::new());
    for _ in 1..20 {
        last = endpoint(&world, &receiver.url("/hook"), &["*"]).await;
    }
    let refused = api(&world, Method::POST, "/v1/endpoints", good()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "too_many_endpoints"));
    let path = format!("/v1/endpoints/{}", last.0);
    let disabled = api(&world, Method::PATCH, &path, json!({"status": "disabled"})).await;
    assert_eq!(disabled.body["errors"][0]["allowed"], json!(["enabled", "paused"]));

    // In a change `null` would take away what cannot be missing; but a description can be taken away.
    for field in ["url", "types", "v1a", "status"] {
        let refused = api(&world, Method::PATCH, &path, json!({field: null})).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    for (given, want) in [(json!("ours"), json!("ours")), (json!(null), json!(null))] {
        let changed = api(&world, Method::PATCH, &path, json!({"description": given})).await;
        assert_eq!(changed.body["description"], want, "{changed:?}");
    }

    let other: domain::id::AccountId = "acct_other".parse().unwrap();
    let key = world.new_key(&other, vec![shared::store::keystore::Scope::Read]).await;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    for path in [path.as_str(), &format!("{path}/deliveries")] {
        assert_eq!(world.call(Method::GET, path, &headers, None).await.status, StatusCode::NOT_FOUND);
    }
    let secret = world.call(Method::GET, "/v1/endpoints/ep_callback/secret", &headers, None).await;
    assert_eq!(secret.status, StatusCode::FORBIDDEN, "a key that only reads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_creates_one_endpoint() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let body = |path: &str| json!({"url": receiver.url(path), "types": ["*"]}).to_string();
    let create = async |path: &str| {
        let headers = [("idempotency-key", "\"hooks\"")];
        world.call(Method::POST, "/v1/endpoints", &headers, Some(&body(path))).await
    };
    let first = create("/hook").await;
    assert_eq!(
        (first.status, first.headers.get("idempotent-replayed").is_some()),
        (StatusCode::CREATED, false)
    );
    let again = create("/hook").await;
    assert_eq!(
        (again.status, again.headers.get("idempotent-replayed").is_some()),
        (StatusCode::CREATED, true)
    );
    assert_eq!(again.body, first.body, "the secret, too");
    let other = create("/other").await;
    assert_eq!((other.status, other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    let listed = api(&world, Method::GET, "/v1/endpoints", Value::Null).await;
    assert_eq!(listed.body["endpoints"].as_array().unwrap().len(), 1);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_ends_no_secret_earlier_than_was_said() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (id, secret) = endpoint(&world, &receiver.url("/hook"), &["*"]).await;
    let path = format!("/v1/endpoints/{id}/secret/rotate");
    let first = api(&world, Method::POST, &path, Value::Null).await;
    assert_eq!(first.text("/previous_secret"), secret);
    let refused = api(&world, Method::POST, &path, json!({"grace_s": 60})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "still_rotating"));
    let at_once = api(&world, Method::POST, &path, json!({"grace_s": 0})).await;
    assert_eq!(at_once.body["previous_secret"], Value::Null, "{at_once:?}");
    let null = api(&world, Method::POST, &path, json!({"grace_s": null})).await;
    assert_ne!(null.body["previous_secret_until"], Value::Null, "a day: {null:?}");
    // No one created what stands for callback URLs.
    let callbacks = status_of(&world, "ep_callback").await;
    assert_eq!((&callbacks["created_at"], &callbacks["updated_at"]), (&Value::Null, &Value::Null));
}
