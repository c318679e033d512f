//! Questions about an attempt: taken once each, in order, by whoever lives long enough to ask.

use std::time::Duration;

use domain::id::JobId;
use futures_util::future::join_all;
use harness::World;
use shared::boot::Random;
use shared::store::polls::{POLL_LEASE, PollLease, PollSequence, Polls};

use super::TAKEN;
use super::snapshot;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_taken_once_and_passed_when_a_later_one_was() {
    let world = World::new().await;
    let (polls, job, now) = (Polls::new(world.table()), JobId::from_bytes([1; 16]), world.clock.now());
    let take = async |attempt, question, now| {
        let sequence = PollSequence::Normal(question);
        polls.acquire(&job, attempt, sequence, Random::System.u64(), now).await.unwrap()
    };

    let leases = join_all((0..20).map(|_| take(1, 0, now))).await;
    assert_eq!(leases.iter().filter(|lease| **lease == TAKEN).count(), 1, "{leases:?}");
    assert!(leases.iter().all(|lease| *lease != PollLease::Superseded), "{leases:?}");

    assert_eq!(take(1, 3, now).await, TAKEN, "some may be left out");
    let before = snapshot(&world).await;
    for earlier in [0, 2] {
        assert_eq!(take(1, earlier, now + POLL_LEASE * 2).await, PollLease::Superseded);
    }
    assert_eq!(snapshot(&world).await, before);
    assert_eq!(take(2, 0, now).await, TAKEN, "another attempt's are its own");
    let other = JobId::from_bytes([2; 16]);
    assert_eq!(
        polls.acquire(&other, 1, PollSequence::FIRST, 1, now).await.unwrap(),
        TAKEN,
        "and another job's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_put_off_is_asked_about_from_its_first_question_on() {
    let world = World::new().await;
    let (polls, job, now) = (Polls::new(world.table()), JobId::from_bytes([1; 16]), world.clock.now());
    assert_eq!(polls.back_off_until(&job, 1).await.unwrap(), None);
    polls.set_back_off(&job, 1, now + SECOND).await.unwrap();
    assert_eq!(polls.back_off_until(&job, 1).await.unwrap(), Some(now + SECOND));
    assert_eq!(polls.back_off_until(&job, 2).await.unwrap(), None);
    assert_eq!(polls.last(&job, 1).await.unwrap(), None);
    assert_eq!(polls.acquire(&job, 1, PollSequence::FIRST, 1, now).await.unwrap(), TAKEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_whose_taker_died_is_taken_again_and_only_then() {
    let world = World::new().await;
    let (polls, job, now) = (Polls::new(world.table()), JobId::from_bytes([1; 16]), world.clock.now());
    let take =
        async |now| polls.acquire(&job, 1, PollSequence::Normal(7), Random::System.u64(), now).await.unwrap();

    assert_eq!(take(now).await, TAKEN);
    // A clock that is behind gives nobody leave either.
    for early in [now, now + POLL_LEASE, now.minus(POLL_LEASE * 2)] {
        assert_eq!(take(early).await, PollLease::Held, "{early:?}");
    }
    let late = now + POLL_LEASE + SECOND;
    assert_eq!((take(late).await, take(late).await), (TAKEN, PollLease::Held));
}

#[tokio::test]
async fn a_question_lapses_after_its_taker_must_have_ended_and_before_its_message_is_back() {
    let world = World::new().await;
    let template = world.stack.host.template();
    let queue = template.queues.iter().find(|queue| queue.name == "genmux-poll").unwrap();
    assert!(template.functions["poll"].timeout < POLL_LEASE);
    assert!(POLL_LEASE < Duration::from_secs(queue.visibility_timeout_s.into()));
}
