//! When none of our functions runs, or messages are lost: every job comes to its right end, and
//! soon after its deadline at the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::catalog::Catalog;
use domain::credit::Entry;
use domain::id::JobId;
use domain::job::{CHECK_EVERY, Job, State};
use domain::policy::backoff::{POLL_MAX, POLLS_MAX};
use domain::provider::Provider;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use harness::World;
use local::host::{Function, FunctionError, Invocation};
use local::stack::Around;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::operate::providers::pause;
use shared::provider::adapter;
use shared::store::admission::AdmissionStore;
use shared::store::audit::History;
use sim::CallKind;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// How long after its deadline a job may still be live.
const LATE_MAX: Duration = Duration::from_secs(600);

/// A function that fails while the switch is on.
struct Switched {
    inner: Arc<dyn Function>,
    down: Arc<AtomicBool>,
}

impl Function for Switched {
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        if self.down.load(Ordering::SeqCst) {
            let message = "there is no compute".to_owned();
            return async { Err(FunctionError::Panicked { message }) }.boxed();
        }
        self.inner.invoke(event, context)
    }
}

/// A world, and the switch that takes all its functions away.
async fn switched() -> (World, Arc<AtomicBool>) {
    let down = Arc::<AtomicBool>::default();
    let switch = Arc::clone(&down);
    let world = World::with(move |options| {
        let wired = options.around.take().expect("the harness goes around every function");
        options.around = Some(Around(Arc::new(move |name, inner| {
            let (inner, down) = (wired.0(name, inner), Arc::clone(&switch));
            Arc::new(Switched { inner, down }) as Arc<dyn Function>
        })));
    });
    (world.await, down)
}

/// Lets time pass as it does when nobody helps: every minute, whatever is due.
async fn minute(world: &World) {
    world.advance(MINUTE).await;
    world.reconcile().await;
}

