//! Orders in an open loop: a new one at its time, whatever became of those before.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::figures::Figures;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The whole URL that takes orders, on this machine.
    #[arg(long)]
    url: Url,
    /// A key of the API.
    #[arg(long)]
    key: String,
    /// The body of an order, JSON.
    #[arg(long, default_value = r#"{"model": "pika-2.2", "prompt": "a paper boat"}"#)]
    body: String,
    /// Orders each second; as many as there are answers with 0.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Without a rate: so many orders at a time.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[derive(Debug, Default)]
struct Seen {
    taken: Figures,
    refused: usize,
}

/// What became of the orders.
pub(crate) async fn drive(args: &Args) -> String {
    let host = args.url.host_str().unwrap_or_default();
    assert!(["127.0.0.1", "localhost", "[::1]"].contains(&host), "only this machine is put under load");
    let body: Value = serde_json::from_str(&args.body).expect("the body is JSON");
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let order = {
        let (client, seen, url, key) = (client, Arc::clone(&seen), args.url.clone(), args.key.clone());
        move || {
            let call = client.post(url.clone()).bearer_auth(&key).json(&body);
            let seen = Arc::clone(&seen);
            async move {
                let begun = Instant::now();
                let status = call.send().await.map(|answer| answer.status());
                let mut seen = seen.lock().await;
                match status {
                    Ok(status) if status.is_success() => seen.taken.add(begun.elapsed()),
                    Ok(StatusCode::TOO_MANY_REQUESTS) | Ok(_) | Err(_) => seen.refused += 1,
                }
            }
        }
    };
    let begun = Instant::now();
    let end = begun + Duration::from_secs(args.seconds);
    let mut tasks = JoinSet::new();
    if args.rate == 0 {
        for _ in 0..args.at_once {
            let order = order.clone();
            tasks.spawn(async move {
                while Instant::now() < end {
                    order().await;
                }
            });
        }
    } else {
        let mut ticks = interval(Duration::from_secs(1) / args.rate);
        while Instant::now() < end {
            ticks.tick().await;
            tasks.spawn(order());
        }
    }
    tasks.join_all().await;
    let seen = seen.lock().await;
    let rate = seen.taken.len() as f64 / begun.elapsed().as_secs_f64();
    let [p50, p95, p99] = seen.taken.at([50, 95, 99]);
    let report = json!({
        "taken": seen.taken.len(), "not_taken": seen.refused, "taken_per_s": rate.round(),
        "p50_ms": p50.round(), "p95_ms": p95.round(), "p99_ms": p99.round(),
    });
    format!("{report}\n")
}
