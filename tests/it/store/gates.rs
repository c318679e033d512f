//! Gates: changed over the version they were made from, and by one writer at a time.

use domain::policy::breaker::Report;
use domain::policy::gate::{Entry, Gate, Refusal};
use domain::policy::health::{Gauge, Ping};
use domain::policy::limit::Limits;
use domain::provider::Provider::{self, Fal, Runway};
use domain::verdict::ErrorClass;
use harness::World;
use shared::store::gauges::Gauges;
use shared::store::{Error, keys};
use tokio::task::JoinSet;

use super::{snapshot, spoil, text};

type Changed = Result<(Gate, Option<Refusal>), Error>;

async fn pause(gauges: &Gauges, seen: Gate, stamp: u64, on: bool, world: &World) -> Changed {
    let now = world.clock.now();
    gauges.change_gate(Fal, seen, stamp, |gate: &Gate| Ok::<_, Refusal>(gate.paused(on, now))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_is_written_over_its_own_version_and_a_stale_one_is_decided_again() {
    let world = World::new().await;
    let (gauges, now) = (Gauges::new(world.table()), world.clock.now());
    let none = gauges.gate(Fal, now).await.unwrap();
    assert_eq!(none, Gate::new(now));

    let (paused, _) = pause(&gauges, none.clone(), 1, true, &world).await.unwrap();
    assert_eq!((paused.version, paused.paused_at), (1, Some(now)));
    let before = snapshot(&world).await;
    // From what was there before: the winner is found paused already, and nothing is written.
    let (winner, _) = pause(&gauges, none.clone(), 2, true, &world).await.unwrap();
    assert_eq!(winner, paused);
    assert_eq!(snapshot(&world).await, before);
    // A stale view that decides otherwise is written over the winner.
    let (resumed, _) = pause(&gauges, Gate { version: 0, ..paused.clone() }, 3, false, &world).await.unwrap();
    assert_eq!((resumed.version, resumed.paused_at), (2, None));
    assert_eq!(gauges.gate(Fal, now).await.unwrap(), resumed);
    assert_eq!(gauges.gate(Runway, now).await.unwrap(), Gate::new(now), "each has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_no_longer_there_is_an_error_and_not_made_up() {
    let world = World::new().await;
    let (gauges, now) = (Gauges::new(world.table()), world.clock.now());
    let ahead = Gate { version: 7, ..Gate::new(now) };
    let error = pause(&gauges, ahead, 1, true, &world).await.unwrap_err();
    assert!(!error.is_missing() && !error.is_corrupt(), "a repeat makes a new one: {error:?}");
    assert_eq!(gauges.gate(Fal, now).await.unwrap(), Gate::new(now));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rivals_at_the_same_instant_one_probes_and_no_more_enter_than_there_are_places() {
    const RIVALS: u64 = 8;
    let world = World::new().await;
    let (gauges, now) = (Gauges::new(world.table()), world.clock.now());
    let ill = |gate: &Gate| {
        let auth = Some(Report::Ill(ErrorClass::Auth));
        Ok::<_, Refusal>(gate.after(auth, None, 0, now))
    };
    gauges.change_gate(Fal, Gate::new(now), 1, ill).await.unwrap();
    let later = now + std::time::Duration::from_secs(60);
    let three = Limits { at_once: Some(3), ..Limits::default() };
    for (provider, limits, let_in) in [(Fal, Limits::default(), 1), (Runway, three, 3)] {
        let seen = gauges.gate(provider, now).await.unwrap();
        let mut rivals = JoinSet::new();
        for n in 0..RIVALS {
            let (gauges, seen) = (gauges.clone(), seen.clone());
            rivals.spawn(async move {
                let lease = n.to_string();
                let entry = Entry { lease: &lease, retry: false, forced: false, limits };
                gauges.change_gate(provider, seen, n, |gate: &Gate| gate.enter(&entry, later)).await
            });
        }
        let ends: Vec<Changed> = rivals.join_all().await;
        let entered = ends.iter().filter(|end| matches!(end, Ok((_, None)))).count();
        assert_eq!(entered, let_in, "{provider}");
        assert!(ends.iter().all(Result::is_ok), "nobody lost too many races: {provider}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_known_of_providers_comes_in_one_read_and_nonsense_is_an_error() {
    let world = World::new().await;
    let (gauges, now) = (Gauges::new(world.table()), world.clock.now());
    assert!(gauges.known(Provider::ALL).await.unwrap().is_empty());
    let gauge = Gauge::new(now).after(Ping::Failed, now);
    assert!(gauges.set_health(Fal, &gauge).await.unwrap());
    let (gate, _) = pause(&gauges, Gate::new(now), 1, true, &world).await.unwrap();
    let known = gauges.known(Provider::ALL).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[&Fal].health.clone(), known[&Fal].gate.clone()), (Some(gauge), Some(gate)));

    spoil(&world, &keys::gauge(Fal), keys::GATE, "budget", text("plenty")).await;
    assert!(gauges.known(Provider::ALL).await.unwrap_err().is_corrupt());
    assert!(gauges.gate(Fal, now).await.unwrap_err().is_corrupt());
}
