//! What one job costs on each of its paths: requests to AWS, and units of the table by the sizes of its items.

use std::fmt::Write as _;
use std::time::Duration;

use data_encoding::HEXLOWER;
use domain::id::JobId;
use domain::job::State;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::receiver::Receiver;
use crate::story::{FAILOVER, FAILURE_WITH_REFUND, SUCCESS_BY_POLLING, SUCCESS_BY_WEBHOOK, Story};
use crate::world::{Answer, World};

const FORM: &str = "multipart/form-data; boundary=between";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0";

/// Dollars for a million, on demand in `us-east-1`, without any free tier: <https://aws.amazon.com/pricing/>.
mod price {
    pub(super) const OF_API: f64 = 1.0;
    pub(super) const OF_INVOCATION: f64 = 0.2;
    pub(super) const OF_WRITE: f64 = 0.625;
    pub(super) const OF_READ: f64 = 0.125;
    /// A message is sent, received and deleted.
    pub(super) const OF_MESSAGE: f64 = 3.0 * 0.4;
    pub(super) const OF_PUT: f64 = 5.0;
}

/// A way of a job through the system, with all that its caller asks for.
#[derive(Debug, Clone, Copy)]
pub enum Path {
    Story(&'static str, Story),
    Cancel,
    Callback,
    Upload,
    OpenAi,
}

pub const PATHS: [Path; 8] = [
    Path::Story("success, reported by webhook", SUCCESS_BY_WEBHOOK),
    Path::Story("success, polled", SUCCESS_BY_POLLING),
    Path::Story("failover to another provider", FAILOVER),
    Path::Story("failure with refund", FAILURE_WITH_REFUND),
    Path::Cancel,
    Path::Callback,
    Path::Upload,
    Path::OpenAi,
];

/// Requests of one job.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Requests to the API, those of providers included.
    pub requests: usize,
    pub invocations: usize,
    pub writes: f64,
    pub reads: f64,
    pub messages: usize,
    pub puts: usize,
    /// Calls of functions to AWS.
    pub calls: usize,
}

impl Path {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Story(name, _) => name,
            Self::Cancel => "canceled while it runs",
            Self::Callback => "success, with a signed callback",
            Self::Upload => "success, from an uploaded image",
            Self::OpenAi => "success, by OpenAI's client: asked twice, downloaded",
        }
    }

    /// One job on warm instances: they know the caller's key, and the health and the keys of providers.
    pub async fn measure(self) -> Cost {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        self.play(&world, &receiver, "warms the instances").await;
        world.wire.reset();
        self.play(&world, &receiver, "counted").await;
        let (calls, capacity, invocations) =
            (world.wire.calls(), world.wire.capacity(), world.wire.invocations());
        let count = |name: &str| calls.iter().filter(|call| call.as_str() == name).count();
        Cost {
            requests: invocations.iter().filter(|(_, event)| event["requestContext"].is_object()).count(),
            invocations: invocations.len(),
            writes: capacity.writes,
            reads: capacity.reads,
            messages: count("SendMessage"),
            puts: count("S3.PUT") + usize::from(matches!(self, Self::Upload)),
            calls: calls.len(),
        }
    }

    async fn play(self, world: &World, receiver: &Receiver, key: &str) {
        let boat = json!({"model": "pika-2.2", "prompt": "a paper boat"});
        let with = |name: &str, value: Value| {
            let mut order = boat.clone();
            order[name] = value;
            order
        };
        let (id, ends) = match self {
            Self::Story(_, story) => (world.submit(story.model, story.prompt, key).await, story.ends),
            Self::Cancel => {
                let slow = with("prompt", "a paper boat [[sim: latency=600]]".into());
                let id = job_of(&world.post_job(&slow, key).await);
                while world.state(&id).await != State::Running {
                    world.stack.host.step_queues().await.expect("the queues answer");
                }
                world.cancel(&id).await;
                (id, State::Canceled)
            }
            Self::Callback => {
                let order = with("callback_url", receiver.url("/done").into());
                (job_of(&world.post_job(&order, key).await), State::Succeeded)
            }
            Self::Upload => {
                let order = with("image", json!({"upload": upload(world, key).await}));
                (job_of(&world.post_job(&order, key).await), State::Succeeded)
            }
            Self::OpenAi => {
                let form = [("model", "pika-2.2"), ("prompt", "a paper boat")].map(|(name, value)| {
                    format!("--between\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                });
                let body = form.concat() + "--between--\r\n";
                let headers = [("content-type", FORM), ("idempotency-key", key)];
                let made = world.send(Method::POST, "/v1/videos", &headers, body.into_bytes()).await;
                (job_of(&made), State::Succeeded)
            }
        };
        if matches!(self, Self::OpenAi) {
            world.call(Method::GET, &format!("/v1/videos/{id}"), &[], None).await;
        }
        let job = world.finish(&id).await;
        assert_eq!(job.state(), ends, "{}: {job:?}", self.name());
        if matches!(self, Self::OpenAi) {
            for path in ["", "/content"] {
                world.call(Method::GET, &format!("/v1/videos/{id}{path}"), &[], None).await;
            }
        }
        // Also the last delivery.
        world.advance(Duration::from_secs(1)).await;
    }
}

fn job_of(answer: &Answer) -> JobId {
    answer.text("/id").parse().unwrap_or_else(|_| panic!("no job: {answer:?}"))
}

/// An image of its own for each key: the bucket need not be asked for one that it has.
async fn upload(world: &World, key: &str) -> String {
    let file = [PNG, key.as_bytes()].concat();
    let sha256 = HEXLOWER.encode(&Sha256::digest(&file));
    let announced = json!({"content_type": "image/png", "bytes": file.len(), "sha256": sha256});
    let asked = world.call(Method::POST, "/v1/uploads", &[], Some(&announced.to_string())).await;
    let fields = asked.body["fields"].as_object().expect("the fields of a form");
    let form = fields.iter().fold(reqwest::multipart::Form::new(), |form, (name, value)| {
        form.text(name.clone(), value.as_str().expect("a text").to_owned())
    });
    let form = form.part("file", reqwest::multipart::Part::bytes(file));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let posted = client.post(asked.text("/url")).multipart(form).send().await.expect("the bucket answers");
    assert!(posted.status().is_success(), "{posted:?}");
    asked.text("/id").to_owned()
}

impl Cost {
    /// Dollars for a million such jobs: requests and units, without time of functions, storage, traffic and logs.
    pub fn dollars(&self) -> f64 {
        self.requests as f64 * price::OF_API
            + self.invocations as f64 * price::OF_INVOCATION
            + self.writes * price::OF_WRITE
            + self.reads * price::OF_READ
            + self.messages as f64 * price::OF_MESSAGE
            + self.puts as f64 * price::OF_PUT
    }
}

/// The table of all paths, in Markdown.
pub fn table(costs: &[(Path, Cost)]) -> String {
    let mut text = "| One job | Requests to the API | Invocations | Write units | Read units | Messages | Files written | For a million |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (path, cost) in costs {
        let Cost { requests, invocations, writes, reads, messages, puts, .. } = cost;
        let (name, dollars) = (path.name(), cost.dollars());
        writeln!(text, "| {name} | {requests} | {invocations} | {writes} | {reads} | {messages} | {puts} | ${dollars:.2} |")
            .expect("a text takes all");
    }
    text
}
