//! The SQS server as the event source mappings see it.

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::aws::sqs::Sqs;
use crate::host::{Attribute, Received, Source};

#[derive(Debug)]
pub(super) struct Queues(pub(super) Sqs);

impl Source for Queues {
    fn receive(&self, queue: &str, max: u32) -> Result<Vec<Received>> {
        let received = self.0.receive(queue, max)?;
        Ok(received.into_iter().map(convert).collect())
    }

    fn delete(&self, queue: &str, receipt_handle: &str) -> Result<()> {
        Ok(self.0.delete(queue, receipt_handle)?)
    }

    fn give_up(&self, queue: &str, receipt_handle: &str) -> Result<()> {
        Ok(self.0.give_up(queue, receipt_handle)?)
    }

    fn wait<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<()>> {
        async move { Ok(self.0.sent(queue).await?) }.boxed()
    }
}

fn convert(message: crate::aws::sqs::Received) -> Received {
    let attributes = message.attributes.into_iter().map(|(name, attribute)| {
        let crate::aws::sqs::Attribute { data_type, string_value, binary_value, .. } = attribute;
        (name, Attribute { data_type, string_value, binary_value })
    });
    Received {
        message_id: message.message_id,
        receipt_handle: message.receipt_handle,
        body: message.body,
        md5_of_body: message.md5_of_body,
        attributes: attributes.collect(),
        trace_header: message.trace_header,
        receive_count: message.receive_count,
        sent_at: message.sent_at,
        first_received_at: message.first_received_at,
        dead_letter_source: message.dead_letter_source,
    }
}
