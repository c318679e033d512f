//! Functions that die, fail or are repeated at any effect on the way of an event.

use domain::id::JobId;
use harness::Moment;
use harness::receiver::Received;

use super::*;

struct Story {
    world: World,
    receiver: Receiver,
    endpoint: String,
}

impl Story {
    async fn new() -> Self {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        let (endpoint, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded", "job.failed"]).await;
        let story = Self { world, receiver, endpoint };
        story.play("warms the instances").await;
        story
    }

    /// From a submit to the end of its delivery.
    async fn play(&self, key: &str) -> JobId {
        let id = self.world.submit("gen-4.5", "a paper boat", key).await;
        self.world.finish(&id).await;
        pass(&self.world, Duration::from_secs(300)).await;
        id
    }

    /// How many effects the undisturbed story has.
    async fn effects(&self) -> usize {
        self.world.wire.reset();
        self.play("undisturbed").await;
        self.world.wire.effects()
    }

    fn received(&self, job: &JobId) -> Vec<Received> {
        let all = self.receiver.at("/hook").into_iter();
        all.filter(|one| one.json()["data"]["id"] == job.as_str()).collect()
    }

    /// It came, under one id, and its record says so.
    async fn assert_delivered(&self, job: &JobId, at: &str) {
        let received = self.received(job);
        assert!(!received.is_empty(), "{at}: nothing came");
        let id = received[0].header("webhook-id").to_owned();
        assert!(received.iter().all(|one| one.header("webhook-id") == id), "{at}: {received:?}");
        assert!(received.iter().all(|one| one.body == received[0].body), "{at}: {received:?}");
        let listed = deliveries(&self.world, &self.endpoint).await;
        let records: Vec<_> = listed.iter().filter(|one| one["event"] == id.as_str()).collect();
        assert_eq!(records.len(), 1, "{at}: {records:?}");
        assert_eq!(records[0]["status"], "delivered", "{at}: {records:?}");
        self.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_survives_a_crash_at_every_effect() {
    let story = Story::new().await;
    let effects = story.effects().await;
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            let at = format!("crash {moment:?} {k}");
            story.world.wire.reset();
            story.world.wire.crash_at(k, moment);
            let job = story.play(&at).await;
            assert!(story.world.wire.is_spent(), "{at}: the effect never came");
            story.assert_delivered(&job, &at).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_survives_a_failure_of_every_effect() {
    let story = Story::new().await;
    let effects = story.effects().await;
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            let at = format!("failure {moment:?} {k}");
            story.world.wire.reset();
            story.world.wire.fail_at(k, moment);
            let job = story.play(&at).await;
            story.assert_delivered(&job, &at).await;
        }
    }
}

/// Where every effect lands, its answer is lost, and the SDK repeats the call, the event is sent once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_sends_no_event_twice() {
    let story = Story::new().await;
    let effects = story.effects().await;
    for k in 0..effects {
        let at = format!("lost answer {k}");
        story.world.wire.reset();
        story.world.wire.lose_answer_at(k);
        let job = story.play(&at).await;
        let calls = story.world.wire.calls();
        // A repeated send is two messages, and a try is claimed once all the same.
        story.assert_delivered(&job, &format!("{at}, {}", calls[k])).await;
        assert_eq!(story.received(&job).len(), 1, "{at}, {}", calls[k]);
    }
}

/// Every message twice at the same time, and all once more in reverse when all is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_send_no_event_twice() {
    let story = Story::new().await;
    story.world.wire.reset();
    story.world.wire.double();
    let job = story.play("twice").await;
    story.assert_delivered(&job, "twice").await;
    assert_eq!(story.received(&job).len(), 1);
    let invocations = story.world.wire.invocations();
    for (function, event) in invocations.into_iter().rev().filter(|(name, _)| name != "submit") {
        let _answer = story.world.stack.host.invoke(&function, event).await;
    }
    pass(&story.world, HOUR).await;
    story.assert_delivered(&job, "in reverse").await;
    assert_eq!(story.received(&job).len(), 1);
}
