//! The vendors refuse what the real ones refuse.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Channels, Play};
use crate::test_bench::{ManualClock, read};

/// All vendors on a port, and a client.
async fn start() -> (Channels, String, reqwest::Client) {
    let channels = Channels::new(ManualClock::default().read());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = channels.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    (channels, url, reqwest::Client::builder().no_proxy().build().unwrap())
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> (u16, Value) {
    read(client.post(url).json(body).send().await.unwrap()).await
}

#[tokio::test]
async fn telegram_takes_messages_of_its_bot_to_chats_that_are_there() {
    let (channels, url, client) = start().await;
    let bot = format!("{url}/bot7000000001:simulated-bot");
    let send = async |chat: Value, text: &str| {
        post(&client, &format!("{bot}/sendMessage"), &json!({"chat_id": chat, "text": text})).await
    };
    let (status, body) = send(json!(1), "hello").await;
    assert_eq!((status, &body["ok"], &body["result"]["text"]), (200, &json!(true), &json!("hello")));
    assert_eq!(send(json!("@news_of_us"), "hello").await.0, 200);
    for (chat, text, status, words) in [
        (json!(404), "a", 400, "Bad Request: chat not found"),
        (json!("403"), "a", 403, "Forbidden: bot was blocked by the user"),
        (json!(1), "", 400, "Bad Request: message text is empty"),
        (json!(1), &*"x".repeat(4_097), 400, "Bad Request: message is too long"),
        (Value::Null, "a", 400, "Bad Request: chat_id is empty"),
    ] {
        let (found, body) = send(chat, text).await;
        assert_eq!(
            (found, &body["description"], &body["error_code"]),
            (status, &json!(words), &json!(status))
        );
    }
    let (status, _) = post(&client, &format!("{url}/bot1:other/sendMessage"), &json!({})).await;
    assert_eq!(status, 401);
    channels.play("telegram", Play::Busy(7));
    assert_eq!(send(json!(1), "again").await.1["parameters"]["retry_after"], 7);
    assert_eq!(channels.texts("telegram"), ["hello", "hello"]);
}

#[tokio::test]
async fn a_lost_answer_is_of_a_message_that_was_taken() {
    let (channels, url, client) = start().await;
    let url = format!("{url}/services/T0/B0/x");
    channels.play("slack", Play::Lost);
    assert!(client.post(&url).json(&json!({"text": "a"})).send().await.is_err());
    channels.play("slack", Play::Slow(Duration::from_millis(200)));
    let slow = client.post(&url).json(&json!({"text": "b"})).timeout(Duration::from_millis(50));
    assert!(slow.send().await.unwrap_err().is_timeout());
    channels.play("slack", Play::Down);
    assert_eq!(post(&client, &url, &json!({"text": "c"})).await.0, 500);
    assert_eq!(channels.texts("slack"), ["a", "b"]);
}
