//! Mails and texts: sent once, at the simulators of their vendors.

use harness::Moment;
use shared::boot::Env;
use sim::channels::Play;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_has_a_link_that_ends_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let id = on_channel(&world, "email", "anna@mail.example").await;
    endpoint(&world, &receiver.url("/others"), &["endpoint.disabled"]).await;
    let job = succeed(&world, "mailed").await;
    let sent = world.stack.channels.taken();
    assert_eq!((sent.len(), sent[0].channel, &*sent[0].to), (1, "sendgrid", "anna@mail.example"));
    assert!(sent[0].text.starts_with(&format!("Job {job} (gen-4.5) has succeeded\nJob {job}")), "{sent:?}");
    assert_eq!(sent[0].body["from"], json!({"email": "events@genmux.example", "name": "Genmux"}));
    let headers = &sent[0].body["headers"];
    assert_eq!(headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    let link = headers["List-Unsubscribe"].as_str().unwrap().trim_matches(['<', '>']);
    let path = link.strip_prefix(&world.stack.api_url).expect(link);

    // Whoever opens the link, or changes it, changes nothing.
    let nobody = [("authorization", "")];
    let form = Some("List-Unsubscribe=One-Click");
    let page = world.call(Method::GET, path, &nobody, None).await;
    assert_eq!(
        (page.status, &page.headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    let forged = path.replace("acct_test", "acct_poor");
    assert_eq!(world.call(Method::POST, &forged, &nobody, form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(status_of(&world, &id).await["status"], "enabled");

    for _ in 0..2 {
        assert_eq!(world.call(Method::POST, path, &nobody, form).await.status, StatusCode::OK);
    }
    world.drain().await;
    let now = status_of(&world, &id).await;
    assert_eq!((&now["status"], &now["disabled_reason"]), (&json!("disabled"), &json!("unsubscribed")));
    assert_eq!(receiver.at("/others").len(), 1);
    assert_eq!(receiver.at("/others")[0].json()["data"]["reason"], "unsubscribed");
    succeed(&world, "not mailed").await;
    assert_eq!(world.stack.channels.taken().len(), 1);

    // Who wants no more mails gets none until there is another reader.
    for change in [json!({"status": "enabled"}), json!({"status": "enabled", "to": "anna@mail.example"})] {
        let refused = api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), change).await;
        assert_eq!(
            (refused.status, refused.text("/errors/0/field")),
            (StatusCode::UNPROCESSABLE_ENTITY, "status")
        );
    }
    // Not by pausing it in between either.
    let paused =
        api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), json!({"status": "paused"})).await;
    assert_eq!(paused.body["status"], "paused");
    let refused =
        api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), json!({"status": "enabled"})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    // A link in a mail to an earlier address; the move and the enabling may be two requests.
    let moved = json!({"to": "bert@mail.example"});
    let moved = api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), moved).await;
    assert_eq!((&moved.body["status"], &moved.body["disabled_reason"]), (&json!("paused"), &Value::Null));
    let enabled =
        api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), json!({"status": "enabled"})).await;
    assert_eq!(enabled.body["status"], "enabled");
    assert_eq!(world.call(Method::POST, path, &nobody, form).await.status, StatusCode::NOT_FOUND);
}

