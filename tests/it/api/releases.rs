//! A caller's repeat after a deployment that changed what can be ordered.

use std::fs;

use genmux::host::Invocation;
use genmux::stack::start_function;
use harness::World;
use serde_json::{Value, json};
use shared::boot::{Env, Process};

use crate::documents::openapi::root;

/// Submits this body under the key `deployed`, to a `submit` that has these providers.
async fn submit(world: &World, providers: &str, body: &Value) -> (u64, Value) {
    let environment = world.stack.host.template().functions["submit"].environment.clone();
    let endpoints = ["DYNAMODB", "SQS"].map(|service| {
        let name = format!("AWS_ENDPOINT_URL_{service}");
        (name.clone(), world.operator.env.get(&name).unwrap().to_owned())
    });
    let mut environment: std::collections::BTreeMap<_, _> =
        environment.into_iter().chain(endpoints).collect();
    environment.insert("PROVIDERS".to_owned(), providers.to_owned());
    let process = Process { env: Env::from_pairs(environment), ..world.operator.clone() };
    let function = start_function("submit", &process).unwrap();
    let event = fs::read_to_string(root().join("events/submit/idempotency_key.json")).unwrap();
    let mut event: Value = serde_json::from_str(&event).unwrap();
    event["headers"]["authorization"] = json!(format!("Bearer {}", world.key));
    event["headers"]["idempotency-key"] = json!("deployed");
    event["body"] = json!(body.to_string());
    event["isBase64Encoded"] = json!(false);
    let context = Invocation {
        request_id: "request".to_owned(),
        function_name: "submit".to_owned(),
        function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:submit".to_owned(),
        deadline_ms: 0,
        trace_id: String::new(),
    };
    let answer = function.invoke(event, context).await.unwrap();
    (answer["statusCode"].as_u64().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_finds_its_job_though_its_model_is_no_longer_sold() {
    let world = World::new().await;
    let body = json!({"model": "pika-2.2", "prompt": "a boat"});
    let (status, first) = submit(&world, "fal,runway", &body).await;
    assert_eq!(status, 202, "{first}");
    let charged = world.balance().await;
    let (status, again) = submit(&world, "runway", &body).await;
    assert_eq!(status, 202, "{again}");
    assert_eq!(again["headers"]["location"], first["headers"]["location"]);
    assert_eq!(again["headers"]["idempotent-replayed"], json!("true"));
    assert_eq!(world.balance().await, charged);
    // Another order under that key, and one that was never taken, are told what is wrong with them.
    let (status, _) = submit(&world, "runway", &json!({"model": "pika-2.2", "prompt": "another"})).await;
    assert_eq!(status, 422);
}
