//! The images that orders name: fetched by the providers, or by us where they take bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::catalog::{Catalog, Model, Route};
use domain::id::JobId;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::verdict::ErrorClass;
use harness::World;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const STILL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0sum!";

/// A server of one image; gives its URL and how often it was asked.
async fn image() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/boat.png", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _request = stream.read(&mut [0; 4096]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", STILL.len());
            let _sent = stream.write_all(&[head.as_bytes(), STILL].concat()).await;
        }
    });
    (url, asked)
}

/// Where nothing listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/boat.png", listener.local_addr().unwrap())
}

fn order(model: &Model, route: &Route, image: &str) -> Value {
    let (duration_s, resolution, audio) = route.takes()[0];
    json!({
        "model": model.name, "prompt": "a paper boat", "image_url": image, "duration_s": duration_s,
        "resolution": resolution, "aspect_ratio": route.image_aspect_ratios.first(),
        "audio": model.defaults.audio.map(|_| audio), "provider": route.provider, "pin": true,
    })
}

async fn play(world: &World, order: &Value, key: &str) -> Job {
    let answer = world.post_job(order, key).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{key}: {answer:?}");
    let id: JobId = answer.text("/id").parse().unwrap();
    world.finish(&id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_on_this_machine_is_fetched_and_one_that_is_not_there_fails_the_job() {
    let (there, asked) = image().await;
    let nowhere = nowhere().await;
    let world = World::new().await;
    let catalog = Catalog::for_providers(Provider::ALL);
    let mut played = Vec::new();
    for model in catalog.models() {
        for route in &model.routes {
            if route.image_endpoint.is_none() || played.contains(&route.provider) {
                continue;
            }
            played.push(route.provider);
            let name = route.name();
            let before = world.balance().await;
            let job = play(&world, &order(model, route, &nowhere), &format!("{name} lost")).await;
            let class = job.fault().map(|fault| fault.class);
            assert_eq!(job.state(), State::Failed, "{name}: {job:?}");
            assert_ne!(class, Some(ErrorClass::Timeout), "{name}: {job:?}");
            assert_eq!(world.balance().await, before, "{name}");
            let asked_before = asked.load(Ordering::SeqCst);
            let job = play(&world, &order(model, route, &there), &format!("{name} there")).await;
            assert_eq!(job.state(), State::Succeeded, "{name}: {job:?}");
            assert!(asked.load(Ordering::SeqCst) > asked_before, "{name} did not look");
        }
    }
    assert!(played.len() > 8, "{played:?}");
    world.audit().await;
}

/// The server stands in the deployer's own network: it is sent bytes, and never a caller's URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_server_is_not_asked_to_fetch_anything() {
    let world = World::new().await;
    for (number, url) in [
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.5:8443/admin",
        "https://vllm-internal.local/x",
        "https:\\\\127.0.0.1\\x",
        "http://10.0.0.5/x",
    ]
    .into_iter()
    .enumerate()
    {
        let order = json!({"model": "wan-2.2", "prompt": "a boat", "image_url": url});
        let answer = world.post_job(&order, &number.to_string()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {answer:?}");
        assert_eq!(answer.text("/errors/0/field"), "image_url", "{answer:?}");
    }
    let nowhere = json!({"model": "wan-2.2", "prompt": "a boat", "image_url": nowhere().await});
    let job = play(&world, &nowhere, "nowhere").await;
    let fault = job.fault().unwrap();
    assert_eq!((fault.class, fault.code.as_deref()), (ErrorClass::InvalidRequest, Some("image_unavailable")));
    assert_eq!(world.simulator(Provider::Openai).remote_jobs().unwrap().len(), 0);
    world.audit().await;
}
