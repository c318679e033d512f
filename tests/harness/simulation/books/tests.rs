use std::time::Duration;

use domain::credit::{Credits, MicroUsd};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{ErrorClass, Fault};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn id(name: &str) -> JobId {
    JobId::from_bytes([name.as_bytes()[0]; 16])
}

fn attempt(number: u8, phase: Phase, remote: Option<&str>) -> Attempt {
    Attempt {
        number,
        claim: 1,
        provider: Provider::Fal,
        route: "fal/x".to_owned(),
        phase,
        remote: remote.and_then(|id| RemoteJob::new(id, None)),
        cost: Some(MicroUsd(400_000)),
        billed: if phase == Phase::Finished { Billed::Yes } else { Billed::Unknown },
        fault: None,
        started_at: NOW,
        ended_at: Some(NOW),
        key_mark: None,
        reports: true,
        stop_is_free: false,
        simulated: false,
        missing: None,
        wrong_since: None,
        rest: std::collections::BTreeMap::new(),
    }
}

fn job(name: &str, attempts: Vec<Attempt>) -> Job {
    let account = "acct_test".parse().unwrap();
    let price = Credits::ONE;
    let new = Job::new(id(name), account, "x".to_owned(), price, String::new(), NOW);
    // As the table would hold it: only the domain changes a job.
    let mut stored = serde_json::to_value(new).unwrap();
    stored["attempts"] = serde_json::to_value(attempts).unwrap();
    serde_json::from_value(stored).unwrap()
}

fn bill(remote: &str, job: &str, state: RemoteState) -> Bill {
    let bills = state == RemoteState::Succeeded;
    let ends_at = if matches!(state, RemoteState::Queued | RemoteState::Running) { NOW + DAY } else { NOW };
    Bill { provider: Provider::Fal, id: remote.to_owned(), jobs: vec![id(job)], state, bills, ends_at }
}

fn problems(jobs: Vec<Job>, bills: &[Bill]) -> usize {
    check(&jobs.into_iter().map(|job| (job.id().clone(), job)).collect(), bills, &BTreeMap::new()).len()
}

/// The problems of one job that was refunded now, without these attempts.
fn problems_of_refund(made: Attempt, bill: &Bill, given_up: &[u8]) -> usize {
    let job = job("a", vec![made]);
    let refund = Refund { at: NOW, given_up: given_up.iter().copied().collect() };
    let refunds = BTreeMap::from([(job.id().clone(), refund)]);
    check(&BTreeMap::from([(job.id().clone(), job)]), std::slice::from_ref(bill), &refunds).len()
}

#[test]
fn books_that_agree_have_no_problem() {
    let jobs = vec![
        job("a", vec![attempt(1, Phase::Broke, Some("1")), attempt(2, Phase::Finished, Some("2"))]),
        job("b", vec![attempt(1, Phase::Lost, None)]),
        job("c", vec![attempt(1, Phase::NotSent, None)]),
    ];
    let bills = [
        bill("1", "a", RemoteState::Failed),
        bill("2", "a", RemoteState::Succeeded),
        bill("3", "b", RemoteState::Succeeded),
    ];
    assert_eq!(problems(jobs, &bills), 0);
}

#[test]
fn a_remote_job_that_no_attempt_knows_or_may_have_made_is_seen() {
    for phase in [Phase::NotSent, Phase::Refused, Phase::Broke, Phase::Canceled] {
        let jobs = vec![job("a", vec![attempt(1, phase, None)])];
        assert_eq!(problems(jobs, &[bill("1", "a", RemoteState::Succeeded)]), 1, "{phase:?}");
    }
    assert_eq!(problems(Vec::new(), &[bill("1", "a", RemoteState::Succeeded)]), 1);
}

#[test]
fn two_remote_jobs_of_one_attempt_are_seen() {
    let jobs = vec![job("a", vec![attempt(1, Phase::Lost, None)])];
    let bills = [bill("1", "a", RemoteState::Succeeded), bill("2", "a", RemoteState::Succeeded)];
    assert_eq!(problems(jobs, &bills), 1);
    let jobs = vec![job("a", vec![attempt(1, Phase::Finished, Some("1"))])];
    assert_eq!(problems(jobs, &bills), 1);
}

#[test]
fn one_remote_job_of_two_attempts_is_seen() {
    let jobs = vec![
        job("a", vec![attempt(1, Phase::Finished, Some("1"))]),
        job("b", vec![attempt(1, Phase::Finished, Some("1"))]),
    ];
    assert!(problems(jobs, &[bill("1", "a", RemoteState::Succeeded)]) > 0);
}

