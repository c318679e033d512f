//! The guarantees of the state machine: the golden table, sequences of events, and details that
//! the table does not show.

mod copies;
mod missing;
mod money;
mod properties;
mod table;

use super::*;
use crate::attempt::{LOSS_AFTER, NOT_FOUND_AFTER, SIGHTING_EVERY, WRONG_FILE_AFTER};
use crate::credit::Credits;
use crate::id::JobId;
use crate::id::RemoteJob;
use crate::job::FollowUp;
use crate::media::Media;
use crate::provider::Provider;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn new_job() -> Job {
    let account = "acct_anna".parse().unwrap();
    let price = Credits::from_micros(40_000_000);
    Job::new(JobId::from_bytes([1; 16]), account, "veo-3.1".to_owned(), price, "digest".to_owned(), START)
}

fn claimed() -> Event {
    claimed_where(false)
}

/// A claim at a provider where a canceled remote job is free or not.
fn claimed_where(stop_is_free: bool) -> Event {
    Event::Claimed(Claim {
        id: 7,
        provider: Provider::Fal,
        route: "fal/veo".to_owned(),
        cost: Some(MicroUsd(300_000)),
        key_mark: Some(1),
        reports: true,
        stop_is_free,
        simulated: false,
    })
}

const CANCEL: Event = Event::CancelRequested(CancelRefund::LessCost);

fn reported(number: u8, event: AttemptEvent) -> Event {
    Event::Attempt { number, event }
}

fn remote(id: impl std::fmt::Display) -> RemoteJob {
    RemoteJob::new(&format!("remote-{id}"), None).unwrap()
}

fn accepted(number: u8) -> Event {
    reported(number, AttemptEvent::Accepted { remote: remote(number), cost: None })
}

fn refused(number: u8, class: ErrorClass) -> Event {
    reported(number, AttemptEvent::Refused(Fault::new(class, None, Billed::No)))
}

fn not_sent(number: u8) -> Event {
    reported(number, AttemptEvent::NotSent(Fault::new(ErrorClass::ProviderUnavailable, None, Billed::No)))
}

fn presumed(number: u8) -> Event {
    reported(number, AttemptEvent::PresumedRefused)
}

fn unclear(number: u8) -> Event {
    reported(number, AttemptEvent::Unclear)
}

fn ended(number: u8, verdict: Verdict) -> Event {
    reported(number, AttemptEvent::Ended { remote: Some(remote(number)), verdict })
}

fn success(cost: Option<MicroUsd>) -> Verdict {
    Verdict::Finished { asset_url: "https://example.com/a.mp4".to_owned(), cost }
}

fn finished(number: u8) -> Event {
    ended(number, success(None))
}

fn broke(number: u8, class: ErrorClass, billed: Billed) -> Event {
    ended(number, Verdict::Broke { fault: Fault::new(class, None, billed), cost: None })
}

fn canceled(number: u8) -> Event {
    ended(number, Verdict::Canceled { cost: None })
}

fn gone(number: u8) -> Event {
    ended(number, Verdict::Gone)
}

fn stored(number: u8) -> Event {
    let media = Media {
        key: format!("media/{number}"),
        bytes: 1,
        sha256: "00".to_owned(),
        content_type: "video/mp4".to_owned(),
        details: crate::media::Details::default(),
    };
    Event::Stored { number, media }
}

fn delivered(number: u8) -> Event {
    let Event::Stored { media, .. } = stored(number) else { unreachable!() };
    Event::Delivered { number, cost: None, media }
}

fn wrong_file(number: u8) -> Event {
    Event::WrongFile { number, lease: 0 }
}

fn asset_lost(number: u8) -> Event {
    Event::AssetLost { number, lease: 0 }
}

/// The job after these events, each of which must move it. A second passes before each;
/// before a passed deadline, the time until then. "Not found" is repeated until it is a loss.
fn after(events: &[Event]) -> Job {
    events.iter().fold(new_job(), |job, event| match event {
        Event::DeadlinePassed => applied_at(&job, event, job.deadline),
        event if is_not_found(event) => applied_at(&missing(&job, event), event, soon(&missing(&job, event))),
        event => applied_at(&job, event, soon(&job)),
    })
}

fn applied_at(job: &Job, event: &Event, now: Timestamp) -> Job {
    match job.decide(event, now) {
        Ok(Decision::Move(transition)) => transition.into_after(),
        other => panic!("{} does not move {job:?}: {other:?}", event.name()),
    }
}

fn is_not_found(event: &Event) -> bool {
    matches!(
        event,
        Event::AssetLost { .. }
            | Event::Attempt { event: AttemptEvent::Ended { verdict: Verdict::Gone, .. }, .. }
    )
}

