//! What earlier releases have left in the table and in the queues stays readable, and comes to its
//! end.
//!
//! Each file of `tests/fixtures/releases` is what one release has written: the table after a few
//! jobs of every kind, and messages of every type. Remote jobs are not in them: what runs there is
//! not found at its provider any more.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::JobId;
use domain::job::Job;
use domain::time::Timestamp;
use harness::World;
use harness::world::AUDIT;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::boot::Clock;
use shared::operate::audit::Options;
use shared::store::dead_letters::{DeadLetters, QUEUES};
use shared::store::keys;
use shared::store::keystore::Scope;
use shared::store::queue::Message;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What the table adds to a job.
const OF_THE_TABLE: [&str; 6] = ["PK", "SK", keys::DUE_SHARD, keys::CHECK_AT, keys::ACCOUNT_KEY, keys::MOVES];

const STEP: Duration = Duration::from_secs(15 * 60);

#[derive(Deserialize)]
struct Release {
    /// When the table was read.
    at: Timestamp,
    jobs: BTreeMap<String, JobId>,
    states: BTreeMap<String, String>,
    /// By queue.
    messages: BTreeMap<String, Vec<Value>>,
    items: Vec<BTreeMap<String, Value>>,
}

fn releases() -> Vec<(PathBuf, Release)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/releases");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |path: PathBuf| {
        let release = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (path, release)
    };
    files.map(read).collect()
}

/// An attribute in the table's own JSON.
fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
        "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => {
            let members = value.as_object().unwrap().iter();
            AttributeValue::M(members.map(|(name, value)| (name.clone(), attribute(value))).collect())
        }
        other => panic!("an attribute of type {other}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the rows of another release")]
async fn load(world: &World, release: &Release) {
    let table = world.operator.env.get("TABLE").unwrap();
    for item in &release.items {
        let item = item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
        let put = world.operator.dynamodb().put_item().table_name(table).set_item(Some(item));
        put.send().await.unwrap();
    }
}

/// A world with a release's rows, at the time when they were written.
async fn upgraded(release: &Release) -> World {
    let at = release.at;
    let world = World::with(|options| options.clock = Clock::manual(at)).await;
    load(&world, release).await;
    world
}

async fn send(world: &World, queue: &str, message: &Value) {
    let url = world.stack.sqs.queue_url(&format!("genmux-{queue}"));
    let send = world.operator.sqs().send_message().queue_url(url).message_body(message.to_string());
    send.send().await.unwrap();
}

/// An attribute as plain JSON.
fn plain(value: &Value) -> Value {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" | "BOOL" => value.clone(),
        "N" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "L" => value.as_array().unwrap().iter().map(plain).collect(),
        "M" => value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => panic!("an attribute of type {other}"),
    }
}

/// So that a release which is replaced step by step, or put back, reads what this one writes.
#[test]
fn a_message_of_an_earlier_release_is_written_as_it_was_read() {
    for (path, release) in releases() {
        for message in release.messages.values().flatten() {
            let read: Message = serde_json::from_value(message.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), *message, "{}", path.display());
        }
    }
}

#[test]
fn a_job_of_an_earlier_release_is_written_as_it_was_read() {
    for (path, release) in releases() {
        let jobs = release.items.iter().filter(|item| item["SK"] == json!({"S": "JOB"}));
        let mut read = 0;
        for item in jobs {
            let is_own = |name: &str| !OF_THE_TABLE.contains(&name);
            let own = item.iter().filter(|(name, _)| is_own(name));
            let stored: Value = own.map(|(name, value)| (name.clone(), plain(value))).collect();
            let job: Job = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(serde_json::to_value(&job).unwrap(), stored, "{}: {}", path.display(), job.id());
            read += 1;
        }
        assert_eq!(read, release.jobs.len(), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_earlier_releases_are_shown_as_they_were() {
    for (path, release) in releases() {
        let world = upgraded(&release).await;
        let account = "acct_demo".parse().unwrap();
        let key = format!("Bearer {}", world.new_key(&account, vec![Scope::Read, Scope::Write]).await);
        let headers = [("authorization", key.as_str())];
        for (name, id) in &release.jobs {
            let answer = world.call(Method::GET, &format!("/v1/jobs/{id}"), &headers, None).await;
            assert_eq!(
                answer.text("/status"),
                release.states[name],
                "{}: {name}: {answer:?}",
                path.display()
            );
        }
        let list = world.call(Method::GET, "/v1/jobs?limit=100", &headers, None).await;
        assert_eq!(list.body["jobs"].as_array().map(Vec::len), Some(release.jobs.len()), "{list:?}");
        let books = world.books().await;
        assert!(books.unreadable.is_empty(), "{}: {:?}", path.display(), books.unreadable);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_and_messages_of_earlier_releases_come_to_their_end() {
    for (path, release) in releases() {
        for messages in [true, false] {
            let world = upgraded(&release).await;
            for (queue, message) in
                release.messages.iter().flat_map(|(queue, all)| all.iter().map(move |one| (queue, one)))
            {
                if messages {
                    send(&world, queue, message).await;
                }
            }
            // A job whose provider does not find it, and whose key is another by now, is asked about
            // for a day after it should have stopped.
            for _ in 0..(2 * DAY.as_secs() / STEP.as_secs()) {
                world.clock.advance(STEP);
                world.reconcile().await;
            }
            let live = world.jobs().live(1, |_| true).await.unwrap();
            assert!(live.jobs.is_empty(), "{}: {:?}", path.display(), live.jobs);
            for queue in QUEUES {
                let dead = DeadLetters::of(world.operator.sqs(), "genmux", queue).await.unwrap();
                assert_eq!(dead.depth().await.unwrap(), 0, "{}: {queue}", path.display());
            }
            // The files of that time are not in the fixture: they are past the days they are kept.
            world.clock.advance(2 * DAY);
            let options = Options { media_days: Some(1), ..AUDIT };
            let report = world.inspect_as(options, &world.remote_jobs()).await;
            assert!(report.violations.is_empty(), "{}: {report}", path.display());
        }
    }
}
