//! Providers that fail, hold back or are paused: what becomes of the jobs, and how often
//! anybody is called.

use std::time::Duration;

use domain::id::JobId;
use domain::job::{Job, State};
use domain::policy::admission::Admission;
use domain::policy::breaker::COOL_DOWN;
use domain::provider::Provider::{self, Fal, Runway};
use domain::time::Timestamp;
use harness::{World, how_many};
use shared::boot::Env;
use shared::operate::providers::{Overview, pause};
use shared::store::admission::AdmissionStore;
use sim::CallKind;

/// A prompt by which fal answers every create with an error.
const FAL_DOWN: &str = "[[sim: create=refuse:503, only=fal]]";
/// A prompt by which every provider does.
const ALL_DOWN: &str = "[[sim: create=refuse:503]]";

fn store(world: &World) -> AdmissionStore {
    AdmissionStore::new(world.table())
}

async fn admission(world: &World, provider: Provider) -> Admission {
    store(world).admission(provider, world.clock.now()).await.unwrap()
}

fn creates(world: &World) -> usize {
    world.stack.simulators.keys().map(|provider| world.calls(*provider, CallKind::Create)).sum()
}

async fn submit(world: &World, model: &str, prompt: &str, count: usize) -> Vec<JobId> {
    let mut jobs = Vec::new();
    for n in 0..count {
        jobs.push(world.submit(model, &format!("{n} {prompt}"), &format!("{model} {n} {prompt}")).await);
    }
    jobs
}

async fn states(world: &World, jobs: &[JobId], state: State) -> usize {
    let mut count = 0;
    for id in jobs {
        count += usize::from(world.state(id).await == state);
    }
    count
}

async fn limited(limits: &str) -> World {
    let env = Env::from_pairs([("PROVIDER_LIMITS", limits)]);
    World::with(|options| options.env = env).await
}

/// A model that three providers make.
const OF_THREE: &str = "hailuo-2.3";
/// Jobs in a wave, and the time from one wave to the next.
const WAVE: usize = 3;
const WAVE_EVERY: Duration = Duration::from_secs(3);

/// A world in which a provider cannot be reached: what is certainly not sent fails over.
async fn without(provider: Provider) -> World {
    World::with(|options| options.unreachable = vec![provider]).await
}

/// Plays jobs of the model that three providers make, at one a second, to their ends; gives them,
/// how many succeeded, and the median time that a job took.
async fn play_steadily(world: &World, prompt: &str, count: usize) -> (Vec<Job>, usize, Duration) {
    let mut jobs = Vec::new();
    for n in 0..count / WAVE {
        jobs.extend(submit(world, OF_THREE, &format!("{n} {prompt}"), WAVE).await);
        world.drain().await;
        world.advance(WAVE_EVERY).await;
    }
    for _ in 0..200 {
        if states(world, &jobs[jobs.len() - WAVE..], State::Succeeded).await == WAVE {
            break;
        }
        world.advance(WAVE_EVERY).await;
    }
    let (mut ended, mut made, mut took) = (Vec::new(), 0, Vec::new());
    for id in &jobs {
        let job = world.finish(id).await;
        made += usize::from(job.state() == State::Succeeded);
        took.push(job.updated_at().since(job.created_at()));
        ended.push(job);
    }
    took.sort();
    world.audit().await;
    (ended, made, took[took.len() / 2])
}