/// The job for which one more such answer makes a loss.
fn missing(job: &Job, event: &Event) -> Job {
    let first = soon(job) + NOT_FOUND_AFTER;
    let seen = applied_at(job, event, first);
    applied_at(&seen, event, (first + LOSS_AFTER).minus(SIGHTING_EVERY))
}

/// When the next event comes: a second later, or where one more "not found" counts.
fn soon(job: &Job) -> Timestamp {
    let missing = job.attempts.iter().find_map(|attempt| attempt.missing);
    missing.map_or(job.updated_at + Duration::from_secs(1), |missing| missing.last + SIGHTING_EVERY)
}

fn refund_of(job: &Job) -> Entry {
    Entry::Refund { job: job.id.clone(), amount: job.refunded.unwrap() }
}

#[test]
fn a_job_that_was_never_sent_gets_back_the_whole_price() {
    let job = new_job();
    let Ok(Decision::Move(transition)) = job.decide(&CANCEL, soon(&job)) else {
        panic!("a queued job can be canceled")
    };
    let whole = Entry::Refund { job: job.id.clone(), amount: job.price };
    assert_eq!(transition.entry(), Some(&whole));
    assert_eq!(transition.after().fault.as_ref().unwrap().class, ErrorClass::Stopped);
}

#[test]
fn a_cost_is_the_estimate_until_the_provider_reports_another() {
    let cost = |job: &Job| (job.attempts[0].cost, job.attempts[0].billed, job.cost());
    let estimate = MicroUsd(300_000);

    let told_nothing = after(&[claimed(), accepted(1), finished(1)]);
    assert_eq!(cost(&told_nothing), (Some(estimate), Billed::Yes, estimate));

    let dear = reported(1, AttemptEvent::Accepted { remote: remote(1), cost: Some(MicroUsd(500_000)) });
    let job = after(&[claimed(), dear.clone()]);
    assert_eq!(cost(&job), (Some(MicroUsd(500_000)), Billed::Unknown, MicroUsd(500_000)));

    let bill = ended(1, success(Some(MicroUsd(450_000))));
    let job = after(&[claimed(), dear, bill]);
    assert_eq!(cost(&job), (Some(MicroUsd(450_000)), Billed::Yes, MicroUsd(450_000)));
}

#[test]
fn an_attempt_that_did_not_run_costs_nothing() {
    let class = ErrorClass::RateLimited;
    let free = ended(1, Verdict::Canceled { cost: Some(MicroUsd(0)) });
    let unsent = reported(1, AttemptEvent::NotSent(Fault::new(class, None, Billed::Unknown)));
    for end in [vec![refused(1, class)], vec![unsent], vec![accepted(1), free]] {
        let job = after(&[vec![claimed()], end].concat());
        assert_eq!((job.attempts[0].billed, job.cost()), (Billed::No, MicroUsd(0)));
    }
    // One that was stopped or lost may have been billed.
    let ends = [vec![accepted(1), canceled(1)], vec![accepted(1), gone(1)], vec![Event::DeadlinePassed]];
    for end in ends {
        let job = after(&[vec![claimed()], end].concat());
        assert_eq!((job.attempts[0].billed, job.cost()), (Billed::Unknown, MicroUsd(300_000)));
    }
}

#[test]
fn an_ended_job_records_whether_it_was_billed() {
    let billed = |events: &[Event]| after(events).fault.unwrap().billed;
    assert_eq!(billed(&[CANCEL]), Billed::No);
    assert_eq!(billed(&[Event::NoRoute { class: ErrorClass::RateLimited }]), Billed::No);
    assert_eq!(billed(&[claimed(), Event::DeadlinePassed]), Billed::Unknown);
    assert_eq!(billed(&[claimed(), finished(1), asset_lost(1)]), Billed::Yes);
}

#[test]
fn a_new_job_is_of_the_first_version_and_has_no_attempt() {
    let job = new_job();
    assert_eq!((job.version, job.attempt, job.current()), (1, 0, None));
}

#[test]
fn a_job_makes_no_more_than_the_maximum_number_of_attempts() {
    let passes = |number| [claimed(), refused(number, ErrorClass::RateLimited)];
    let mut job = after(&[passes(1), passes(2), passes(3)].concat());
    job.attempts.push(job.attempts[2].clone());
    assert!(job.decide(&claimed(), soon(&job)).is_err());
}

