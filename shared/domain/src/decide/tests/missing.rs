//! "Not found" is an end only if it is repeated without any other answer in between.

use std::time::Duration;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// The state after "not found" at these minutes after it begins to count.
fn state_after(minutes: &[u32]) -> State {
    let mut job = after(&[claimed(), accepted(1)]);
    let start = soon(&job) + NOT_FOUND_AFTER;
    for minute in minutes {
        if let Ok(Decision::Move(transition)) = job.decide(&gone(1), start + MINUTE * *minute) {
            job = transition.into_after();
        }
    }
    job.state
}

#[test]
fn a_loss_needs_three_answers_over_half_an_hour() {
    assert_eq!(state_after(&[0, 1, 2, 3, 4, 29]), State::Running, "often, and not for long");
    assert_eq!(state_after(&[0, 60]), State::Running, "for long, and not often");
    assert_eq!(state_after(&[0, 15, 30]), State::Failed);
    assert_eq!((LOSS_AFTER, SIGHTING_EVERY), (30 * MINUTE, 5 * MINUTE));
}

#[test]
fn any_other_answer_restarts_the_count() {
    let job = missing(&after(&[claimed(), accepted(1)]), &gone(1));
    let runs = applied_at(&job, &accepted(1), soon(&job));
    assert_eq!((runs.state, runs.attempts[0].missing), (State::Running, None));
    assert_eq!(applied_at(&runs, &gone(1), soon(&runs)).state, State::Running);
    let ended = applied_at(&job, &finished(1), soon(&job));
    assert_eq!((ended.state, ended.attempts[0].missing), (State::Settling, None));
}

#[test]
fn an_answer_to_the_create_call_ends_the_count() {
    let sending = after(&[claimed()]);
    let job = applied_at(&sending, &gone(1), soon(&sending) + NOT_FOUND_AFTER);
    let refused = applied_at(&job, &refused(1, ErrorClass::RateLimited), soon(&job));
    assert_eq!((refused.state, refused.attempts[0].missing), (State::Queued, None));
}

#[test]
fn a_file_is_lost_as_a_remote_job_is() {
    let settling = after(&[claimed(), accepted(1), finished(1)]);
    let first = applied_at(&settling, &asset_lost(1), soon(&settling) + NOT_FOUND_AFTER);
    assert_eq!(first.state, State::Settling);
    // A link is not the file: the provider returns one with every poll.
    assert_eq!(first.decide(&finished(1), soon(&first)), Ok(Decision::Stay));
    assert_eq!(after(&[claimed(), accepted(1), finished(1), asset_lost(1)]).state, State::Failed);
}

#[test]
fn a_wrong_file_for_ten_minutes_fails_its_attempt_and_is_refunded() {
    let settling = after(&[claimed(), accepted(1), finished(1)]);
    let first = applied_at(&settling, &wrong_file(1), soon(&settling));
    let since = first.attempts[0].wrong_since.unwrap();
    let just_before = (since + WRONG_FILE_AFTER).minus(Duration::from_millis(1));
    assert_eq!(first.decide(&wrong_file(1), just_before), Ok(Decision::Stay));
    let failed = applied_at(&first, &wrong_file(1), since + WRONG_FILE_AFTER);
    let fault = Fault::new(ErrorClass::Unknown, Some("wrong_file"), Billed::Unknown);
    assert_eq!((failed.state, failed.fault), (State::Failed, Some(fault)));
    assert_eq!((failed.refunded, failed.attempts[0].billed), (Some(failed.price), Billed::Unknown));
    // A replacement in time is the file.
    assert_eq!(applied_at(&first, &stored(1), just_before).state, State::Succeeded);
    assert_eq!(WRONG_FILE_AFTER, 10 * MINUTE);
}

#[test]
fn the_deadline_stands_however_often_it_is_missing() {
    let running = after(&[claimed(), accepted(1)]);
    assert_eq!(missing(&running, &gone(1)).deadline, running.deadline);
}
