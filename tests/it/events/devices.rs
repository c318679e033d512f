//! Devices, and what is at Google, at the simulators of their vendors.

use sim::channels::Play;

use super::*;

const DEVICE: &str = "4f1c9a0e4f1c9a0e4f1c9a0e4f1c9a0e4f1c9a0e4f1c9a0e4f1c9a0e4f1c9a0e";
const ENDPOINT: &str = "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/12345678-abcd";

/// Each kind with an address, the vendor as the simulator names it, and addresses that are gone.
fn kinds(world: &World) -> [(&'static str, String, &'static str, Vec<String>); 5] {
    let (url, long) = (channels_url(world), "x".repeat(40));
    let device = |start: &str| format!("{start}{}", &DEVICE[2..]);
    [
        (
            "fcm",
            format!("token-{long}"),
            "fcm",
            ["gone", "other", "bad"].map(|start| format!("{start}-{long}")).into(),
        ),
        ("apns", DEVICE.to_owned(), "apns", vec![device("00"), device("11")]),
        ("sns_push", ENDPOINT.to_owned(), "sns", vec![ENDPOINT.replace("12345678", "gone")]),
        (
            "pubsub",
            "projects/simulated-project/topics/events".to_owned(),
            "pubsub",
            vec!["projects/simulated-project/topics/gone".to_owned()],
        ),
        ("cloud_run", format!("{url}/cloud-run/f"), "cloud_run", vec![format!("{url}/cloud-run/gone")]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_and_what_is_at_google_get_the_event_also_after_a_limit_and_a_lost_answer() {
    let world = World::new().await;
    let vendors = &world.stack.channels;
    let mut endpoints = Vec::new();
    for (kind, address, vendor, _) in kinds(&world) {
        for play in [Play::Busy(1), Play::Down, Play::Lost] {
            vendors.play(vendor, play);
        }
        endpoints.push((kind, vendor, on_channel(&world, kind, &address).await));
    }
    let job = succeed(&world, "devices").await;
    pass(&world, HOUR * 3).await;
    for (kind, vendor, id) in endpoints {
        let delivery = &deliveries(&world, &id).await[0];
        assert_eq!(delivery["status"], "delivered", "{kind}: {delivery}");
        assert_eq!(delivery["tries"].as_array().unwrap().len(), 4, "{kind}: {delivery}");
        assert_eq!(delivery["tries"][3]["answer"], Value::Null, "it may tell of the owner's account");
        let taken: Vec<_> = vendors.taken().into_iter().filter(|one| one.channel == vendor).collect();
        assert_eq!(taken.len(), 2, "{kind}: a repeat shows by its id");
        assert_eq!(taken[0].body, taken[1].body, "{kind}");
        let sent = taken[0].body.to_string() + &taken[0].text;
        assert!(sent.contains(&job), "{kind}: {sent}");
        let line = format!("Job {job} (gen-4.5) has succeeded.");
        match kind {
            "fcm" => {
                let message = &taken[0].body["message"];
                assert_eq!(
                    (&message["notification"]["body"], &message["data"]["id"]),
                    (&json!(line), &delivery["event"])
                );
            }
            "apns" => assert_eq!(taken[0].text, line),
            "sns_push" => assert_eq!(serde_json::from_str::<Value>(&taken[0].text).unwrap()["default"], line),
            _ => {
                let event: Value = serde_json::from_str(&taken[0].text).unwrap();
                assert_eq!(event["data"]["id"], job.as_str(), "{kind}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_disables_its_endpoint_and_a_refused_sender_does_not() {
    let world = World::new().await;
    for (kind, address, vendor, gone) in kinds(&world) {
        let id = on_channel(&world, kind, &address).await;
        let test = format!("/v1/endpoints/{id}/test");
        // What guards a function of the customer's is the customer's.
        if kind != "cloud_run" {
            world.stack.channels.play(vendor, Play::Unauthorized);
            let tested = while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
            assert_eq!(tested.text("/tries/0/error"), "sender_refused", "{kind}: {tested:?}");
            assert_eq!(status_of(&world, &id).await["failures"], 0, "{kind}");
        }
        for address in gone {
            let gone = on_channel(&world, kind, &address).await;
            let test = format!("/v1/endpoints/{gone}/test");
            while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
            assert_eq!(status_of(&world, &gone).await["disabled_reason"], "gone", "{kind} {address}");
        }
    }
    // Without a token, nothing is sent, and no endpoint is blamed.
    for (play, error) in [(Play::Unauthorized, "sender_refused"), (Play::Down, "no_token")] {
        let world = World::new().await;
        let id = on_channel(&world, "fcm", &"x".repeat(40)).await;
        world.stack.channels.play("google", play);
        let test = format!("/v1/endpoints/{id}/test");
        let tested = while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
        assert_eq!(tested.text("/tries/0/error"), error, "{tested:?}");
        assert_eq!(status_of(&world, &id).await["failures"], 0);
        assert!(world.stack.channels.texts("fcm").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_used_for_less_than_an_hour_and_apples_are_not_renewed_too_often() {
    let world = World::new().await;
    let [fcm, apns, ..] = kinds(&world);
    for (kind, address, ..) in [fcm, apns] {
        on_channel(&world, kind, &address).await;
    }
    for hour in 0..4 {
        succeed(&world, &format!("hour {hour}")).await;
        pass(&world, Duration::from_secs(20 * 60)).await;
        succeed(&world, &format!("later in hour {hour}")).await;
        pass(&world, Duration::from_secs(38 * 60)).await;
    }
    for vendor in ["fcm", "apns"] {
        assert_eq!(world.stack.channels.texts(vendor).len(), 8, "{vendor}");
    }
    for endpoint in
        api(&world, Method::GET, "/v1/endpoints", Value::Null).await.body["endpoints"].as_array().unwrap()
    {
        for delivery in deliveries(&world, endpoint["id"].as_str().unwrap()).await {
            assert_eq!(delivery["tries"].as_array().unwrap().len(), 1, "{delivery}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_googles_that_is_not_listed_and_a_host_that_is_not_googles_are_refused() {
    let world = World::new().await;
    for (kind, field, address) in [
        ("pubsub", "to", "projects/simulated-project/topics/other"),
        ("cloud_run", "url", "https://example.com/f"),
        ("fcm", "to", "a b"),
        ("apns", "to", "xyz"),
        ("sns_push", "to", "arn:aws:sns:us-east-1:000000000000:events"),
    ] {
        let body = json!({"kind": kind, field: address, "types": ["*"]});
        let refused = api(&world, Method::POST, "/v1/endpoints", body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{address}");
    }
}
