//! Targets in clouds, at the simulators of their services.

use sim::channels::Play;

use super::*;

const TARGETS: [(&str, &str, &str); 4] = [
    ("sns", "arn:aws:sns:us-east-1:000000000000:events", "arn:aws:sns:us-east-1:000000000000:gone"),
    ("sqs", "arn:aws:sqs:us-east-1:000000000000:events", "arn:aws:sqs:us-east-1:000000000000:gone"),
    (
        "eventbridge",
        "arn:aws:events:us-east-1:000000000000:event-bus/events",
        "arn:aws:events:us-east-1:000000000000:event-bus/gone",
    ),
    (
        "lambda",
        "arn:aws:lambda:us-east-1:000000000000:function:events",
        "arn:aws:lambda:us-east-1:000000000000:function:gone",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_gets_the_event_with_its_id_also_after_a_limit_and_a_lost_answer() {
    let world = World::new().await;
    let vendors = &world.stack.channels;
    let mut endpoints = Vec::new();
    for (kind, target, _) in TARGETS {
        for play in [Play::Busy(1), Play::Unauthorized, Play::Lost] {
            vendors.play(kind, play);
        }
        let id = on_channel(&world, kind, target).await;
        assert_eq!(status_of(&world, &id).await["to"], target);
        endpoints.push((kind, id));
    }
    let job = succeed(&world, "targets").await;
    pass(&world, HOUR * 3).await;
    for (kind, id) in endpoints {
        let delivery = &deliveries(&world, &id).await[0];
        assert_eq!(delivery["status"], "delivered", "{kind}: {delivery}");
        assert_eq!(delivery["tries"].as_array().unwrap().len(), 4, "{kind}: {delivery}");
        assert_eq!(delivery["tries"][1]["error"], "sender_refused", "{kind}: {delivery}");
        assert_eq!(delivery["tries"][1]["answer"], Value::Null, "it tells of the owner's account");
        let texts = vendors.texts(kind);
        assert_eq!(texts.len(), 2, "{kind}: a repeat shows by its id");
        assert_eq!(texts[0], texts[1]);
        let event: Value = serde_json::from_str(&texts[0]).unwrap();
        assert_eq!((&event["id"], &event["data"]["id"]), (&delivery["event"], &json!(job)), "{kind}");
        assert_eq!(event["data"]["media"][0]["url"].as_str().map(|url| url.starts_with("http")), Some(true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_not_listed_is_refused() {
    let world = World::new().await;
    for (kind, target, _) in TARGETS {
        for other in [
            target.replace("events", "other"),
            target.replace("us-east-1", "us-east-2"),
            format!("{target}x"),
        ] {
            if other == target {
                continue;
            }
            let body = json!({"kind": kind, "to": other, "types": ["*"]});
            let refused = api(&world, Method::POST, "/v1/endpoints", body).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{other}");
            assert_eq!(refused.body["errors"][0]["field"], "to", "{other}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_does_not_exist_disables_its_endpoint() {
    let world = World::new().await;
    for (kind, _, gone) in TARGETS {
        let id = on_channel(&world, kind, gone).await;
        let test = format!("/v1/endpoints/{id}/test");
        while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
        assert_eq!(status_of(&world, &id).await["disabled_reason"], "gone", "{kind}");
    }
}
