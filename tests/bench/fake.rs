//! The least provider that there can be, in OpenAI's form: it accepts every order at once.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

static ORDERS: AtomicU64 = AtomicU64::new(0);

/// Serves until it is ended, on this port.
pub(crate) async fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    axum::serve(listener, Router::new().route("/v1/videos", post(take))).await.expect("it serves");
}

async fn take() -> Json<Value> {
    let number = ORDERS.fetch_add(1, Ordering::Relaxed);
    Json(json!({
        "id": format!("video_{number:032}"), "object": "video", "model": "sora-2", "status": "queued", "progress": 0,
        "created_at": 1_796_000_000, "size": "720x1280", "seconds": "4",
    }))
}
