//! The dead-letter queues: what lands in them, what lists them, and how it gets back.

use std::collections::HashSet;
use std::time::Duration;

use domain::id::{JobId, TopupId};
use domain::job::State;
use domain::payment::Processor;
use domain::provider::Provider;
use domain::verdict::Verdict;
use genmux::command::jobs::text_of;
use harness::{Moment, World};
use serde_json::json;
use shared::store::dead_letters::{DeadLetter, DeadLetters, PEEK_MAX, QUEUES};
use shared::store::polls::PollSequence;
use shared::store::queue::{Message, Source};

use crate::levers::history;
use crate::payments::Shop;

/// Deliveries before a message is given up, and the longest pause between two.
const DELIVERIES: usize = 5;
const VISIBILITY: Duration = Duration::from_secs(1_800);

/// A message that this release does not know, and a newer one may.
const OF_A_NEWER_RELEASE: &str = r#"{"type":"poll.v9"}"#;

async fn dead(world: &World, queue: &str) -> DeadLetters {
    DeadLetters::of(world.operator.sqs(), "genmux", queue).await.unwrap()
}

async fn send(world: &World, queue: &str, body: &str) {
    let url = world.stack.sqs.queue_url(&format!("genmux-{queue}"));
    world.operator.sqs().send_message().queue_url(url).message_body(body).send().await.unwrap();
}

fn deliveries(world: &World, function: &str) -> usize {
    world.wire.invocations().iter().filter(|(name, _)| name == function).count()
}

