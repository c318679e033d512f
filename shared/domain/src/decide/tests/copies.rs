//! One copy of a file at a time, each with a lease.

use std::time::Duration;

use super::*;
use crate::job::COPY_LEASE;

const STARTED: Event = Event::CopyStarted { number: 1 };
const INSTANT: Duration = Duration::from_millis(1);

fn settling() -> Job {
    after(&[claimed(), accepted(1), finished(1)])
}

fn lease(job: &Job) -> (Timestamp, u64) {
    (job.copy_until.unwrap(), job.copy_lease.unwrap())
}

#[test]
fn the_transition_to_settling_grants_the_first_lease_and_a_second_copy_waits() {
    let job = settling();
    assert_eq!(lease(&job), (job.updated_at + COPY_LEASE, job.version));
    let (until, _) = lease(&job);
    assert_eq!(job.decide(&STARTED, until.minus(INSTANT)), Ok(Decision::Stay));
    let second = applied_at(&job, &STARTED, until);
    assert_eq!(lease(&second), (until + COPY_LEASE, second.version));
}

#[test]
fn a_running_copy_renews_its_lease() {
    let job = settling();
    let (until, own) = lease(&job);
    let renewed = applied_at(&job, &Event::CopyRenewed { number: 1, lease: own }, until.minus(INSTANT));
    assert_eq!(lease(&renewed), (until.minus(INSTANT) + COPY_LEASE, own));
    assert_eq!(renewed.decide(&STARTED, until), Ok(Decision::Stay));
}

#[test]
fn after_a_failed_copy_the_next_may_start() {
    let job = settling();
    let (_, own) = lease(&job);
    let failed = Event::CopyFailed { number: 1, lease: own, wait: Duration::ZERO };
    let freed = applied_at(&job, &failed, soon(&job));
    assert_eq!((freed.state, freed.copy_until, freed.copy_lease), (State::Settling, None, None));
    assert_eq!(freed.decide(&failed, soon(&freed)), Ok(Decision::Stay));
    assert!(applied_at(&freed, &STARTED, soon(&freed)).copy_until.is_some());
    // Also before "not found" counts.
    let early = applied_at(&job, &Event::AssetLost { number: 1, lease: own }, soon(&job));
    assert_eq!((early.copy_until, early.attempts[0].missing), (None, None));
}

#[test]
fn after_a_back_off_or_at_the_deadline_the_file_is_copied() {
    let job = settling();
    let (_, own) = lease(&job);
    let wait = Duration::from_secs(600);
    let put_off = applied_at(&job, &Event::CopyFailed { number: 1, lease: own, wait }, soon(&job));
    assert_eq!((put_off.copy_until, put_off.copy_lease), (Some(soon(&job) + wait), None));
    assert_eq!(put_off.decide(&STARTED, (soon(&job) + wait).minus(INSTANT)), Ok(Decision::Stay));
    let next = applied_at(&put_off, &STARTED, soon(&job) + wait);
    assert_eq!(lease(&next), (soon(&job) + wait + COPY_LEASE, next.version));
    let hasty = Job { deadline: soon(&job), ..put_off };
    assert!(applied_at(&hasty, &STARTED, soon(&job)).copy_lease.is_some());
}

#[test]
fn a_copy_with_an_expired_lease_does_not_change_the_next_lease() {
    let job = settling();
    let (until, first) = lease(&job);
    let second = applied_at(&job, &STARTED, until);
    let late = [
        Event::CopyRenewed { number: 1, lease: first },
        Event::CopyFailed { number: 1, lease: first, wait: Duration::ZERO },
    ];
    for event in late {
        assert_eq!(second.decide(&event, soon(&second)), Ok(Decision::Stay), "{}", event.name());
    }
    let missed = second.decide(&Event::AssetLost { number: 1, lease: first }, soon(&second));
    assert_eq!(missed, Ok(Decision::Stay), "too early to count, and not its lease");
}

#[test]
fn an_event_of_another_file_does_not_change_the_lease() {
    let job = after(&[claimed(), not_sent(1), claimed(), accepted(2), finished(1), finished(2)]);
    assert_eq!(job.attempt, 1);
    let (_, lease) = lease(&job);
    let number = 2;
    for event in [
        Event::CopyStarted { number },
        Event::CopyRenewed { number, lease },
        Event::CopyFailed { number, lease, wait: Duration::ZERO },
    ] {
        assert_eq!(job.decide(&event, soon(&job)), Ok(Decision::Stay));
    }
    // The second file has no copy yet when it is next.
    let second =
        after(&[claimed(), not_sent(1), claimed(), accepted(2), finished(1), finished(2), asset_lost(1)]);
    assert_eq!((second.attempt, second.copy_until, second.copy_lease), (2, None, None));
    assert!(applied_at(&second, &Event::CopyStarted { number: 2 }, soon(&second)).copy_until.is_some());
}

#[test]
fn an_ended_job_has_no_copy() {
    assert_eq!(after(&[claimed(), accepted(1), finished(1), stored(1)]).copy_until, None);
    assert_eq!(after(&[claimed(), accepted(1), finished(1), Event::DeadlinePassed]).copy_until, None);
}