#[test]
fn the_remote_job_of_another_job_is_seen() {
    let jobs = vec![job("a", vec![attempt(1, Phase::Running, Some("1"))]), job("b", Vec::new())];
    assert_eq!(problems(jobs, &[bill("1", "b", RemoteState::Running)]), 1);
}

#[test]
fn a_bill_that_our_books_deny_is_seen() {
    let denied = Attempt { billed: Billed::No, ..attempt(1, Phase::Canceled, Some("1")) };
    let unpriced = Attempt { cost: None, ..attempt(1, Phase::Finished, Some("1")) };
    for made in [denied, unpriced, attempt(1, Phase::Broke, Some("1"))] {
        let jobs = vec![job("a", vec![made.clone()])];
        assert_eq!(problems(jobs, &[bill("1", "a", RemoteState::Succeeded)]), 1, "{made:?}");
    }
}

#[test]
fn paying_for_what_was_never_made_is_seen() {
    let jobs = || vec![job("a", vec![attempt(1, Phase::Finished, Some("1"))])];
    assert_eq!(problems(jobs(), &[bill("1", "a", RemoteState::Failed)]), 1);
    assert_eq!(problems(jobs(), &[]), 1);
}

#[test]
fn paying_twice_is_seen_unless_the_first_was_lost() {
    let bills = [bill("1", "a", RemoteState::Succeeded), bill("2", "a", RemoteState::Succeeded)];
    let second = || attempt(2, Phase::Finished, Some("2"));
    let twice = vec![job("a", vec![attempt(1, Phase::Finished, Some("1")), second()])];
    assert_eq!(problems(twice, &bills), 1);
    let lost = vec![job("a", vec![attempt(1, Phase::Lost, Some("1")), second()])];
    assert_eq!(problems(lost, &bills), 0);
    let fault = Some(Fault::new(ErrorClass::Expired, None, Billed::Yes));
    let gone = Attempt { fault, ..attempt(1, Phase::Finished, Some("1")) };
    assert_eq!(problems(vec![job("a", vec![gone, second()])], &bills), 0);
}

#[test]
fn a_still_that_failed_in_its_create_answer_is_no_bill_and_one_that_was_made_is() {
    let refused =
        Attempt { provider: Provider::Stability, billed: Billed::No, ..attempt(1, Phase::Refused, None) };
    for (state, expected) in [(RemoteState::Failed, 0), (RemoteState::Succeeded, 1)] {
        let jobs = vec![job("a", vec![refused.clone()])];
        let bill = Bill { provider: Provider::Stability, ..bill("1", "a", state) };
        assert_eq!(problems(jobs, &[bill]), expected, "{state:?}");
    }
}

#[test]
fn a_refund_while_the_remote_job_runs_is_seen_unless_the_attempt_was_given_up() {
    let runs = bill("1", "a", RemoteState::Running);
    for (phase, given_up, expected) in [
        (Phase::Running, [].as_slice(), 1),
        (Phase::Canceled, &[], 1),
        (Phase::Running, &[1], 0),
        (Phase::Running, &[2], 1),
        (Phase::Lost, &[], 0),
    ] {
        assert_eq!(problems_of_refund(attempt(1, phase, Some("1")), &runs, given_up), expected, "{phase:?}");
    }
    let ended_since = Bill { ends_at: NOW + DAY, ..bill("1", "a", RemoteState::Canceled) };
    assert_eq!(problems_of_refund(attempt(1, Phase::Canceled, Some("1")), &ended_since, &[]), 1);
    let ended_before = bill("1", "a", RemoteState::Canceled);
    assert_eq!(problems_of_refund(attempt(1, Phase::Canceled, Some("1")), &ended_before, &[]), 0);
}

#[test]
fn a_refund_of_what_was_made_and_billed_is_seen_unless_its_file_is_out_of_reach() {
    let made = bill("1", "a", RemoteState::Succeeded);
    let finished = attempt(1, Phase::Finished, Some("1"));
    let lost_file = Some(Fault::new(ErrorClass::Expired, None, Billed::Yes));
    let out_of_reach = Attempt { fault: lost_file, ..finished.clone() };
    assert_eq!(problems_of_refund(finished, &made, &[]), 1);
    assert_eq!(problems_of_refund(out_of_reach, &made, &[]), 0);
    assert_eq!(problems_of_refund(attempt(1, Phase::Lost, Some("1")), &made, &[]), 0);
}

