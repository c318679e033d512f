//! Admission control: each write is conditional on its version.

use domain::policy::admission::{Admission, AdmissionRequest, NotAdmitted};
use domain::policy::breaker::Report;
use domain::policy::health::{Gauge, Ping};
use domain::policy::limit::Limits;
use domain::provider::Provider::{self, Fal, Runway};
use domain::verdict::ErrorClass;
use harness::World;
use shared::store::admission::AdmissionStore;
use shared::store::{Error, keys};
use tokio::task::JoinSet;

use super::{snapshot, spoil, text};

type Changed = Result<(Admission, Option<NotAdmitted>), Error>;

async fn pause(store: &AdmissionStore, seen: Admission, stamp: u64, on: bool, world: &World) -> Changed {
    let now = world.clock.now();
    store
        .change(Fal, seen, stamp, |admission: &Admission| Ok::<_, NotAdmitted>(admission.paused(on, now)))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_conditional_on_its_version_and_a_stale_one_is_decided_again() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let none = store.admission(Fal, now).await.unwrap();
    assert_eq!(none, Admission::new(now));

    let (paused, _) = pause(&store, none.clone(), 1, true, &world).await.unwrap();
    assert_eq!((paused.version, paused.paused_at), (1, Some(now)));
    let before = snapshot(&world).await;
    // From what was there before: the winner is found paused already, and nothing is written.
    let (winner, _) = pause(&store, none.clone(), 2, true, &world).await.unwrap();
    assert_eq!(winner, paused);
    assert_eq!(snapshot(&world).await, before);
    // A stale view that decides otherwise is written over the winner.
    let (resumed, _) =
        pause(&store, Admission { version: 0, ..paused.clone() }, 3, false, &world).await.unwrap();
    assert_eq!((resumed.version, resumed.paused_at), (2, None));
    assert_eq!(store.admission(Fal, now).await.unwrap(), resumed);
    assert_eq!(store.admission(Runway, now).await.unwrap(), Admission::new(now), "each has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_item_is_an_error() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let ahead = Admission { version: 7, ..Admission::new(now) };
    let error = pause(&store, ahead, 1, true, &world).await.unwrap_err();
    assert!(!error.is_missing() && !error.is_corrupt(), "a repeat makes a new one: {error:?}");
    assert_eq!(store.admission(Fal, now).await.unwrap(), Admission::new(now));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_requests_one_probes_and_no_more_are_admitted_than_there_are_slots() {
    const WRITERS: u64 = 8;
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let ill = |admission: &Admission| {
        let auth = Some(Report::Ill(ErrorClass::Auth));
        Ok::<_, NotAdmitted>(admission.after(auth, None, 0, now))
    };
    store.change(Fal, Admission::new(now), 1, ill).await.unwrap();
    let later = now + std::time::Duration::from_secs(60);
    let three = Limits { at_once: Some(3), ..Limits::default() };
    for (provider, limits, admitted) in [(Fal, Limits::default(), 1), (Runway, three, 3)] {
        let seen = store.admission(provider, now).await.unwrap();
        let mut writers = JoinSet::new();
        for n in 0..WRITERS {
            let (store, seen) = (store.clone(), seen.clone());
            writers.spawn(async move {
                let slot = n.to_string();
                let request = AdmissionRequest { slot: &slot, retry: false, forced: false, limits };
                store
                    .change(provider, seen, n, |admission: &Admission| admission.admit(&request, later))
                    .await
            });
        }
        let ends: Vec<Changed> = writers.join_all().await;
        let count = ends.iter().filter(|end| matches!(end, Ok((_, None)))).count();
        assert_eq!(count, admitted, "{provider}");
        assert!(ends.iter().all(Result::is_ok), "no writer lost too many races: {provider}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_states_come_in_one_read_and_an_invalid_item_is_an_error() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    assert!(store.states(Provider::ALL).await.unwrap().is_empty());
    let gauge = Gauge::new(now).after(Ping::Failed, now);
    assert!(store.set_health(Fal, &gauge).await.unwrap());
    let (admission, _) = pause(&store, Admission::new(now), 1, true, &world).await.unwrap();
    let states = store.states(Provider::ALL).await.unwrap();
    assert_eq!(states.len(), 1);
    assert_eq!((states[&Fal].health.clone(), states[&Fal].admission.clone()), (Some(gauge), Some(admission)));

    spoil(&world, &keys::gauge(Fal), keys::GATE, "budget", text("plenty")).await;
    assert!(store.states(Provider::ALL).await.unwrap_err().is_corrupt());
    assert!(store.admission(Fal, now).await.unwrap_err().is_corrupt());
}
