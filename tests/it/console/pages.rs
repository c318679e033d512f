//! What a page says of many jobs, of images that came with a request, and of a session that has ended.

use std::time::Duration;

use domain::id::{AccountId, EventId};
use domain::policy::rules::Rule;
use harness::World;
use http::StatusCode;
use reqwest::Method;
use serde_json::json;
use shared::store::dead_letters::QUEUES;
use shared::store::keystore::Scope;
use shared::store::queue::{Message, Queue};

use super::Browser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_a_session_leads_to_the_sign_in() {
    let world = World::new().await;
    let stranger = Browser::new(&world);
    for path in ["", "/jobs", "/operate/providers"] {
        let poll = stranger.http.get(format!("{}{path}", stranger.url)).header("hx-request", "true");
        let answer = poll.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let target = answer.headers()["hx-redirect"].to_str().unwrap().to_owned();
        assert_eq!(target, format!("/console{path}"));
        assert_eq!(answer.text().await.unwrap(), "");
        assert!(stranger.get(path).await.html.contains("API key"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_leads_to_a_page_and_a_second_one_to_the_overview() {
    let world = World::new().await;
    let stranger = Browser::new(&world);
    assert!(stranger.get("/jobs").await.html.contains("name=\"next\" value=\"jobs\""));
    let lapsed = stranger.post("/jobs/job_x/cancel", &[]).await;
    assert!(lapsed.html.contains("name=\"next\" value=\"\""), "a form is no page: {lapsed:?}");
    let browser = Browser::signed_in(&world, &world.key).await;
    for key in [world.key.as_str(), "gmx_wrong_key", ""] {
        let again = browser.post("/sign-in", &[("key", key), ("next", "jobs")]).await;
        assert_eq!((again.status, again.location.as_str()), (StatusCode::SEE_OTHER, "/console"), "{again:?}");
    }
}

/// Beside those for the session: a list is a query and a read; the due index has 16 shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_100_jobs_takes_few_calls_and_says_that_there_may_be_more() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let key = world.new_key(&AccountId::operator(), vec![Scope::Read, Scope::Write]).await;
    let operator = Browser::signed_in(&world, &key).await;
    for number in 0..100 {
        if number == 99 {
            let shown = browser.get("").await.html;
            assert!(shown.contains("<dt>Active jobs</dt><dd>99</dd>"), "{shown}");
        }
        world.submit("gen-4.5", "a boat", &format!("order-{number}")).await;
    }
    for (browser, path, calls_max) in [
        (&browser, "", 4),
        (&browser, "/jobs", 3),
        (&operator, "/operate/jobs", 18),
        (&operator, "/operate/alarms", 2),
    ] {
        browser.get(path).await;
        world.wire.reset();
        let shown = browser.get(path).await;
        assert_eq!(shown.status, StatusCode::OK);
        let calls = world.wire.calls();
        println!("{path}: {} SDK calls: {}", calls.len(), calls.join(", "));
        assert!(calls.len() <= calls_max, "{path}: {calls:?}");
    }
    let shown = browser.get("").await.html;
    assert!(shown.contains("<dt>Active jobs of the newest 100</dt><dd>100</dd>"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_came_with_a_request_is_no_part_of_another() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let image = "data:image/png;base64,iVBORw0KGgo=";
    let body = json!({"model": "pika-2.2", "prompt": "a boat", "input_reference": {"image_url": image}});
    let made = world.call(Method::POST, "/v1/videos", &[], Some(&body.to_string())).await;
    let id = made.text("/id").to_owned();
    let job = browser.get(&format!("/jobs/{id}")).await.html;
    assert!(job.contains("As curl") && job.contains("pika-2.2") && !job.contains("upload:"), "{job}");
    assert!(job.contains("Images that came with the request are not part of it."), "{job}");
    let form = browser.get(&format!("/playground?from={id}")).await.html;
    assert!(form.contains("a boat</textarea>") && !form.contains("upload:"), "{form}");
    // One that has a URL is.
    let body = json!({"model": "pika-2.2", "prompt": "a", "image_url": "https://images.example/a.png"});
    let id = world.post_job(&body, "named").await.text("/id").to_owned();
    let job = browser.get(&format!("/jobs/{id}")).await.html;
    assert!(job.contains("https://images.example/a.png") && !job.contains("not part of it"), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_which_alarms_are_raised() {
    let world = World::new().await;
    let key = world.new_key(&AccountId::operator(), vec![Scope::Read]).await;
    let operator = Browser::signed_in(&world, &key).await;
    let calm = operator.get("/operate/alarms").await.html;
    let rows = QUEUES.len() + Rule::ALL.len();
    assert!(calm.contains("success_rate.low") && calm.matches(">no alarm<").count() == rows, "{calm}");
    assert!(!calm.contains("has messages"), "{calm}");
    let caller = Browser::signed_in(&world, &world.key).await;
    assert_eq!(caller.get("/operate/alarms").await.status, StatusCode::NOT_FOUND);

    let dead = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-poll-dead"));
    let event = EventId::from_bytes([0; 16]);
    dead.send(&Message::Notify { event }, None, Duration::ZERO).await.unwrap();
    world.stack.host.fire_schedules().await;
    let raised = operator.get("/operate/alarms").await.html;
    assert!(raised.contains("has messages") && raised.matches(">no alarm<").count() == rows - 1, "{raised}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_described_on_a_page_that_needs_no_key() {
    let world = World::new().await;
    let page = reqwest::get(format!("{}/docs", world.stack.api_url)).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let html = page.text().await.unwrap();
    for text in [
        "POST</span> <code>/v1/jobs</code>",
        "href=\"/openapi.json\"",
        "id=\"schemas-Job\"",
        "insufficient_credits",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    let put = reqwest::Client::new().put(format!("{}/docs", world.stack.api_url)).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::NOT_FOUND);
}
