//! One copy of a file at a time, and none for ever.

use super::*;
use crate::domain::job::COPY_LEASE;

const STARTED: Event = Event::CopyStarted { number: 1 };
const FAILED: Event = Event::CopyFailed { number: 1 };

fn settling() -> Job {
    after(&[claimed(), accepted(1), finished(1)])
}

#[test]
fn the_move_to_settling_is_the_lease_and_a_second_copy_waits_for_its_end() {
    let job = settling();
    assert_eq!(job.copy_until, Some(job.updated_at + COPY_LEASE));
    let until = job.copy_until.unwrap();
    assert_eq!(job.decide(&STARTED, until.minus(std::time::Duration::from_millis(1))), Ok(Decision::Stay));
    assert_eq!(told_at(&job, &STARTED, until).copy_until, Some(until + COPY_LEASE));
}

#[test]
fn a_failed_copy_makes_way_for_the_next() {
    let job = told_at(&settling(), &FAILED, soon(&settling()));
    assert_eq!((job.state, job.copy_until), (State::Settling, None));
    assert_eq!(job.decide(&FAILED, soon(&job)), Ok(Decision::Stay));
    assert!(told_at(&job, &STARTED, soon(&job)).copy_until.is_some());
    // Also before "not found" means anything.
    let early = told_at(&settling(), &asset_lost(1), soon(&settling()));
    assert_eq!((early.copy_until, early.attempts[0].missing), (None, None));
}

#[test]
fn word_of_another_file_leaves_the_lease_alone() {
    let job = after(&[claimed(), not_sent(1), claimed(), accepted(2), finished(1), finished(2)]);
    assert_eq!(job.attempt, 1);
    for number in [Event::CopyStarted { number: 2 }, Event::CopyFailed { number: 2 }] {
        assert_eq!(job.decide(&number, soon(&job)), Ok(Decision::Stay));
    }
    // The second file's copy is nobody's when its turn comes.
    let second =
        after(&[claimed(), not_sent(1), claimed(), accepted(2), finished(1), finished(2), asset_lost(1)]);
    assert_eq!((second.attempt, second.copy_until), (2, None));
    assert!(told_at(&second, &Event::CopyStarted { number: 2 }, soon(&second)).copy_until.is_some());
}

#[test]
fn an_ended_job_has_no_copy() {
    assert_eq!(after(&[claimed(), accepted(1), finished(1), stored(1)]).copy_until, None);
    assert_eq!(after(&[claimed(), accepted(1), finished(1), Event::DeadlinePassed]).copy_until, None);
}