#[test]
fn an_illegal_event_is_named_with_its_state() {
    let illegal = |job: &Job, event| job.decide(&event, soon(job)).unwrap_err().to_string();
    assert_eq!(illegal(&new_job(), stored(1)), "illegal event `stored` for a queued job");
    let other = reported(1, AttemptEvent::Accepted { remote: remote("other"), cost: None });
    let job = after(&[claimed(), accepted(1)]);
    assert_eq!(illegal(&job, other), "illegal event `accepted` for a running job");
}

/// It counts from the attempt's end, if it has ended, and else from its start.
#[test]
fn not_found_does_not_count_for_ten_minutes() {
    let counts = |job: &Job, secs| {
        let attempt = &job.attempts[0];
        attempt.not_found_counts(START + Duration::from_secs(secs))
    };
    let running = after(&[claimed(), accepted(1)]);
    assert!(!counts(&running, 1 + 599) && counts(&running, 1 + 600));
    let finished = after(&[claimed(), accepted(1), finished(1)]);
    assert!(!counts(&finished, 3 + 599) && counts(&finished, 3 + 600));
}

#[test]
fn a_success_after_the_refund_is_recorded_as_a_cost() {
    let job = after(&[claimed(), unclear(1), Event::DeadlinePassed, finished(1)]);
    assert_eq!((job.state, job.attempts[0].phase), (State::Failed, Phase::Finished));
    assert_eq!((job.attempts[0].billed, &job.attempts[0].fault), (Billed::Yes, &None));
}

