//! Fault profiles.

use http::header::RETRY_AFTER;

use super::*;

fn set(bench: &Bench, directives: &str, seconds: u64) {
    let until = bench.clock.now() + Duration::from_secs(seconds);
    bench.simulator.set_fault_profile(directives, until).unwrap();
}

#[tokio::test]
async fn an_outage_meets_every_call_and_remote_jobs_run_on() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        let job = bench.create("a boat").await;
        set(&bench, "all=refuse:429, retry_after=date:60", 90);
        for call in [(client.create)(&bench, "a boat", None), (client.poll)(&bench, &job)] {
            let answer = call.send().await.unwrap();
            assert!(!answer.status().is_success(), "{answer:?}");
            assert_eq!(answer.headers()[RETRY_AFTER], "Tue, 14 Nov 2023 22:14:20 GMT");
        }
        assert_eq!(jobs(&bench), 1);
        bench.wait(90);
        assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Succeeded);
        bench.create("a boat").await;
    }
}

#[tokio::test]
async fn a_cut_outage_leaves_no_answer_before_or_after_the_effect() {
    let bench = Bench::of(&FAL).await;
    set(&bench, "all=drop-before", 60);
    create_is_cut(&bench, "a boat").await;
    assert_eq!(jobs(&bench), 0);
    set(&bench, "all=drop-after", 60);
    create_is_cut(&bench, "a boat").await;
    assert_eq!(jobs(&bench), 1);
}

#[tokio::test]
async fn a_fault_profile_applies_to_every_job_and_a_prompt_overrides_it() {
    let bench = Bench::of(&FAL).await;
    set(&bench, "fail=internal, webhook=lost", 60);
    bench.create("a boat").await;
    bench.create("a boat [[sim: latency=20]]").await;
    bench.create("a boat [[sim: fail=no_code, latency=1]]").await;
    bench.wait(60);
    bench.create("a boat").await;
    bench.wait(60);
    let states: Vec<_> = bench.simulator.remote_jobs().unwrap().iter().map(|job| job.state).collect();
    let failed = RemoteState::Failed;
    assert_eq!(states, [failed, failed, failed, RemoteState::Succeeded]);
}

#[test]
fn an_unknown_directive_in_a_fault_profile_is_rejected() {
    let clock = ManualClock::default();
    let fal = crate::open(Provider::Fal, None, clock.read(), Options::default(), outward()).unwrap();
    assert!(fal.set_fault_profile("all=sunny", clock.now()).is_err());
}

#[tokio::test]
async fn a_link_expires_with_the_status_that_is_ordered() {
    let bench = Bench::of(&FAL).await;
    let job = bench.create("a [[sim: asset=expired:30:410]]").await;
    bench.wait(60);
    let video = (FAL.video)(&bench, &job).await;
    assert_eq!(bench.call(Method::GET, &video).send().await.unwrap().status(), 200);
    bench.wait(30);
    assert_eq!(bench.call(Method::GET, &video).send().await.unwrap().status(), 410);
}
