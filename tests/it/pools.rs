//! Real providers and simulators: who is called, who fails over to whom, and who reports where.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use domain::attempt::Phase;
use domain::job::{Job, State};
use domain::provider::Provider::{self, Fal, Runway};
use domain::verdict::ErrorClass;
use harness::World;
use local::stack::{Options, Pool};
use serde_json::{Value, json};
use shared::boot::Env;
use shared::boot::config::parse_public_url;

/// What is in the place of a real provider: it writes down every call, and accepts every order.
#[derive(Debug, Clone, Default)]
struct Real(Arc<Mutex<Vec<String>>>);

impl Real {
    async fn serve(&self) -> String {
        let calls = Arc::clone(&self.0);
        let answer = move |request: Request| {
            calls.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let body = json!({"request_id": "00000000-0000-4000-8000-000000000001", "status": "IN_QUEUE"});
            std::future::ready(axum::Json(body).into_response())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        url
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What the environment of many developers holds.
fn keys(fal_url: &str) -> Env {
    Env::from_pairs([("FAL_KEY", "key\n"), ("FAL_BASE_URL", fal_url), ("GEMINI_API_KEY", "key")])
}

/// Fal is real, and all others are simulated.
fn real_fal(options: &mut Options, fal_url: &str) {
    let others: Vec<Provider> = Provider::ALL.iter().copied().filter(|provider| *provider != Fal).collect();
    options.pool = Pool::named(&[Fal], &others).unwrap();
    options.env = keys(fal_url);
}

async fn attempts(world: &World, id: &domain::id::JobId) -> Vec<Value> {
    world.status(id).await.body["attempts"].as_array().unwrap().clone()
}

async fn begin(world: &World, order: Value, key: &str) -> Job {
    let answer = world.post_job(&order, key).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.drain().await;
    world.job(&answer.text("/id").parse().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_urls_in_the_environment_make_no_provider_real() {
    let real = Real::default();
    let url = real.serve().await;
    let world = World::with(|options| options.env = keys(&url)).await;
    for model in ["pika-2.2", "gemini-omni-1.1-flash", "veo-3.1"] {
        let id = world.submit(model, "a boat", model).await;
        assert_eq!(world.finish(&id).await.state(), State::Succeeded, "{model}");
        for attempt in attempts(&world, &id).await {
            assert_eq!(attempt["simulated"], true, "{attempt}");
        }
    }
    world.stack.host.fire_schedules().await;
    assert_eq!(real.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_never_goes_from_a_real_provider_to_a_simulator() {
    let world = World::with(|options| real_fal(options, "http://127.0.0.1:1")).await;
    // Veo is at fal and, simulated, at Runway.
    let id = world.submit("veo-3.1", "a boat", "real").await;
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 4), "{job:?}");
    for attempt in attempts(&world, &id).await {
        assert_eq!((&attempt["provider"], attempt.get("simulated")), (&json!("fal"), None), "{attempt}");
    }
    // Also once fal is known to be down: a new job does not begin at a simulator either.
    for _ in 0..4 {
        world.advance(std::time::Duration::from_secs(60)).await;
        world.stack.host.fire_schedules().await;
    }
    let id = world.submit("veo-3.1", "another boat", "down").await;
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Failed, "{job:?}");
    assert!(job.attempts().iter().all(|attempt| attempt.provider == Fal), "{job:?}");
    assert!(world.stack.simulators[&Runway].remote_jobs().unwrap().is_empty());
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_never_goes_from_a_simulator_to_a_real_provider() {
    let real = Real::default();
    let url = real.serve().await;
    let world = World::with(|options| real_fal(options, &url)).await;
    // Preferred by the order, Runway is where this job begins; and it stays among simulators.
    let order = json!({"model": "veo-3.1", "prompt": "a [[sim: create=refuse:401]]", "provider": "runway"});
    let id = begin(&world, order, "simulated").await.id().clone();
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Failed, "{job:?}");
    assert_eq!(job.fault().map(|fault| fault.class), Some(ErrorClass::Auth));
    assert!(job.attempts().iter().all(|attempt| attempt.simulated && attempt.provider != Fal), "{job:?}");
    assert_eq!(real.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_provider_without_a_public_url_is_polled_and_a_simulator_still_reports() {
    let real = Real::default();
    let url = real.serve().await;
    let world = World::with(|options| real_fal(options, &url)).await;
    let job = begin(&world, json!({"model": "pika-2.2", "prompt": "a boat"}), "real").await;
    assert_eq!((job.attempts()[0].phase, job.attempts()[0].reports), (Phase::Running, false), "{job:?}");
    let create = real.calls().into_iter().find(|call| call.starts_with("POST")).unwrap();
    assert!(!create.contains("webhook"), "{create}");
    let before = real.calls().len();
    world.advance(std::time::Duration::from_secs(30)).await;
    world.drain().await;
    assert!(real.calls().len() > before, "it is asked soon, and not only by the backstop");

    let order = json!({"model": "kling-2.6", "prompt": "a boat", "provider": "kling"});
    let job = begin(&world, order, "simulated").await;
    assert_eq!((job.attempts()[0].simulated, job.attempts()[0].reports), (true, true), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_url_keeps_the_path_of_the_public_url() {
    for public in ["https://hooks.example/genmux", "https://hooks.example/genmux/"] {
        let real = Real::default();
        let url = real.serve().await;
        let world = World::with(|options| {
            real_fal(options, &url);
            options.public_url = Some(parse_public_url(public).unwrap());
        })
        .await;
        let job = begin(&world, json!({"model": "pika-2.2", "prompt": "a boat"}), "one").await;
        assert!(job.attempts()[0].reports, "{job:?}");
        let create = real.calls().into_iter().find(|call| call.starts_with("POST")).unwrap();
        let query = create.split_once('?').unwrap().1;
        let told =
            url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "fal_webhook").unwrap();
        assert!(told.1.starts_with("https://hooks.example/genmux/v1/webhooks/fal/"), "{}", told.1);
    }
}
