use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_http::aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use shared::boot::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::template::rate;
use super::super::{Functions, Host, Template, event_function};
use super::{Memory, NOW, deployment, fails, host, script};

#[test]
fn a_rate_is_a_whole_number_of_minutes_or_hours() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    assert_eq!(rate("rate(1 minute)").unwrap(), minutes(1));
    assert_eq!(rate("rate(5 minutes)").unwrap(), minutes(5));
    assert_eq!(rate("rate(1 hour)").unwrap(), minutes(60));
    assert_eq!(rate("rate(2 hours)").unwrap(), minutes(120));
    for wrong in [
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(2 minute)",
        "rate(-1 minutes)",
        "rate(1 day)",
        "rate(1minute)",
        "rate(99999999999999999999 minutes)",
        "rate(18446744073709551615 hours)",
        "cron(0 12 * * ? *)",
        "",
    ] {
        assert!(rate(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_rule_that_fires_becomes_the_platforms_document() {
    let (reconcile, seen) = script(|_| Ok(Value::Null));
    host("reconcile", reconcile, &Arc::default()).fire_schedules().await;
    let (mut event, _) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(event["id"].take().as_str().unwrap().len(), 36);
    assert_eq!(
        event,
        json!({
            "version": "0",
            "id": null,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": "2023-11-14T22:13:20Z",
            "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:000000000000:rule/genmux-ReconcileSchedule"],
            "detail": {},
        })
    );
}

#[tokio::test]
async fn a_typed_handler_reads_the_scheduled_event() {
    let seen = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&seen);
    let health = event_function(move |event: LambdaEvent<EventBridgeEvent>| {
        *noted.lock().unwrap() = Some(event);
        async { Ok::<_, lambda_runtime::Error>(()) }
    });
    host("health", health, &Arc::default()).fire_schedules().await;
    let LambdaEvent { payload, context } = seen.lock().unwrap().take().unwrap();
    assert_eq!(payload.detail_type, "Scheduled Event");
    assert_eq!(payload.time.unwrap().timestamp(), NOW.as_secs());
    assert_eq!(context.env_config.function_name, "genmux-health");
}

#[tokio::test]
async fn every_rule_fires_although_one_fails() {
    let (health, seen) = script(|_| fails());
    let source = Arc::<Memory>::default();
    let host = host("health", health, &source);
    host.fire_schedules().await;
    host.fire_schedules().await;
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_running_schedule_fires_at_once_and_ends_at_shutdown() {
    let fired = Arc::new(Notify::new());
    let template = Template::load(deployment()).unwrap();
    let bell = |name: &String| {
        let fired = Arc::clone(&fired);
        let ring = name == "health";
        let function = script(move |_| {
            if ring {
                fired.notify_one();
            }
            Ok(Value::Null)
        });
        (name.clone(), function.0)
    };
    let functions: Functions = template.functions.keys().map(bell).collect();
    let host = Host::new(template, functions, Arc::<Memory>::default(), Clock::manual(NOW)).unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let background = tokio::spawn(async move { host.run_background(stop).await });
    fired.notified().await;
    shutdown.cancel();
    background.await.unwrap().unwrap();
}

#[test]
fn a_host_has_exactly_the_functions_of_its_template() {
    let build = |change: fn(&mut Functions)| {
        let template = Template::load(deployment()).unwrap();
        let idle = |name: &String| (name.clone(), script(|_| Ok(Value::Null)).0);
        let mut functions: Functions = template.functions.keys().map(idle).collect();
        change(&mut functions);
        Host::new(template, functions, Arc::<Memory>::default(), Clock::manual(NOW)).map(drop)
    };
    assert!(build(|_| ()).is_ok());
    assert!(build(|functions| drop(functions.remove("poll"))).is_err());
    assert!(build(|functions| drop(functions.insert("invoice".to_owned(), script(|_| fails()).0))).is_err());
}