async fn begin(world: &World, model: &str, prompt: &str) -> JobId {
    let id = world.submit(model, prompt, &format!("{model} {prompt}")).await;
    world.drain().await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_day_without_compute_every_job_ends_as_its_provider_says() {
    let (world, down) = switched().await;
    let jobs = [
        // Its deadline passes within the outage: it is the first.
        ("paid, its file not had yet", "pika-2.2", "a [[sim: asset=500:3]]", State::Succeeded),
        ("reported to nobody", "pika-2.2", "b [[sim: latency=600]]", State::Succeeded),
        ("polled by nobody", "gen-4.5", "c [[sim: latency=600]]", State::Succeeded),
        ("done after half the day", "veo-3.1", "d [[sim: latency=40000]]", State::Succeeded),
        ("asked to end, and finished all the same", "gen-4.5", "e [[sim: latency=600]]", State::Succeeded),
        ("unknown, and found", "pika-2.2", "f [[sim: create=drop-after, latency=600]]", State::Succeeded),
        ("unknown, and nobody to ask", "gen-4.5", "g [[sim: create=drop-after]]", State::Failed),
        ("refused by policy", "pika-2.2", "h [[sim: fail=content_policy, latency=600]]", State::Failed),
        ("never sent", "pika-2.2", "i", State::Failed),
    ];
    let [settling, rest @ ..] = jobs;
    let mut ids = vec![begin(&world, settling.1, settling.2).await];
    world.advance(Duration::from_secs(40)).await;
    assert_eq!(world.state(&ids[0]).await, State::Settling);
    for (name, model, prompt, _) in rest {
        ids.push(world.submit(model, prompt, prompt).await);
        if name != "never sent" {
            world.drain().await;
        }
    }
    world.cancel(&ids[4]).await;

    down.store(true, Ordering::SeqCst);
    for _ in 0..48 {
        world.advance(HOUR / 2).await;
        world.reconcile().await;
    }
    down.store(false, Ordering::SeqCst);
    let creates = |provider| world.calls(provider, CallKind::Create);
    let before = creates(Provider::Fal) + creates(Provider::Runway);

    // `reconcile` is first: what lies in the queues comes after it.
    world.reconcile().await;
    for _ in 0..LATE_MAX.as_secs() / 60 {
        minute(&world).await;
    }
    for ((name, .., end), id) in jobs.iter().zip(&ids) {
        let job = world.job(id).await;
        assert_eq!(job.state(), *end, "{name}: {job:?}");
        assert!(job.attempts().len() <= 1, "{name}: {job:?}");
    }
    assert_eq!(creates(Provider::Fal) + creates(Provider::Runway), before, "nothing is made anew");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_outlives_its_deadline_by_ten_minutes() {
    for (model, prompt, cancel) in [
        ("pika-2.2", "taken by nobody", false),
        ("gen-4.5", "a [[sim: create=drop-before]]", false),
        ("hailuo-02", "b [[sim: create=drop-before]]", false),
        ("pika-2.2", "c [[sim: latency=1000000, cancel=ignored]]", false),
        ("gen-4.5", "d [[sim: latency=1000000, status=html]]", true),
        ("pika-2.2", "e [[sim: asset=html]]", false),
    ] {
        let world = World::new().await;
        if prompt == "taken by nobody" {
            pause(&AdmissionStore::new(world.table()), Provider::Fal, true, 7, world.clock.now())
                .await
                .unwrap();
        }
        let id = world.submit(model, prompt, "late").await;
        world.drain().await;
        if cancel {
            world.cancel(&id).await;
        }
        let mut job: Job = world.job(&id).await;
        while !job.state().is_terminal() {
            let deadline = job.deadline();
            world.advance(deadline.since(world.clock.now()).saturating_sub(MINUTE / 2)).await;
            world.reconcile().await;
            job = world.job(&id).await;
            while job.deadline() == deadline {
                let late = world.clock.now().since(deadline);
                assert!(late + MINUTE <= LATE_MAX, "{prompt}: {late:?} past its deadline: {job:?}");
                minute(&world).await;
                job = world.job(&id).await;
            }
        }
        assert_eq!(job.state() == State::Canceled, cancel, "{job:?}");
        // The money is back with the verdict: in the same write.
        let lines = History::read(&world.table(), &id).await.unwrap().unwrap().lines;
        let refunds = lines.iter().filter(|line| matches!(line.entry, Entry::Refund { .. }));
        assert_eq!(refunds.map(|line| line.at).collect::<Vec<_>>(), [job.updated_at()], "{prompt}");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_webhook_an_end_is_known_within_a_check_and_a_minute() {
    const LATENCY: u64 = 300;
    let world = World::new().await;
    let reporting = |provider: &&Provider| adapter(**provider).capabilities().webhooks.is_some();
    let mut jobs = Vec::new();
    for provider in Provider::ALL.iter().filter(reporting) {
        let catalog = Catalog::for_providers(&[*provider]);
        let model = catalog.models().next().expect("every provider has a model");
        let order = json!({
            "model": model.name, "prompt": format!("{provider} [[sim: webhook=lost, latency={LATENCY}]]"),
            "provider": provider, "pin": true,
            "image_url": model.routes.iter().all(|route| route.endpoint.is_none())
                .then_some("https://images.example/boat.png"),
        });
        let answer = world.post_job(&order, provider.name()).await;
        jobs.push(answer.text("/id").parse::<JobId>().unwrap_or_else(|_| panic!("{answer:?}")));
        world.drain().await;
    }
    assert!(jobs.len() >= 6, "{}", jobs.len());
    let end = world.clock.now() + Duration::from_secs(LATENCY);
    while world.clock.now() < end + CHECK_EVERY + MINUTE {
        minute(&world).await;
    }
    for id in &jobs {
        let job = world.job(id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
        assert!(job.updated_at() >= end, "{job:?}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_result_that_answers_5xx_for_most_of_a_day_is_still_had() {
    for play in ["result=500:20, webhook=lost", "asset=500:60"] {
        let world = World::new().await;
        let id = begin(&world, "pika-2.2", &format!("a [[sim: {play}]]")).await;
        let start = world.clock.now();
        while !world.state(&id).await.is_terminal() && world.clock.now().since(start) < 24 * HOUR {
            world.advance(HOUR).await;
            world.reconcile().await;
        }
        let job = world.job(&id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{play}: {job:?}");
        assert!(world.clock.now().since(start) >= 15 * HOUR, "{play}: it came too easily");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_refunded_within_five_seconds_of_its_end() {
    let world = World::new().await;
    let id = begin(&world, "pika-2.2", "a [[sim: fail=content_policy]]").await;
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Failed);
    let ended = world.simulator(Provider::Fal).remote_jobs().unwrap()[0].ends_at;
    let lines = History::read(&world.table(), &id).await.unwrap().unwrap().lines;
    assert_eq!(lines.len(), 2);
    assert!(lines[1].at.since(ended) <= Duration::from_secs(5), "{:?} after {ended:?}", lines[1].at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_runs_for_long_is_asked_about_less_often() {
    const LATENCY: u64 = 3_000;
    let world = World::new().await;
    let id = begin(&world, "gen-4.5", &format!("a [[sim: latency={LATENCY}]]")).await;
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    // The chain, then one for each check, and one at the end.
    let most = u64::from(POLLS_MAX) + LATENCY / CHECK_EVERY.as_secs() + 1;
    let polls = world.calls(Provider::Runway, CallKind::Poll) as u64;
    assert!(polls <= most, "{polls} polls, and {most} are enough");
    world.audit().await;
}

/// What comes twice goes on once: of a message, of a batch whose function died, of a cancel that
/// its caller repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chain_asks_about_an_attempt_however_often_its_messages_come() {
    const LATENCY: u64 = 400;
    let prompt = format!("a [[sim: latency={LATENCY}, cancel=ignored]]");
    let mut polls = [0; 2];
    for (polls, disturbed) in polls.iter_mut().zip([false, true]) {
        let world = World::new().await;
        let id = begin(&world, "gen-4.5", &prompt).await;
        if disturbed {
            world.wire.double();
        }
        world.advance(MINUTE).await;
        for _ in 0..if disturbed { 20 } else { 1 } {
            assert_eq!(world.cancel(&id).await.status, StatusCode::ACCEPTED);
        }
        let job = world.finish(&id).await;
        assert_eq!(job.state(), State::Succeeded, "what runs on is paid for, and had: {job:?}");
        *polls = world.calls(Provider::Runway, CallKind::Poll);
        world.audit().await;
    }
    // `reconcile` asks once for each message of its own, and these come twice as well.
    let checks = usize::try_from(LATENCY / CHECK_EVERY.as_secs()).unwrap() + 1;
    assert!(polls[1] <= polls[0] + 2 * checks, "{polls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_to_stop_late_is_asked_about_as_often_as_what_has_just_begun() {
    let world = World::new().await;
    let id = begin(&world, "gen-4.5", "a [[sim: latency=900, cancel=ignored]]").await;
    world.advance(MINUTE * 8).await;
    assert_eq!(world.cancel(&id).await.status, StatusCode::ACCEPTED);
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    let ended = world.simulator(Provider::Runway).remote_jobs().unwrap()[0].ends_at;
    assert!(job.updated_at().since(ended) <= 2 * POLL_MAX, "{:?} after {ended:?}", job.updated_at());
    world.audit().await;
}