/// Each channel that sends once: its vendor's name, an address, and the senders.
const ONCE: [(&str, &str, &str, &str); 4] = [
    ("email", "sendgrid", "anna@mail.example", "sendgrid"),
    ("email", "ses", "anna@mail.example", "ses"),
    ("sms", "twilio", "+4915123456789", "twilio"),
    ("sms", "sns", "+4915123456789", "sns_sms"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_arrived_is_not_sent_again_and_what_certainly_did_not_is() {
    for (kind, vendor, address, senders) in ONCE {
        let world = World::with(|options| options.env = Env::from_pairs([("SENDERS", senders)])).await;
        let id = on_channel(&world, kind, address).await;
        world.stack.channels.play(vendor, Play::Busy(8));
        world.stack.channels.play(vendor, Play::Unauthorized);
        world.stack.channels.play(vendor, Play::Down);
        world.stack.channels.play(vendor, Play::Lost);
        let job = succeed(&world, kind).await;
        assert_eq!(world.stack.channels.texts(vendor), Vec::<String>::new());
        pass(&world, HOUR * 20).await;
        let texts = world.stack.channels.texts(vendor);
        assert!(texts.len() == 1 && texts[0].contains(&job), "{texts:?}");
        let delivery = &deliveries(&world, &id).await[0];
        assert_eq!(delivery["status"], "delivered", "{delivery}");
        let tries: Vec<_> = delivery["tries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["outcome"].as_str().unwrap(), one["status_code"].as_u64(), one["error"].as_str()))
            .collect();
        let (refused, down) = (tries[1].1, tries[2].1);
        assert!(matches!((refused, down), (Some(401 | 403), Some(500..=503))), "{tries:?}");
        assert_eq!(
            tries,
            [
                ("failed", Some(429), None),
                ("failed", refused, Some("sender_refused")),
                ("failed", down, None),
                ("delivered", None, Some("connection_broken")),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_sends_a_mail_twice() {
    let world = World::new().await;
    on_channel(&world, "email", "anna@mail.example").await;
    let play = async |name: &str| {
        let job = world.submit("gen-4.5", "a boat", name).await;
        world.finish(&job).await;
        pass(&world, Duration::from_secs(300)).await;
        job.to_string()
    };
    play("warms the instances").await;
    world.wire.reset();
    play("undisturbed").await;
    let mut lost = 0;
    // Those of `deliver` are the last.
    let effects = world.wire.effects();
    for k in effects.saturating_sub(24)..effects {
        world.wire.reset();
        world.wire.crash_at(k, Moment::After);
        let job = play(&format!("crash {k}")).await;
        let texts = world.stack.channels.texts("sendgrid");
        let mails = texts.iter().filter(|text| text.contains(&job)).count();
        let events = api(&world, Method::GET, "/v1/events", Value::Null).await;
        let event =
            events.body["events"].as_array().unwrap().iter().find(|event| event["job"] == job.as_str());
        let path = format!("/v1/events/{}/deliveries", event.unwrap()["id"].as_str().unwrap());
        let delivery = &api(&world, Method::GET, &path, Value::Null).await.body["deliveries"][0];
        assert_eq!(delivery["status"], "delivered", "crash {k}: {delivery}");
        let error = &delivery["tries"][0]["error"];
        // It died between the claim and the call, which looks the same as after the call.
        assert!(mails == 1 || (mails == 0 && error == "not_recorded"), "crash {k}: {mails} {delivery}");
        lost += usize::from(error == "not_recorded");
    }
    assert!(lost > 0, "no try was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_takes_no_texts_disables_its_endpoint() {
    let world = World::new().await;
    let vendors = &world.stack.channels;
    let id = on_channel(&world, "sms", "+4915123456789").await;
    let job = succeed(&world, "texted").await;
    assert_eq!(vendors.texts("twilio"), [format!("Job {job} (gen-4.5) has succeeded.")]);
    for (number, reason) in [("+15005550001", "gone"), ("+15005550004", "gone"), ("+15005550002", "")] {
        let moved = json!({"to": number, "status": "enabled"});
        api(&world, Method::PATCH, &format!("/v1/endpoints/{id}"), moved).await;
        let test = format!("/v1/endpoints/{id}/test");
        let tested = while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
        assert_eq!(tested.text("/status"), "failed", "{number}");
        let shown = status_of(&world, &id).await;
        assert_eq!(shown["disabled_reason"].as_str().unwrap_or_default(), reason, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_tests_and_repeats_a_phone_gets_ten_in_an_hour_also_if_they_are_asked_for_at_once() {
    let world = World::new().await;
    let id = on_channel(&world, "sms", "+4915123456789").await;
    succeed(&world, "texted").await;
    let event = deliveries(&world, &id).await[0]["event"].as_str().unwrap().to_owned();
    let test = format!("/v1/endpoints/{id}/test");
    let tests = (0..6).map(|_| api(&world, Method::POST, &test, Value::Null));
    let tested = while_drained(&world, futures_util::future::join_all(tests)).await;
    assert!(tested.iter().all(|one| one.status == StatusCode::OK || one.status == 503), "{tested:?}");
    let mut taken = tested.iter().filter(|one| one.status == StatusCode::OK).count();
    let again = format!("/v1/events/{event}/redeliver");
    let refused = loop {
        let answer = api(&world, Method::POST, &again, Value::Null).await;
        world.drain().await;
        match answer.status {
            StatusCode::ACCEPTED => taken += 1,
            _ => break answer,
        }
        assert!(taken <= 10, "{taken}");
    };
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"));
    assert_eq!((taken, world.stack.channels.texts("twilio").len()), (10, 11));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    for (path, body) in [(test, Value::Null), (format!("/v1/endpoints/{id}/recover"), since)] {
        assert_eq!(
            api(&world, Method::POST, &path, body).await.status,
            StatusCode::TOO_MANY_REQUESTS,
            "{path}"
        );
    }
    world.clock.advance(Duration::from_secs(wait));
    let answer = api(&world, Method::POST, &again, Value::Null).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    // Its events come all the same, and a webhook is not counted.
    succeed(&world, "texted as well").await;
    let receiver = Receiver::start().await;
    let (hook, _) = endpoint(&world, &receiver.url("/hook"), &["job.*"]).await;
    for _ in 0..12 {
        let path = format!("/v1/events/{event}/redeliver");
        let answer = api(&world, Method::POST, &path, json!({"endpoint": hook})).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        world.drain().await;
    }
}
