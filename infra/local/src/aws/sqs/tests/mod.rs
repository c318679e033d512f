//! Every check through the unmodified SDK over HTTP, on a clock that is turned by hand.

mod delivery;
mod fairness;
mod in_process;
mod poll;
mod refusals;
mod settings;

use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Credentials;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use domain::time::Timestamp;
use shared::boot::Clock;
use tokio::net::TcpListener;

use super::{QueueSpec, Redrive, Sqs};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A server with one queue, `work`, and a client for it.
struct World {
    clock: Clock,
    sqs: Sqs,
    client: Client,
    url: String,
}

impl World {
    async fn start() -> Self {
        Self::with(&QueueSpec::named("work")).await
    }

    async fn with(spec: &QueueSpec) -> Self {
        Self::open(spec, None, Clock::manual(START)).await
    }

    async fn open(spec: &QueueSpec, file: Option<&Path>, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let sqs = Sqs::open(file, clock.clone(), base_url.clone()).unwrap();
        if let Some(redrive) = &spec.redrive {
            sqs.create_queue(&QueueSpec::named(&redrive.dead_letter_queue)).unwrap();
        }
        sqs.create_queue(spec).unwrap();
        let router = sqs.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(base_url)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        let url = sqs.queue_url(&spec.name);
        Self { clock, sqs, client: Client::new(&config), url }
    }

    fn turn(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    /// Everything that one receive of up to ten gives, with all attributes.
    async fn receive(&self) -> Vec<Message> {
        self.receive_from(&self.url).await
    }

    async fn receive_from(&self, url: &str) -> Vec<Message> {
        let receive = self.client.receive_message().queue_url(url).max_number_of_messages(10);
        let receive = receive.message_attribute_names("All");
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        receive.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn bodies(&self) -> Vec<String> {
        self.receive().await.into_iter().filter_map(|message| message.body).collect()
    }

    async fn delete(&self, message: &Message) {
        let handle = message.receipt_handle().unwrap();
        self.client.delete_message().queue_url(&self.url).receipt_handle(handle).send().await.unwrap();
    }

    async fn hide(
        &self,
        handle: &str,
        seconds: i32,
    ) -> Result<(), aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError> {
        let change = self.client.change_message_visibility().queue_url(&self.url);
        let result = change.receipt_handle(handle).visibility_timeout(seconds).send().await;
        result.map(|_| ()).map_err(SdkError::into_service_error)
    }
}

fn with_dead_letters(max_receive_count: u32) -> QueueSpec {
    let redrive = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count };
    QueueSpec { redrive: Some(redrive), ..QueueSpec::named("work") }
}

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

fn attribute(data_type: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type(data_type).string_value(value).build().unwrap()
}

fn system(message: &Message, name: MessageSystemAttributeName) -> Option<&str> {
    message.attributes()?.get(&name).map(String::as_str)
}

fn receive_count(message: &Message) -> Option<&str> {
    system(message, MessageSystemAttributeName::ApproximateReceiveCount)
}

fn code<E: ProvideErrorMetadata + std::fmt::Debug, T: std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> String {
    result.unwrap_err().code().unwrap().to_owned()
}
