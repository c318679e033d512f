//! `reconcile`, `poll`, a webhook and a cancel at one job at once: each of them at each effect
//! of each, what follows from it included.

use std::sync::Arc;
use std::time::Duration;

use domain::id::JobId;
use domain::job::{CHECK_EVERY, State};
use domain::provider::Provider;
use futures_util::FutureExt;
use harness::World;
use shared::store::polls::PollSequence;
use shared::store::queue::{Message, Queue};
use sim::CallKind;

/// Who acts on a running job whose remote job has just ended and whose check is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Reconcile,
    Poll,
    Webhook,
    Cancel,
}

const ACTORS: [Actor; 4] = [Actor::Reconcile, Actor::Poll, Actor::Webhook, Actor::Cancel];

impl Actor {
    /// Acts, and lets happen what follows at once.
    async fn act(self, world: &World, id: &JobId) {
        match self {
            Self::Reconcile => world.reconcile().await,
            Self::Poll => {
                let queue = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-poll"));
                let message =
                    Message::Poll { job_id: id.clone(), attempt: 1, sequence: Some(PollSequence::FIRST) };
                queue.send(&message, None, Duration::ZERO).await.expect("the queue takes it");
            }
            Self::Webhook => {
                // Due once; a second time it is the same delivery again.
                if world.simulator(Provider::Fal).deliver_due().await.expect("it is delivered") == 0 {
                    let invocations = world.wire.invocations();
                    if let Some((name, event)) = invocations.into_iter().find(|(name, _)| name == "webhook") {
                        let _answer = world.stack.host.invoke(&name, event).await;
                    }
                }
            }
            Self::Cancel => {
                world.cancel(id).await;
            }
        }
        // Queues alone: the webhook stays where it is until somebody lets it come.
        while world.stack.host.step_queues().await.expect("the queues answer") > 0 {}
    }
}

/// Plays a job on which `first` acts, overtaken by `second` at effect `k`; `false` if there is
/// no such effect any more.
async fn collide(world: &Arc<World>, prompt: &str, first: Actor, second: Actor, k: usize) -> bool {
    let key = format!("{first:?} {second:?} {k} {prompt}");
    let creates = world.calls(Provider::Fal, CallKind::Create);
    let id = world.submit("pika-2.2", prompt, &key).await;
    world.drain().await;
    world.clock.advance(CHECK_EVERY);
    world.wire.reset();
    let (rivals, rival) = (Arc::clone(world), id.clone());
    world.wire.overtake_at(k, move || {
        let (world, id) = (Arc::clone(&rivals), rival.clone());
        async move { second.act(&world, &id).await }.boxed()
    });
    first.act(world, &id).await;
    let met = world.wire.is_spent();
    world.wire.reset();

    let job = world.finish(&id).await;
    let end = if prompt.contains("fail=") { State::Failed } else { State::Succeeded };
    let canceled = [first, second].contains(&Actor::Cancel) && job.state() == State::Canceled;
    assert!(job.state() == end || canceled, "{key}: {job:?}");
    assert_eq!(job.attempts().len(), 1, "{key}: {job:?}");
    assert_eq!(world.calls(Provider::Fal, CallKind::Create) - creates, 1, "{key}");
    world.audit().await;
    met
}

async fn every_pair(prompt: &str) {
    for first in ACTORS {
        let world = Arc::new(World::new().await);
        for second in ACTORS {
            let mut k = 0;
            while collide(&world, prompt, first, second, k).await {
                k += 1;
            }
            assert!(k > 1, "{first:?} has {k} effects");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_one_finished_job_deliver_it_once() {
    every_pair("a paper boat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_one_failed_job_refund_it_once() {
    every_pair("a paper boat [[sim: fail=content_policy]]").await;
}
