//! One job, as its caller sees it: fields, tags, waiting, media.

use std::time::Duration;

use domain::id::JobId;
use domain::job::State;
use harness::{Answer, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

async fn read(world: &World, id: &JobId, headers: &[(&str, &str)]) -> Answer {
    world.call(Method::GET, &format!("/v1/jobs/{id}"), headers, None).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_shown_as_it_moves() {
    let world = World::new().await;
    let order = json!({"model": "pika-2.2", "prompt": "a boat", "metadata": {"order": "7"}});
    let submitted = world.post_job(&order, "one").await;
    let id: JobId = submitted.text("/id").parse().unwrap();
    let created = world.clock.now().to_string();
    let request = json!({
        "model": "pika-2.2", "prompt": "a boat", "duration_s": 5, "aspect_ratio": "16:9",
        "resolution": "720p", "pin": false, "metadata": {"order": "7"},
    });
    let mut want = json!({
        "id": id, "account": "acct_test", "status": "queued", "model": "pika-2.2",
        "price_micro_credits": 25_000_000, "price_credits": "25", "created_at": created, "updated_at": created,
        "cancel_requested": false, "progress": 0, "expected_s": 60, "attempts": [], "request": request,
    });
    assert_eq!(submitted.body, want);
    assert_eq!(world.status(&id).await.body, want);

    world.advance(Duration::from_secs(1)).await;
    let now = world.clock.now().to_string();
    want["status"] = json!("running");
    want["progress"] = json!(1);
    want["updated_at"] = json!(now);
    want["attempts"] = json!([{
        "number": 1, "provider": "fal", "route": "fal/fal-ai/pika/v2.2/text-to-video",
        "status": "running", "simulated": true, "started_at": now,
    }]);
    assert_eq!(world.status(&id).await.body, want);

    world.finish(&id).await;
    let done = world.status(&id).await;
    assert_eq!((done.text("/status"), done.text("/attempts/0/status")), ("succeeded", "finished"));
    assert!(done.text("/attempts/0/ended_at") > now.as_str(), "{done:?}");
    assert_eq!(done.body.get("error"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_says_why_and_an_account_sees_nothing_of_our_cost() {
    let world = World::new().await;
    let id = world.submit("veo-3.1", "a boat [[sim: fail=content_policy]]", "one").await;
    world.finish(&id).await;
    let failed = world.status(&id).await;
    assert_eq!((failed.text("/status"), failed.text("/error/code")), ("failed", "content_policy"));
    assert_eq!(failed.text("/attempts/0/error/code"), "content_policy");
    assert_eq!(failed.body.get("media"), None);
    assert!(!failed.body.to_string().contains("cost"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_version_of_a_job_is_not_sent_again() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let first = world.status(&id).await;
    let tag = header(&first, "etag").to_owned();
    assert_eq!(header(&first, "cache-control"), "private, no-cache");
    let strong = tag.trim_start_matches("W/").to_owned();
    for known in [tag.clone(), strong, format!("W/\"999\", {tag}")] {
        let answer = read(&world, &id, &[("if-none-match", &known)]).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (304, &Value::Null), "{known}");
        assert_eq!(header(&answer, "etag"), tag);
    }
    world.drain().await;
    let answer = read(&world, &id, &[("if-none-match", &tag)]).await;
    assert_eq!((answer.status.as_u16(), answer.text("/status")), (200, "running"));
    assert_ne!(header(&answer, "etag"), tag);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_job_says_when_to_ask_again_and_an_ended_one_does_not() {
    let world = World::new().await;
    let submitted = world.post_job(&json!({"model": "pika-2.2", "prompt": "a boat"}), "one").await;
    let id: JobId = submitted.text("/id").parse().unwrap();
    for answer in [&submitted, &world.status(&id).await] {
        assert_eq!(header(answer, "retry-after"), "5", "{answer:?}");
    }
    world.finish(&id).await;
    assert!(!world.status(&id).await.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_with_the_change_that_it_waited_for() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let tag = header(&world.status(&id).await, "etag").to_owned();
    for (n, known) in [vec![], vec![("if-none-match", tag.as_str())]].into_iter().enumerate() {
        let id = if n == 0 { id.clone() } else { world.submit("pika-2.2", "a coat", "two").await };
        world.wire.reset();
        let began = Instant::now();
        let headers: Vec<_> = known.into_iter().chain([("prefer", "wait=20")]).collect();
        let change = async {
            // The wait has begun once the job was looked at.
            while !world.wire.calls().iter().any(|call| call == "Query") {
                tokio::task::yield_now().await;
            }
            world.drain().await;
        };
        let (answer, ()) = tokio::join!(read(&world, &id, &headers), change);
        assert_eq!((answer.status.as_u16(), answer.text("/status")), (200, "running"), "{answer:?}");
        assert_eq!(header(&answer, "preference-applied"), "wait=20");
        assert!(began.elapsed() < Duration::from_secs(10), "it waited {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_without_a_change_lasts_as_long_as_was_asked() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let tag = header(&world.status(&id).await, "etag").to_owned();
    for (known, status) in [("W/\"999\"", 200), (tag.as_str(), 304)] {
        let began = Instant::now();
        let answer =
            read(&world, &id, &[("if-none-match", known), ("prefer", "respond-async, wait=1")]).await;
        let took = began.elapsed();
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(header(&answer, "preference-applied"), "wait=1");
        // What is unknown is news, and is told at once.
        assert_eq!(took >= Duration::from_secs(1), status == 304, "{status}: {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let began = Instant::now();
    let answer = read(&world, &id, &[("prefer", "wait=1")]).await;
    assert_eq!((answer.status.as_u16(), answer.text("/status")), (200, "queued"));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn every_version_is_known_to_a_caller_who_sends_a_star() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let tag = header(&world.status(&id).await, "etag").to_owned();
    let strong = tag.trim_start_matches("W/");
    for known in ["*", &tag, strong, &format!("\"x\", {tag}"), " * "] {
        let answer = read(&world, &id, &[("if-none-match", known)]).await;
        assert_eq!(answer.status.as_u16(), 304, "{known}: {answer:?}");
    }
    let two_lines = [("if-none-match", "\"x\""), ("if-none-match", tag.as_str())];
    assert_eq!(read(&world, &id, &two_lines).await.status.as_u16(), 304);
    for unknown in ["\"x\"", "W/\"999\"", "x*"] {
        assert_eq!(read(&world, &id, &[("if-none-match", unknown)]).await.status.as_u16(), 200, "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_job_that_has_ended_or_longer_than_25_seconds() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    world.finish(&id).await;
    let tag = header(&world.status(&id).await, "etag").to_owned();
    let began = Instant::now();
    let answer = read(&world, &id, &[("if-none-match", &tag), ("prefer", "wait=600")]).await;
    assert_eq!((answer.status.as_u16(), header(&answer, "preference-applied")), (304, "wait=25"));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_link_gives_a_playable_file_without_credentials() {
    let world = World::new().await;
    for model in ["pika-2.2", "gen-4.5"] {
        let id = world.submit(model, "a boat", model).await;
        assert_eq!(world.finish(&id).await.state(), State::Succeeded);
        let job = world.status(&id).await;
        let media = &job.body["media"][0];
        let expires = world.clock.now() + Duration::from_secs(3_600);
        assert_eq!(media["url_expires_at"], expires.to_string());
        assert_eq!(
            (&media["content_type"], job.body["media"].as_array().unwrap().len()),
            (&json!("video/mp4"), 1)
        );
        assert_eq!(media["sha256"].as_str().unwrap().len(), 64);

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let file = client.get(media["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(
            (file.status().as_u16(), &file.headers()["content-type"]),
            (200, &"video/mp4".parse().unwrap())
        );
        let file = file.bytes().await.unwrap();
        assert_eq!(file.len() as u64, media["bytes"].as_u64().unwrap());
        assert_eq!(&file[4..8], b"ftyp");
        let stored = media["url"].as_str().unwrap().split('?').next().unwrap();
        let bare = client.get(stored).send().await.unwrap();
        assert!(bare.status().is_client_error(), "the bucket is not open: {bare:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_is_what_a_submit_charges_and_charges_nothing() {
    let world = World::new().await;
    let quote =
        async |body: Value| world.call(Method::POST, "/v1/quotes", &[], Some(&body.to_string())).await;
    let balance = async || {
        world.call(Method::GET, "/v1/account", &[], None).await.body["balance_micro_credits"].clone()
    };
    let before = balance().await;
    let body =
        json!({"model": "veo-3.1", "prompt": "a boat", "duration_s": 4, "fallback_models": ["veo-3.1-fast"]});
    let quoted = quote(body.clone()).await;
    assert_eq!(quoted.status, StatusCode::OK, "{quoted:?}");
    assert_eq!(quoted.body["request"]["resolution"], "720p");
    let routes = quoted.body["routes"].as_array().unwrap();
    let of = |start: &str| routes.iter().position(|route| route["name"].as_str().unwrap().contains(start));
    assert!(of("fast") > Some(0), "fallback models come last: {routes:?}");
    assert_eq!(quoted.body["expected_s"], routes[0]["expected_s"]);
    assert_eq!(balance().await, before, "nothing was charged");
    let job = world.post_job(&body, "quoted").await;
    for member in ["price_micro_credits", "price_credits"] {
        assert_eq!(job.body[member], quoted.body[member], "{member}");
    }
    let pinned = json!({"model": "veo-3.1", "prompt": "a", "provider": "fal", "pin": true});
    let pinned = quote(pinned).await;
    let routes = pinned.body["routes"].as_array().unwrap();
    assert!(!routes.is_empty() && routes.iter().all(|route| route["provider"] == "fal"), "{routes:?}");
    let wrong = quote(json!({"model": "veo-3.1", "prompt": "a", "duration_s": 5})).await;
    assert_eq!(
        (wrong.status, wrong.body["errors"][0]["field"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("duration_s"))
    );
}
