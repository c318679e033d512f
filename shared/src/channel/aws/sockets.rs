//! The connections of API Gateway's WebSocket API:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>.

use std::time::Duration;

use aws_config::SdkConfig;
use domain::time::Timestamp;
use percent_encoding::utf8_percent_encode;
use reqwest::Client;
use url::Url;

use super::super::client::{Envelope, answer};
use super::super::senders::NO_SENDER;
use super::super::text::with_id;
use super::targets::PATH;
use super::{Aws, Call, sign_call};
use crate::outside::client;

const CONNECT_MAX: Duration = Duration::from_secs(3);
const CALL_MAX: Duration = Duration::from_secs(5);

/// Sends to connections.
#[derive(Debug, Clone)]
pub struct SocketGateway {
    http: Client,
    aws: Option<Aws>,
    /// The URL of the API's stage, by https.
    stage: Url,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// API Gateway has it. A connection that is dead unnoticed takes messages as well.
    Sent,
    /// There is no such connection any more.
    Closed,
    /// Why, in a word.
    Failed(&'static str),
}

impl SocketGateway {
    pub fn new(config: &SdkConfig, stage: Url) -> Result<Self, reqwest::Error> {
        let http = client::builder().connect_timeout(CONNECT_MAX).timeout(CALL_MAX).build()?;
        Ok(Self { http, aws: Aws::new(config), stage })
    }

    /// The URL that a client connects to with a ticket.
    pub fn url(stage: &Url, ticket: &str) -> String {
        let socket = stage.as_str().trim_end_matches('/').replacen("http", "ws", 1);
        format!("{socket}?ticket={ticket}")
    }

    /// An event as a message: its body, with its id.
    pub fn message(envelope: Envelope<'_>) -> String {
        with_id(envelope)
    }

    pub async fn post(&self, connection: &str, message: String, now: Timestamp) -> Posted {
        match self.call(connection, message, now).await {
            Ok(posted) => posted,
            Err(cause) => Posted::Failed(cause),
        }
    }

    async fn call(&self, connection: &str, body: String, now: Timestamp) -> Result<Posted, &'static str> {
        let aws = self.aws.as_ref().ok_or(NO_SENDER)?;
        let id = utf8_percent_encode(connection, PATH);
        let url = format!("{}/@connections/{id}", self.stage.as_str().trim_end_matches('/'));
        let headers = vec![("content-type", "application/json".to_owned())];
        let call =
            Call { service: "execute-api", host: "", region: None, path: String::new(), headers, body };
        let request = sign_call((&self.http, aws), &url, call, now).await?;
        let answer = answer(request).await.map_err(|_error| "no_answer")?;
        Ok(match answer.status.as_u16() {
            200..=299 => Posted::Sent,
            410 => Posted::Closed,
            403 => {
                tracing::error!(kind = "websocket", status = 403, "sender.refused");
                Posted::Failed("sender_refused")
            }
            429 => Posted::Failed("throttled"),
            _ => Posted::Failed("refused"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_client_is_that_of_the_stage() {
        for (stage, url) in [
            (
                "https://a.execute-api.eu-west-1.amazonaws.com/live",
                "wss://a.execute-api.eu-west-1.amazonaws.com/live?ticket=t",
            ),
            ("http://127.0.0.1:80/live/", "ws://127.0.0.1/live?ticket=t"),
        ] {
            assert_eq!(SocketGateway::url(&stage.parse().unwrap(), "t"), url);
        }
    }
}