/// `JOBS=3000` with `--release` plays more of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_three_providers_down_all_jobs_succeed_as_soon_and_few_calls_are_in_vain() {
    let jobs = how_many("JOBS", 120);
    let well = World::new().await;
    let (_, made, usual) = play_steadily(&well, "a boat", jobs).await;
    let (healthy, first) =
        (creates(&well), |world: &World, provider| world.calls(provider, CallKind::Create));
    assert_eq!((made, healthy), (jobs, jobs));
    let down = *Provider::ALL.iter().max_by_key(|provider| first(&well, **provider)).unwrap();

    let world = without(down).await;
    let (ended, made, took) = play_steadily(&world, "a boat", jobs).await;
    let attempts = ended.iter().flat_map(|job| job.attempts()).filter(|attempt| attempt.provider == down);
    let mut calls: Vec<_> = attempts.map(|attempt| attempt.started_at).collect();
    calls.sort();
    let (all, vain) = (creates(&world) + calls.len(), calls.len());
    println!("{down} of three down: {made} of {jobs} jobs, {all} creates, {vain} of them in vain, {took:?}");
    assert!(made * 1_000 >= jobs * 999, "{made} of {jobs}");
    assert!(all * 10 <= healthy * 12, "{all} creates, and {healthy} when all is well");
    assert!(took <= usual + Duration::from_secs(1), "{took:?}, and {usual:?} when all is well");

    let gap = |pair: &[Timestamp]| pair[1].since(pair[0]);
    let before_open = 1 + calls.windows(2).take_while(|pair| gap(pair) < COOL_DOWN).count();
    assert!(before_open <= 10, "the breaker opens within ten failures: {calls:?}");
    assert!(calls[before_open - 1].since(calls[0]) <= Duration::from_secs(30), "{calls:?}");
    let probes = &calls[before_open - 1..];
    assert!(probes.len() > 2, "it is probed: {calls:?}");
    for probe in probes.windows(2) {
        let wait = gap(probe);
        assert!(wait >= COOL_DOWN && wait <= 2 * COOL_DOWN + WAVE_EVERY, "{wait:?} to a probe: {calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_outage_is_not_made_worse_by_retries() {
    const WAVES: usize = 20;
    const WAVE: usize = 6;
    let world = World::new().await;
    let mut jobs = Vec::new();
    for n in 0..WAVES {
        jobs.extend(submit(&world, "veo-3.1", &format!("{n} {ALL_DOWN}"), WAVE).await);
        world.advance(Duration::from_secs(30)).await;
        world.tick().await;
    }
    let all = creates(&world);
    println!("total outage of ten minutes: {} jobs, {all} creates", jobs.len());
    assert!(all * 10 <= jobs.len() * 12, "{all} creates of {} jobs", jobs.len());
    assert!(all > 10, "it is tried all the same");
    assert_eq!(states(&world, &jobs, State::Queued).await, jobs.len() - all, "none is tried twice");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_an_outage_holds_back_are_made_after_it() {
    const JOBS: usize = 20;
    const REFUSED: usize = 14;
    let world = World::new().await;
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        // One prompt: the provider refuses the first so many creates, whoever sends them.
        let prompt = format!("a boat [[sim: create=refuse:429, times={REFUSED}]]");
        jobs.push(world.submit("pika-2.2", &prompt, &format!("outage {n}")).await);
    }
    world.drain().await;
    assert!(world.calls(Fal, CallKind::Create) < JOBS, "the breaker holds most of them back");
    let mut made = 0;
    for id in &jobs {
        let job = world.finish(id).await;
        assert!(job.state() == State::Succeeded || job.attempts().len() == 4, "{job:?}");
        made += usize::from(job.state() == State::Succeeded);
    }
    assert!(made >= JOBS - REFUSED / 4, "{made} of {JOBS}");
    assert_eq!(world.calls(Fal, CallKind::Create), made + REFUSED);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_closes_after_three_probes_that_went_well() {
    let world = World::new().await;
    submit(&world, "veo-3.1", FAL_DOWN, 5).await;
    world.drain().await;
    assert!(admission(&world, Fal).await.breaker.open.is_some());
    let before = world.calls(Fal, CallKind::Create);
    submit(&world, "veo-3.1", "while it is open", 3).await;
    world.drain().await;
    assert_eq!(world.calls(Fal, CallKind::Create), before, "nobody calls it");

    world.clock.advance(Duration::from_secs(61));
    for n in 1..=3 {
        submit(&world, "veo-3.1", &format!("well again {n}"), 1).await;
        world.drain().await;
        assert_eq!(world.calls(Fal, CallKind::Create), before + n);
    }
    assert_eq!(admission(&world, Fal).await.breaker.open, None);
    let version = admission(&world, Fal).await.version;
    submit(&world, "veo-3.1", "as ever", 5).await;
    world.drain().await;
    assert_eq!(world.calls(Fal, CallKind::Create), before + 8);
    assert_eq!(admission(&world, Fal).await.version, version, "success writes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_keeps_all_others_away_at_once() {
    let world = World::new().await;
    submit(&world, "veo-3.1", "[[sim: create=refuse:401, only=fal]]", 1).await;
    world.drain().await;
    let jobs = submit(&world, "veo-3.1", "a boat", 3).await;
    world.drain().await;
    assert_eq!(world.calls(Fal, CallKind::Create), 1);
    for id in &jobs {
        assert_eq!(world.finish(id).await.attempts().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_job_that_breaks_counts_against_its_provider() {
    let world = World::new().await;
    let jobs = submit(&world, "veo-3.1", "[[sim: fail=internal, only=fal]]", 5).await;
    for id in &jobs {
        let job = world.finish(id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 2), "{job:?}");
    }
    assert!(admission(&world, Fal).await.breaker.open.is_some());
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_run_at_once_than_a_provider_takes_and_no_attempt_is_burnt_by_waiting() {
    let world = limited("runway=at_once:2").await;
    let jobs = submit(&world, "gen-4.5", "a boat", 6).await;
    world.drain().await;
    assert_eq!(world.calls(Runway, CallKind::Create), 2);
    assert_eq!(states(&world, &jobs, State::Queued).await, 4);
    for _ in 0..600 {
        let running = states(&world, &jobs, State::Running).await;
        assert!(running <= 2, "{running} run at once");
        if states(&world, &jobs, State::Succeeded).await == jobs.len() {
            break;
        }
        world.pass_time(&jobs[5]).await;
    }
    for id in &jobs {
        let job = world.job(id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    }
    assert!(admission(&world, Runway).await.usage.leases.is_empty(), "every slot was released");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_creates_come_within_a_minute_than_a_provider_takes() {
    let world = limited("runway=per_minute:6,burst:2").await;
    let jobs = submit(&world, "gen-4.5", "a boat", 8).await;
    world.drain().await;
    assert_eq!(world.calls(Runway, CallKind::Create), 2, "the burst");
    let start = world.clock.now();
    for id in &jobs {
        let job = world.finish(id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    }
    let mut starts = Vec::new();
    for id in &jobs {
        starts.push(world.job(id).await.attempts()[0].started_at);
    }
    starts.sort();
    for (n, at) in starts.iter().enumerate().skip(2) {
        assert!(at.since(start) >= Duration::from_secs(10 * (n as u64 - 1)), "{n}: {starts:?}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_provider_is_passed_over_where_another_takes_the_job() {
    let world = limited("fal=at_once:1").await;
    let jobs = submit(&world, "veo-3.1", "a boat", 3).await;
    world.drain().await;
    assert_eq!((world.calls(Fal, CallKind::Create), world.calls(Runway, CallKind::Create)), (1, 2));
    for id in &jobs {
        assert_eq!(world.finish(id).await.attempts().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_too_fast_is_left_alone_by_all_jobs() {
    let world = World::new().await;
    let first = submit(&world, "pika-2.2", "[[sim: create=refuse:429, times=1, retry_after=30]]", 1).await;
    world.drain().await;
    let others = submit(&world, "pika-2.2", "a boat", 3).await;
    world.drain().await;
    assert_eq!(world.calls(Fal, CallKind::Create), 1);
    assert_eq!(states(&world, &others, State::Queued).await, 3);
    for id in first.iter().chain(&others) {
        assert_eq!(world.finish(id).await.state(), State::Succeeded);
    }
    assert_eq!(world.calls(Fal, CallKind::Create), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_provider_gets_no_new_attempts_and_those_that_run_go_on() {
    let world = World::new().await;
    let runs = submit(&world, "pika-2.2", "a boat", 1).await;
    world.drain().await;
    assert_eq!(states(&world, &runs, State::Running).await, 1);
    let (store, now) = (store(&world), world.clock.now());
    for is_changed in [true, false] {
        assert_eq!(pause(&store, Fal, true, 7, now).await.unwrap(), is_changed);
    }
    world.clock.advance(Duration::from_secs(61));
    let elsewhere = submit(&world, "veo-3.1", "a boat", 1).await;
    let waits = submit(&world, "pika-2.2", "a coat", 1).await;
    world.drain().await;
    assert_eq!(world.finish(&runs[0]).await.state(), State::Succeeded);
    assert_eq!(world.finish(&elsewhere[0]).await.attempts()[0].provider, Runway);
    world.advance(Duration::from_secs(300)).await;
    assert_eq!(states(&world, &waits, State::Queued).await, 1);
    assert_eq!(world.calls(Fal, CallKind::Create), 1);
    let known = store.states(&[Fal]).await.unwrap().remove(&Fal).unwrap();
    assert_eq!(Overview::new(Fal, known, now).paused_at, Some(now));

    assert!(pause(&store, Fal, false, 8, world.clock.now()).await.unwrap());
    assert_eq!(world.finish(&waits[0]).await.state(), State::Succeeded);
    world.audit().await;
}

/// `CROWD=9990` plays a larger one, in a few minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_one_account_does_not_hold_back_anothers_single_job() {
    let crowd = how_many("CROWD", 300);
    let world = World::new().await;
    submit(&world, "pika-2.2", "of the crowd", crowd).await;
    let quiet = "acct_quiet".parse().unwrap();
    world.grant(&quiet, domain::credit::Credits::ONE.checked_mul(1_000).unwrap()).await;
    let key = world.new_key(&quiet, vec![shared::store::keystore::Scope::Write]).await;
    let bearer = format!("Bearer {key}");
    let order = r#"{"model": "pika-2.2", "prompt": "a single boat"}"#;
    let answer =
        world.call(reqwest::Method::POST, "/v1/jobs", &[("authorization", &bearer)], Some(order)).await;
    let id: JobId = answer.text("/id").parse().unwrap();

    // Idle, it takes one batch of the dispatch queue.
    for _ in 0..2 {
        world.stack.host.step_queues().await.unwrap();
    }
    assert_eq!(world.state(&id).await, State::Running);
    assert!(world.calls(Fal, CallKind::Create) < crowd / 2, "most of the crowd still waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_fallback_models_and_policy_decide_who_is_asked_next() {
    let world = World::new().await;
    let submit = async |order: serde_json::Value| -> domain::job::Job {
        let key = order.to_string();
        let answer = world.post_job(&order, &key[..key.len().min(200)].replace(['"', '\\'], "'")).await;
        let job = world.finish(&answer.text("/id").parse().unwrap()).await;
        // What was learnt of the providers is forgotten before the next order.
        world.advance(Duration::from_secs(600)).await;
        job
    };
    let providers = |job: &domain::job::Job| -> Vec<Provider> {
        job.attempts().iter().map(|attempt| attempt.provider).collect()
    };
    let refused = "[[sim: create=refuse:429, only=fal]]";
    let pinned = serde_json::json!(
        {"model": "veo-3.1", "prompt": refused, "provider": "fal", "pin": true});
    let job = submit(pinned).await;
    assert_eq!((job.state(), providers(&job)), (State::Failed, vec![Fal; 4]));

    let fallback = serde_json::json!(
        {"model": "pika-2.2", "prompt": refused, "duration_s": 5, "fallback_models": ["gen-4.5"]});
    let job = submit(fallback).await;
    assert_eq!((job.state(), providers(&job)), (State::Succeeded, vec![Fal, Runway]));

    let policy = serde_json::json!(
        {"model": "veo-3.1", "prompt": "[[sim: fail=content_policy, only=fal]]"});
    let job = submit(policy).await;
    assert_eq!((job.state(), providers(&job)), (State::Failed, vec![Fal]), "accepted, run, and refused");
    world.audit().await;
}
