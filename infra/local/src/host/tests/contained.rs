//! A message that panics or hangs fails alone.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Region};
use lambda_http::aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::LambdaEvent;
use shared::edge::batch::{self, Deadline, Unfinished};
use shared::store::queue::{Message, Queue};

use super::super::{Received, Template, event_function};
use super::{Memory, NOW, deployment, host_of};

const POLL: &str = "genmux-poll";
/// A tenth of it is for the answer: enough on a busy machine.
const LIMIT: Duration = Duration::from_secs(8);

fn sqs() -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest());
    aws_sdk_sqs::Client::from_conf(config.region(Region::from_static("us-east-1")).build())
}

/// Panics before it gives a future for attempt 1 and in it for attempt 2, and hangs at attempt 3.
fn play(message: Message, deadline: Deadline) -> impl Future<Output = Result<(), Unfinished>> {
    let Message::Poll { attempt, .. } = message else { panic!("not a poll") };
    assert_ne!(attempt, 1, "on purpose");
    async move {
        assert_ne!(attempt, 2, "on purpose");
        if attempt == 3 {
            std::future::pending::<()>().await;
        }
        assert_eq!(deadline.left(NOW), LIMIT);
        Ok(())
    }
}

#[tokio::test]
async fn a_message_that_panics_or_hangs_fails_alone() {
    let source = Arc::<Memory>::default();
    for attempt in 1..=5 {
        source.send(POLL, &attempt.to_string());
        let mut sent = source.visible.lock().unwrap();
        let message = sent.get_mut(POLL).and_then(|queue| queue.back_mut()).unwrap();
        let body = format!(r#"{{"type":"poll.v1","job_id":"job_{}","attempt":{attempt}}}"#, "a".repeat(26));
        *message = Received { body, ..message.clone() };
    }
    let mut template = Template::load(deployment()).unwrap();
    template.functions.get_mut("poll").unwrap().timeout = LIMIT;
    let poll = event_function(|event: LambdaEvent<SqsEvent>| async move {
        let dead_letters = Queue::new(sqs(), "none of these messages is parked");
        Ok::<_, lambda_runtime::Error>(batch::each(event, NOW, &dead_letters, play).await)
    });
    let host = host_of(template, "poll", poll, &source);
    assert_eq!(host.step_queues().await.unwrap(), 5);
    assert_eq!(source.deleted(), ["genmux-poll/receipt-4", "genmux-poll/receipt-5"]);
}