#[test]
fn what_is_lost_needs_an_answer_that_was_lost() {
    let create = |status, says| Call {
        kind: CallKind::Create,
        method: "POST".to_owned(),
        path: String::new(),
        authorized: true,
        at: NOW,
        status,
        says,
    };
    let lost = job("a", vec![attempt(1, Phase::Lost, None)]);
    let jobs = BTreeMap::from([(lost.id().clone(), lost)]);
    let bills = [bill("1", "a", RemoteState::Succeeded)];
    // The provider has answered well, and has named the remote job: nothing may be lost.
    let answered = Losses::of(Provider::Fal, &jobs, &bills, &[create(Some(200), Some(Says::Accepted))]);
    assert_eq!(answered, Losses { lost: 1, unanswered: 0, nameless: 1, unnamed: 0 });
    assert_eq!(answered.problems(Provider::Fal, 0).len(), 2);
    assert_eq!(answered.problems(Provider::Fal, 1), Vec::<String>::new());
    // The last is the error of a server that answers everything with 200.
    for status in [None, Some(502), Some(200)] {
        let unanswered = Losses::of(Provider::Fal, &jobs, &bills, &[create(status, None)]);
        assert_eq!(unanswered, Losses { lost: 1, unanswered: 1, nameless: 1, unnamed: 1 });
        assert_eq!(unanswered.problems(Provider::Fal, 0), Vec::<String>::new());
    }
    for status in [429, 200] {
        let refused = [create(Some(status), Some(Says::Refused))];
        let refused = Losses::of(Provider::Fal, &jobs, &[], &refused);
        assert_eq!(refused.problems(Provider::Fal, 0).len(), 1);
    }
}

#[test]
fn a_remote_job_of_equal_orders_belongs_to_one_of_them() {
    let equal = |remote| Bill { jobs: vec![id("a"), id("b")], ..bill(remote, "a", RemoteState::Succeeded) };
    let known = || job("a", vec![attempt(1, Phase::Finished, Some("1"))]);
    let lost = || job("b", vec![attempt(1, Phase::Lost, None)]);
    assert_eq!(problems(vec![known(), lost()], &[equal("1"), equal("2")]), 0);
    assert_eq!(problems(vec![known(), job("b", Vec::new())], &[equal("1"), equal("2")]), 1);
    assert_eq!(problems(vec![known(), lost()], &[equal("1"), equal("2"), equal("3")]), 1);
    let delivered = Attempt { provider: Provider::Stability, ..attempt(1, Phase::Finished, None) };
    let never_made = Attempt { provider: Provider::Stability, ..attempt(1, Phase::Lost, None) };
    let still = Bill { provider: Provider::Stability, ..equal("1") };
    assert_eq!(problems(vec![job("a", vec![never_made]), job("b", vec![delivered])], &[still]), 0);
    let other = job("c", vec![attempt(1, Phase::Finished, Some("1"))]);
    assert!(problems(vec![lost(), other], &[equal("1")]) > 0);
}

/// Both failed in their create answers, a day apart: neither was refunded before it had ended.
#[test]
fn of_equal_orders_that_failed_each_has_the_remote_job_of_its_time() {
    let failed = |remote, ends_at| Bill {
        provider: Provider::Stability,
        jobs: vec![id("a"), id("b")],
        ends_at,
        ..bill(remote, "a", RemoteState::Failed)
    };
    let refused =
        |name| job(name, vec![Attempt { provider: Provider::Stability, ..attempt(1, Phase::Refused, None) }]);
    let refund = |at| Refund { at, given_up: BTreeSet::new() };
    let jobs: BTreeMap<_, _> = [refused("a"), refused("b")].map(|job| (job.id().clone(), job)).into();
    for (a, b) in [(NOW, NOW + DAY), (NOW + DAY, NOW)] {
        let refunds = BTreeMap::from([(id("a"), refund(a)), (id("b"), refund(b))]);
        let both = [failed("1", NOW), failed("2", NOW + DAY)];
        assert_eq!(check(&jobs, &both, &refunds), Vec::<String>::new());
        let late = [failed("1", NOW), failed("2", NOW + 2 * DAY)];
        assert_eq!(check(&jobs, &late, &refunds).len(), 1);
    }
}

#[test]
fn a_failure_that_is_billed_may_be_unknown_and_must_not_be_denied() {
    let billed = Bill { bills: true, ..bill("1", "a", RemoteState::Failed) };
    for (says, expected) in [(Billed::Unknown, 0), (Billed::Yes, 0), (Billed::No, 1)] {
        let made = Attempt { billed: says, ..attempt(1, Phase::Broke, Some("1")) };
        assert_eq!(problems(vec![job("a", vec![made])], std::slice::from_ref(&billed)), expected, "{says:?}");
    }
}
