//! A WebSocket client, as a browser is one.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A message is expected within this time.
const WITHIN: Duration = Duration::from_secs(20);

/// An open connection.
#[derive(Debug)]
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// # Errors
    ///
    /// The status with which the connection was refused.
    pub async fn connect(url: &str) -> Result<Self, u16> {
        match connect_async(url).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("the connection is open");
    }

    /// The next message; `None` if the connection ends.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(WITHIN, self.0.next()).await.expect("a message within 20 s");
            match next {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The answer to a message, without the events before it.
    pub async fn ask(&mut self, message: &Value) -> (Vec<Value>, Value) {
        self.send(message).await;
        let mut events = Vec::new();
        loop {
            let next = self.next().await.expect("an answer");
            if next.get("type").is_none() {
                return (events, next);
            }
            events.push(next);
        }
    }

    pub async fn close(mut self) {
        let _is_closed = self.0.close(None).await;
        while let Some(Ok(_)) = self.0.next().await {}
    }
}
