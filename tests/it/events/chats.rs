//! Chats and alerts, at the simulators of their vendors.

use sim::channels::Play;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_one_alert_on_each_channel_and_one_recovery() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (chat, url) = (&world.stack.channels, channels_url(&world));
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
    let said = || [chat.texts("slack"), chat.texts("discord")];
    assert_eq!(said(), [[down], [down]]);
    assert_eq!(receiver.count("/alerts"), 1);
    for _ in 0..3 {
        probe(false).await;
    }
    assert_eq!(said(), [[down, "Provider fal has recovered."]; 2]);
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
    assert!(chat.texts("slack").contains(&"Provider runway needs attention (auth).".to_owned()));
    // Customers have no such event.
    let events = api(&world, Method::GET, "/v1/events", Value::Null).await;
    assert_eq!(events.body["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_busy_is_told_later_and_one_that_is_deleted_disables_its_endpoint() {
    let world = World::new().await;
    let (vendors, url) = (&world.stack.channels, channels_url(&world));
    let busy = [
        ("slack", format!("{url}/services/T0/B0/secret")),
        ("discord", format!("{url}/api/webhooks/1/secret")),
        ("telegram", "-1001557912345".to_owned()),
    ];
    let mut waiting = Vec::new();
    for (kind, address) in busy {
        vendors.play(kind, Play::Busy(90));
        waiting.push((kind, on_channel(&world, kind, &address).await));
    }
    let gone = [
        ("discord", format!("{url}/api/webhooks/404/secret")),
        ("discord", format!("{url}/api/webhooks/1/gone")),
        ("slack", format!("{url}/services/T0/B0/gone")),
        ("telegram", "404".to_owned()),
        ("telegram", "403".to_owned()),
        ("telegram", "-400".to_owned()),
    ];
    let job = world.submit("gen-4.5", "a <boat> & more", "chats").await;
    world.finish(&job).await;
    world.drain().await;
    assert_eq!(vendors.taken(), []);
    for (kind, id) in &waiting {
        let waits = &deliveries(&world, id).await[0];
        let found = (&waits["status"], &waits["tries"][0]["status_code"]);
        assert_eq!(found, (&json!("pending"), &json!(429)), "{kind}");
    }
    pass(&world, Duration::from_secs(80)).await;
    assert_eq!(vendors.taken(), []);
    pass(&world, Duration::from_secs(80)).await;
    for (kind, _) in &waiting {
        assert_eq!(vendors.texts(kind), [format!("Job {job} (gen-4.5) has succeeded.")], "{kind}");
    }
    for (kind, address) in &gone {
        let id = on_channel(&world, kind, address).await;
        while_drained(&world, api(&world, Method::POST, &format!("/v1/endpoints/{id}/test"), Value::Null))
            .await;
        assert_eq!(status_of(&world, &id).await["disabled_reason"], "gone", "{kind} {address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_in_the_field_of_its_kind() {
    let world = World::new().await;
    let url = channels_url(&world);
    for (body, field) in [
        (json!({"kind": "slack", "url": format!("{url}/api/webhooks/1/secret")}), "url"),
        (json!({"kind": "telegram", "to": "a chat"}), "to"),
        (json!({"kind": "telegram", "url": format!("{url}/x")}), "url"),
        (json!({"kind": "telegram"}), "to"),
        (json!({"kind": "webhook", "to": "1"}), "to"),
        (json!({}), "url"),
    ] {
        let mut order = body.clone();
        order["types"] = json!(["*"]);
        let refused = api(&world, Method::POST, "/v1/endpoints", order).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body} {refused:?}");
    }
    let id = on_channel(&world, "telegram", "12").await;
    let path = format!("/v1/endpoints/{id}");
    let changed = api(&world, Method::PATCH, &path, json!({"to": "@genmux_news"})).await;
    assert_eq!((changed.text("/to"), changed.body.get("url")), ("@genmux_news", None));
    let refused = api(&world, Method::PATCH, &path, json!({"url": "https://a.example"})).await;
    assert_eq!(refused.body["errors"][0]["field"], "url");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_refused_is_no_fault_of_the_endpoint_and_a_repeat_of_a_lost_answer_is_shown() {
    let world = World::new().await;
    let id = on_channel(&world, "telegram", "12").await;
    for play in [Play::Unauthorized, Play::Lost] {
        world.stack.channels.play("telegram", play);
    }
    let job = world.submit("gen-4.5", "a boat", "refused").await;
    world.finish(&job).await;
    pass(&world, Duration::from_secs(2)).await;
    let refused = &deliveries(&world, &id).await[0]["tries"][0];
    assert_eq!((&refused["status_code"], &refused["error"]), (&json!(401), &json!("sender_refused")));
    assert_eq!(status_of(&world, &id).await["failures"], 0);
    pass(&world, HOUR).await;
    assert_eq!(world.stack.channels.texts("telegram").len(), 2);
    assert_eq!(deliveries(&world, &id).await[0]["status"], "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_without_a_sender_is_refused_with_those_that_there_are() {
    let world = World::new().await;
    let function =
        world.start("endpoints", &[("SENDERS", ""), ("EVENT_TARGETS", ""), ("GOOGLE_TARGETS", "")]).await;
    let bearer = format!("Bearer {}", world.key);
    let order = json!({"kind": "telegram", "to": "1", "types": ["*"]}).to_string();
    let event = json!({
        "version": "2.0", "routeKey": "POST /v1/endpoints", "rawPath": "/v1/endpoints", "rawQueryString": "",
        "headers": {"authorization": bearer, "content-type": "application/json"},
        "requestContext": {"routeKey": "POST /v1/endpoints", "http": {"method": "POST", "path": "/v1/endpoints"}},
        "body": order, "isBase64Encoded": false,
    });
    let answer = function.invoke(event).await;
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(answer["statusCode"], 422, "{body}");
    assert_eq!(body["errors"][0]["field"], "kind");
    assert_eq!(body["errors"][0]["allowed"], json!(["webhook", "slack", "discord", "websocket"]));
}