#[test]
fn an_ended_attempt_records_when_and_why() {
    let job = after(&[claimed(), refused(1, ErrorClass::RateLimited), claimed(), accepted(2)]);
    assert_eq!(job.attempts[0].fault.as_ref().unwrap().class, ErrorClass::RateLimited);
    assert_eq!(job.attempts[0].ended_at, Some(START + Duration::from_secs(2)));
    assert_eq!((job.attempts[1].ended_at, &job.attempts[1].remote), (None, &Some(remote(2))));
    let made = |attempt: &Attempt| (attempt.claim, attempt.provider, attempt.route.clone());
    assert_eq!(made(&job.attempts[1]), (7, Provider::Fal, "fal/veo".to_owned()));
    assert_eq!(job.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_webhook_before_the_create_answer_names_the_remote_job() {
    let job = after(&[claimed(), finished(1)]);
    assert_eq!((job.state, &job.attempts[0].remote), (State::Settling, &Some(remote(1))));
    assert_eq!(job.decide(&accepted(1), soon(&job)), Ok(Decision::Stay));
}

#[test]
fn an_ended_job_records_why() {
    use ErrorClass::{Expired, InvalidRequest, RateLimited, Stopped, Timeout};
    let cancel = CANCEL;
    let deadline = Event::DeadlinePassed;
    let cases = [
        (vec![claimed(), refused(1, InvalidRequest)], InvalidRequest),
        (vec![Event::NoRoute { class: RateLimited }], RateLimited),
        (vec![deadline.clone()], Timeout),
        (vec![claimed(), accepted(1), gone(1)], Expired),
        (vec![claimed(), accepted(1), finished(1), asset_lost(1)], Expired),
        (vec![claimed(), accepted(1), deadline.clone(), canceled(1)], Timeout),
        (vec![claimed(), accepted(1), cancel.clone(), canceled(1)], Stopped),
        (vec![claimed(), cancel, refused(1, InvalidRequest)], Stopped),
    ];
    for (events, class) in cases {
        let job = after(&events);
        assert!(job.state.is_terminal());
        assert_eq!(job.fault.map(|fault| fault.class), Some(class), "{events:?}");
    }
}

#[test]
fn each_state_has_its_deadline() {
    let lasts = |events: &[Event]| {
        let job = after(events);
        job.deadline.since(job.updated_at)
    };
    assert_eq!(new_job().deadline, START + QUEUED_MAX);
    assert_eq!(lasts(&[claimed()]), UNCLEAR_MAX);
    assert_eq!(lasts(&[claimed(), not_sent(1)]), QUEUED_MAX);
    assert_eq!(lasts(&[claimed(), accepted(1)]), RUNNING_MAX);
    assert_eq!(lasts(&[claimed(), accepted(1), CANCEL]), STOPPING_MAX);
    assert_eq!(lasts(&[claimed(), accepted(1), Event::DeadlinePassed]), STOPPING_MAX);
    assert_eq!(lasts(&[claimed(), CANCEL, accepted(1)]), STOPPING_MAX);
    assert_eq!(lasts(&[claimed(), accepted(1), finished(1)]), SETTLING_MAX);
    // Neither a lost answer nor a stop gives an unclear attempt more time, or less.
    let job = after(&[claimed(), unclear(1), CANCEL]);
    assert_eq!(job.deadline, job.attempts[0].started_at + UNCLEAR_MAX);
}

#[test]
fn no_failover_after_a_billed_attempt() {
    let passing = |billed| broke(1, ErrorClass::ProviderUnavailable, billed);
    let state = |end| after(&[claimed(), accepted(1), end]).state;
    assert_eq!(state(passing(Billed::No)), State::Queued);
    assert_eq!(state(passing(Billed::Unknown)), State::Failed);
    assert_eq!(state(passing(Billed::Yes)), State::Failed);

    // Not after an earlier attempt's bill either.
    let second = [claimed(), refused(1, ErrorClass::RateLimited), claimed(), accepted(2)];
    let paid = [finished(1), asset_lost(1), broke(2, ErrorClass::ProviderUnavailable, Billed::No)];
    assert_eq!(after(&[&second[..], &paid].concat()).state, State::Failed);
}

#[test]
fn a_second_result_makes_up_for_a_lost_first() {
    let both = [claimed(), not_sent(1), claimed(), accepted(2), finished(1), finished(2)];
    let outcome = |events: &[Event]| {
        let job = after(&[&both[..], events].concat());
        (job.state, job.attempt)
    };
    assert_eq!(outcome(&[]), (State::Settling, 1));
    assert_eq!(outcome(&[asset_lost(1)]), (State::Settling, 2));
    assert_eq!(outcome(&[asset_lost(1), stored(2)]), (State::Succeeded, 2));
    assert_eq!(outcome(&[asset_lost(1), asset_lost(2)]), (State::Failed, 2));
    assert_eq!(outcome(&[asset_lost(2), asset_lost(1)]), (State::Failed, 1));
    // It goes before an attempt that still runs.
    let refused = |number| refused(number, ErrorClass::RateLimited);
    let third = [claimed(), refused(1), claimed(), refused(2), claimed(), accepted(3)];
    let job = after(&[&third[..], &[finished(1), finished(2), asset_lost(1)]].concat());
    assert_eq!((job.state, job.attempt), (State::Settling, 2));
    // A copy of the first file succeeds late.
    assert_eq!(outcome(&[asset_lost(1), stored(1)]), (State::Succeeded, 1));
}

#[test]
fn a_late_report_about_a_lost_file_is_legal() {
    let second = [claimed(), not_sent(1), claimed(), accepted(2), finished(1), asset_lost(1)];
    let job = after(&second);
    assert_eq!((job.state, job.attempt), (State::Running, 2));
    for repeat in [asset_lost(1), gone(1), finished(1)] {
        assert_eq!(job.decide(&repeat, soon(&job)), Ok(Decision::Stay));
    }
    assert_eq!(after(&[&second[..], &[stored(1)]].concat()).state, State::Succeeded);

    // Nor does a late answer to its create call bring it back.
    let unnamed = reported(1, AttemptEvent::Ended { remote: None, verdict: success(None) });
    let job = after(&[claimed(), not_sent(1), claimed(), unnamed, asset_lost(1), accepted(1)]);
    assert_eq!((job.state, job.attempt), (State::Dispatching, 2));
}

#[test]
fn a_superseded_attempt_is_polled_to_its_end() {
    let job = after(&[claimed(), accepted(1)]);
    // (its provider reports, we have to ask)
    assert!(!job.is_polled(1, true) && job.is_polled(1, false));
    let unwanted = |job: Job| job.is_polled(1, true) && job.should_stop(1);
    assert!(unwanted(after(&[claimed(), accepted(1), CANCEL])));
    assert!(unwanted(after(&[claimed(), accepted(1), Event::DeadlinePassed])));
    assert!(unwanted(after(&[claimed(), Event::DeadlinePassed, accepted(1)])));
    for ended in [after(&[claimed()]), after(&[claimed(), accepted(1), finished(1)])] {
        assert!(!ended.is_polled(1, false));
    }
    assert!(!job.is_polled(0, false) && !job.is_polled(2, false));
}

#[test]
fn only_unbilled_failures_that_another_provider_may_avoid_fail_over() {
    use ErrorClass::{Auth, InsufficientFunds, ProviderUnavailable, RateLimited, RouteGone};
    for class in ErrorClass::ALL {
        let again = [Auth, InsufficientFunds, RateLimited, ProviderUnavailable, RouteGone].contains(&class);
        let expected = if again { State::Queued } else { State::Failed };
        assert_eq!(after(&[claimed(), refused(1, class)]).state, expected, "{}", class.name());
    }
}