/// Delivers what is in a queue until it is given up, and not once more or less.
async fn deliver_in_vain(world: &World, queue: &str) {
    let before = deliveries(world, queue);
    let dead = dead(world, queue).await;
    for delivery in 1..=DELIVERIES {
        world.drain().await;
        assert_eq!(deliveries(world, queue) - before, delivery);
        assert_eq!(dead.depth().await.unwrap(), 0, "given up after {delivery} deliveries");
        world.clock.advance(VISIBILITY);
    }
    world.drain().await;
    assert_eq!(deliveries(world, queue) - before, DELIVERIES);
    assert_eq!(dead.depth().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_is_given_up_listed_and_brought_back() {
    let world = World::new().await;
    send(&world, "poll", OF_A_NEWER_RELEASE).await;
    deliver_in_vain(&world, "poll").await;

    let dead = dead(&world, "poll").await;
    let deliveries_and_looks = u32::try_from(DELIVERIES).unwrap();
    for look in 1..=2 {
        let letters = dead.peek().await.unwrap();
        let [DeadLetter { kind: Some(kind), job: None, receives, .. }] = &letters[..] else {
            panic!("{letters:?}");
        };
        assert_eq!(kind, "poll.v9");
        assert_eq!(*receives, deliveries_and_looks + look, "it stays where it is, look {look}");
    }
    assert_eq!(dead.redrive().await.unwrap(), 1);
    assert_eq!(dead.depth().await.unwrap(), 0);
    assert_eq!(dead.redrive().await.unwrap(), 0, "a repeat has nothing left to move");
    deliver_in_vain(&world, "poll").await;
    world.audit().await;
}

/// No repeat can help these: they are dead letters after one delivery, and come back when asked to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_repeat_can_help_is_parked_at_once_on_every_queue() {
    let world = World::new().await;
    let gone = JobId::for_key(&world.account, "gone");
    let finished = world.submit("pika-2.2", "a paper boat", "unreadable").await;
    let made = world.finish(&finished).await;
    assert_eq!(made.state(), State::Succeeded);
    let no_attempt = world.submit("pika-2.2", "a paper boat", "one attempt").await;
    world.finish(&no_attempt).await;
    let of_job = |queue: &str, job: &JobId, attempt: u8| {
        let mut message = json!({"type": format!("{queue}.v1"), "job_id": job, "attempt": attempt});
        if matches!(queue, "settle" | "fetch") {
            message["source"] = json!("poll");
            message["url"] = json!("https://example.com/a.mp4");
        }
        message.to_string()
    };
    for queue in QUEUES {
        let other = if queue == "poll" { "dispatch" } else { "poll" };
        let mut hopeless = vec![
            "this is no message".to_owned(),
            r#"{"type":"poll.v1","job_id""#.to_owned(),
            of_job(other, &finished, 1),
        ];
        // An event that has expired is no reason to park its message.
        let is_of_jobs = !matches!(queue, "notify" | "deliver" | "payment");
        if queue == "payment" {
            let unknown = TopupId::of_key(&world.account, "gone");
            hopeless.push(json!({"type": "payment_check.v1", "topup": unknown}).to_string());
        }
        if is_of_jobs {
            hopeless.push(of_job(queue, &gone, 1));
        }
        if is_of_jobs && queue != "dispatch" {
            hopeless.push(of_job(queue, &no_attempt, 9));
        }
        let dead = dead(&world, queue).await;
        for (n, body) in (1..).zip(&hopeless) {
            let before = deliveries(&world, queue);
            send(&world, queue, body).await;
            world.drain().await;
            assert_eq!(deliveries(&world, queue) - before, 1, "{queue}: {body}");
            assert_eq!(dead.depth().await.unwrap(), n, "{queue}: {body}");
        }
        let count = u64::try_from(hopeless.len()).unwrap();
        assert_eq!(dead.redrive().await.unwrap(), count, "{queue}");
        assert_eq!(dead.depth().await.unwrap(), 0, "{queue}: all are on their way");
        world.drain().await;
        assert_eq!(dead.depth().await.unwrap(), count, "{queue}: and parked again");
    }
    assert_eq!(world.job(&finished).await, made);
    world.audit().await;
}

/// Where the dead-letter queue does not take a message, it stays where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_parked_is_delivered_again() {
    let world = World::new().await;
    world.wire.fail_at(0, Moment::Before);
    send(&world, "poll", "this is no message").await;
    let dead = dead(&world, "poll").await;
    world.drain().await;
    assert_eq!(dead.depth().await.unwrap(), 0);
    world.clock.advance(VISIBILITY);
    world.drain().await;
    assert_eq!((deliveries(&world, "poll"), dead.depth().await.unwrap()), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_queue_has_its_dead_letters_and_a_look_is_bounded() {
    let world = World::new().await;
    let queues = &world.stack.host.template().queues;
    let of_template =
        queues.iter().filter_map(|queue| queue.name.strip_prefix("genmux-")?.strip_suffix("-dead"));
    assert_eq!(of_template.collect::<HashSet<_>>(), HashSet::from(QUEUES));
    for queue in QUEUES {
        let dead = dead(&world, queue).await;
        assert_eq!((dead.depth().await.unwrap(), dead.peek().await.unwrap()), (0, vec![]), "{queue}");
        for n in 0..=PEEK_MAX {
            send(&world, &format!("{queue}-dead"), &format!(r#"{{"type":"{queue}.v7","n":{n}}}"#)).await;
        }
        let letters = dead.peek().await.unwrap();
        assert_eq!(letters.len(), usize::try_from(PEEK_MAX).unwrap(), "{queue}");
        assert!(letters.iter().all(|letter| letter.kind == Some(format!("{queue}.v7"))), "{letters:?}");
    }
    let missing = DeadLetters::of(world.operator.sqs(), "another-stack", "poll").await;
    assert_eq!(missing.unwrap_err().to_string(), "could not find the queue another-stack-poll-dead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_tells_the_jobs_dead_letters_among_many_of_others() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "dead").await;
    let other = JobId::for_key(&world.account, "another");
    for _ in 0..2 * PEEK_MAX {
        send(&world, "poll-dead", &json!({"type": "poll.v1", "job_id": other, "attempt": 1}).to_string())
            .await;
    }
    send(&world, "poll-dead", &json!({"type": "poll.v7", "job_id": id, "attempt": 1}).to_string()).await;
    let dead = dead(&world, "poll").await;
    for receives in 1..=2 {
        let letters = dead.of_job(&id).await.unwrap();
        let told = text_of(&history(&world, &id).await, &letters);
        let line = format!("poll.v7 sent, now in the dead-letter queue: receives {receives}\n");
        assert!(letters.len() == 1 && told.contains(&line), "{told}");
        assert_eq!(dead.of_job(&id).await.unwrap(), [], "hidden for a while");
        world.advance(Duration::from_secs(60)).await;
    }
    assert_eq!(dead.depth().await.unwrap(), u64::try_from(2 * PEEK_MAX + 1).unwrap(), "none is gone");
}

/// The messages come before their job is there, and so are parked; they come back when it has long
/// ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_a_finished_job_change_nothing_when_they_come_back() {
    let world = World::new().await;
    let job_id = JobId::for_key(&world.account, "later");
    let settle = Message::Settle {
        job_id: job_id.clone(),
        attempt: 1,
        remote: None,
        outcome: Some(Verdict::Gone),
        source: Source::Poll,
        sender: None,
        asked: 0,
    };
    let finished = Verdict::Finished { asset_url: "https://example.com/a.mp4".to_owned(), cost: None };
    let fetch = Message::verdict(job_id.clone(), 1, None, Some(finished), Source::Poll);
    let messages = [
        ("dispatch", "dispatch.v1", Message::Dispatch { job_id: job_id.clone(), once: false }),
        (
            "poll",
            "poll.v1",
            Message::Poll { job_id: job_id.clone(), attempt: 1, sequence: Some(PollSequence::Normal(1)) },
        ),
        ("settle", "settle.v1", settle),
        ("fetch", "fetch.v1", fetch),
    ];
    for (queue, kind, message) in &messages {
        send(&world, queue, &serde_json::to_string(message).unwrap()).await;
        world.drain().await;
        let letters = dead(&world, queue).await.peek().await.unwrap();
        let told: Vec<_> = letters.iter().map(|letter| (letter.kind.as_deref(), &letter.job)).collect();
        assert_eq!(told, [(Some(*kind), &Some(job_id.clone()))]);
    }

    let id = world.submit("pika-2.2", "a paper boat", "later").await;
    assert_eq!(id, job_id);
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    let calls = world.simulator(Provider::Fal).calls().len();
    let books = (world.balance().await, world.audit().await.to_string());
    for (queue, ..) in &messages {
        let before = deliveries(&world, queue);
        let dead = dead(&world, queue).await;
        assert_eq!(dead.redrive().await.unwrap(), 1, "{queue}");
        world.drain().await;
        assert_eq!(deliveries(&world, queue) - before, 1, "{queue}: delivered, and handled");
        assert_eq!(world.stack.sqs.depth(&format!("genmux-{queue}")).unwrap(), Default::default());
        assert_eq!(dead.depth().await.unwrap(), 0, "{queue}");
    }
    assert_eq!(world.job(&id).await, job);
    assert_eq!(world.simulator(Provider::Fal).calls().len(), calls);
    assert_eq!((world.balance().await, world.audit().await.to_string()), books);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_only_what_failed_comes_back_on_every_queue() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Stripe, "batched").await.body;
    shop.pay(&bought).await;
    let _receiver = crate::events::listen(&world).await;
    let id = world.submit("gen-4.5", "a paper boat", "batched").await;
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    let failed = world.submit("gen-4.5", "a [[sim: fail=content_policy]]", "failed").await;
    world.finish(&failed).await;
    for queue in QUEUES {
        let invocations = world.wire.invocations();
        let (_, mut event) = invocations.into_iter().find(|(name, _)| name == queue).expect(queue);
        let records = event["Records"].as_array_mut().unwrap();
        let mut poison = records[0].clone();
        poison["messageId"] = json!("poison");
        poison["body"] = json!(OF_A_NEWER_RELEASE);
        records.insert(0, poison);
        let answer = world.stack.host.invoke(queue, event).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "poison"}]}), "{queue}");
    }
    assert_eq!(world.job(&id).await, job);
    world.audit().await;
}
