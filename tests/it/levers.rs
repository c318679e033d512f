//! The operator's levers: what is stuck, and what became of a job.

use std::collections::HashSet;
use std::time::Duration;

use domain::credit::Entry;
use domain::id::JobId;
use domain::job::{CHECK_EVERY, QUEUED_MAX, State};
use genmux::command::jobs::{list, text_of};
use harness::World;
use reqwest::StatusCode;
use serde_json::json;
use shared::operate::timeline::parameters;
use shared::store::audit::History;
use shared::store::due::{LiveJob, STUCK_AFTER};
use shared::store::keys::shard;

/// Jobs that are read at once: one more needs two reads.
const PAGE: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Loses every message that waits in a queue.
async fn purge(world: &World, queue: &str) {
    let url = world.stack.sqs.queue_url(&format!("genmux-{queue}"));
    world.operator.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

async fn live(world: &World, limit: usize) -> Vec<LiveJob> {
    world.jobs().live(limit, |_| true).await.unwrap().jobs
}

async fn stuck(world: &World) -> Vec<LiveJob> {
    let now = world.clock.now();
    world.jobs().live(10, |live| live.is_stuck(now)).await.unwrap().jobs
}

pub(crate) async fn history(world: &World, id: &JobId) -> History {
    History::read(&world.table(), id).await.unwrap().expect("the job exists")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_message_is_lost_is_listed_as_stuck_and_finishes_after_all() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "lost").await;
    purge(&world, "dispatch").await;
    let submitted = history(&world, &id).await;
    assert_eq!(submitted.check_at, Some(submitted.job.created_at() + CHECK_EVERY));
    let charge = Entry::Charge { job: id.clone(), amount: submitted.job.price() };
    let lines: Vec<_> = submitted.lines.iter().map(|line| &line.entry).collect();
    assert_eq!((submitted.job.state(), lines), (State::Queued, vec![&charge]));

    world.clock.advance(CHECK_EVERY + STUCK_AFTER);
    assert_eq!(stuck(&world).await, [], "overdue by ten minutes, and not by more");
    world.advance(SECOND).await;
    let found = stuck(&world).await;
    assert_eq!(found.iter().map(|live| &live.job).collect::<Vec<_>>(), [&submitted.job]);
    assert_eq!(Some(found[0].check_at), submitted.check_at);
    let listed = list(&found, world.clock.now()).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(listed.contains(&format!("{id} acct_test queued 0 ")), "{listed}");
    world.reconcile().await;
    assert_eq!(stuck(&world).await, []);
    let job = world.finish(&id).await;
    let finished = history(&world, &id).await;
    assert_eq!((job.state(), finished.check_at, live(&world, 1).await.len()), (State::Succeeded, None, 0));
    assert_eq!((&finished.job, finished.lines.len()), (&job, 1));
    assert!(text_of(&finished, &[]).contains(&job.media().unwrap().key));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_jobs_are_listed_longest_overdue_first_over_all_shards() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..=PAGE {
        ids.push(world.submit("pika-2.2", "a paper boat", &format!("order {n}")).await);
        world.clock.advance(SECOND);
    }
    assert!(ids.iter().map(shard).collect::<HashSet<_>>().len() > 1, "one shard would prove little");
    let listed = |jobs: Vec<LiveJob>| jobs.into_iter().map(|live| live.job.id().clone()).collect::<Vec<_>>();
    assert_eq!(listed(live(&world, ids.len()).await), ids);
    assert_eq!(listed(live(&world, 5).await), ids[..5]);
    assert_eq!(world.cancel(&ids[0]).await.status, StatusCode::ACCEPTED);
    assert_eq!(listed(live(&world, ids.len()).await), ids[1..], "what has ended is not live");
    let last = world.jobs().live(1, |live| *live.job.id() == ids[PAGE]).await.unwrap().jobs;
    assert_eq!(listed(last), ids[PAGE..], "the limit counts what is wanted");
    let running = world.jobs().live(1, |live| live.job.state() == State::Running).await.unwrap().jobs;
    assert_eq!(running, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_past_its_deadline_is_stuck_whenever_its_check_is() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "overdue").await;
    purge(&world, "dispatch").await;
    let far = world.clock.now() + QUEUED_MAX * 2;
    let due = world.jobs().due(shard(&id), far, 1).await.unwrap();
    assert!(world.jobs().check_again(&due[0], far).await.unwrap());
    world.clock.advance(QUEUED_MAX - SECOND);
    assert_eq!(stuck(&world).await, []);
    world.clock.advance(SECOND);
    assert_eq!(stuck(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_tells_attempts_and_money_and_never_the_prompt() {
    let world = World::new().await;
    let body = json!({
        "model": "veo-3.1",
        "prompt": "SECRETBOAT [[sim: create=refuse:429, only=fal]] [[sim: fail=content_policy, only=runway]]",
        "negative_prompt": "SECRETSTORM",
        "metadata": {"order": "17"},
    });
    let answer = world.post_job(&body, "told").await;
    let id: JobId = answer.text("/id").parse().unwrap();
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 2), "{job:?}");
    let history = history(&world, &id).await;
    assert_eq!(history.request.negative_prompt.as_deref(), Some("SECRETSTORM"));
    let text = text_of(&history, &[]);
    println!("{text}");
    let told = [
        "state     failed: content_policy",
        "created\n",
        &format!("CHARGE {} credits", job.price()),
        &format!("REFUND {} credits", job.price()),
        &format!("attempt 1 at fal by {}: phase refused, remote -,", job.attempts()[0].route),
        "billed no, fault rate_limited",
        "attempt 1 ended refused",
        &format!("attempt 2 at runway by {}: phase broke", job.attempts()[1].route),
        &format!("remote {}, cost $", job.attempts()[1].remote.as_ref().unwrap().id),
        "attempt 2 ended broke",
        "queued → dispatching: claimed, attempt 1",
        "dispatching → queued: refused, attempt 1",
        "queued → dispatching: claimed, attempt 2",
        "dispatching → running: accepted, attempt 2",
        "running → failed: broke, attempt 2",
    ];
    for part in told {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert_eq!(history.moves.len() as u64, job.version() - 1, "every move is on record: {text}");
    let order = ["created", "CHARGE", "attempt 1 at", "attempt 2 at", "REFUND"].map(|part| text.find(part));
    assert!(order.is_sorted(), "{text}");
    let parameters = format!("{:#}", parameters(&history.request).unwrap());
    assert!(
        parameters.contains("\"duration_s\"") && parameters.contains("\"order\": \"17\""),
        "{parameters}"
    );
    for shown in [text, parameters, list(&live(&world, 10).await, world.clock.now())] {
        assert!(!shown.contains("SECRET") && !shown.contains("\"prompt\""), "{shown}");
    }
    let nobody = History::read(&world.table(), &JobId::from_bytes([1; 16])).await.unwrap();
    assert!(nobody.is_none());
}
