//! A job's attempts: their numbers, their bills, and which of them may still run.

use std::time::Duration;

use domain::attempt::{Attempt, Phase};
use domain::job::{ATTEMPTS_MAX, Job, RUNNING_MAX, STOPPING_MAX, State};
use domain::time::Timestamp;
use domain::verdict::Billed;

use crate::store::audit::JobRow;
use crate::store::moves::Move;

/// What is wrong with a job's attempts.
pub(super) fn problems(row: &JobRow, now: Timestamp) -> Vec<String> {
    let (job, mut problems) = (&row.job, Vec::new());
    if job.attempts().len() > ATTEMPTS_MAX {
        problems.push(format!("made {} attempts", job.attempts().len()));
    }
    for (index, attempt) in job.attempts().iter().enumerate() {
        if usize::from(attempt.number) != index + 1 {
            problems.push(format!("its attempt {} has the number {}", index + 1, attempt.number));
        }
        if attempt.billed == Billed::Yes && attempt.cost.is_none() {
            problems.push(format!("attempt {} was billed, and has no cost", attempt.number));
        }
    }
    if usize::from(job.current_number()) > job.attempts().len() {
        problems.push(format!("is about attempt {}, which it did not make", job.current_number()));
    }
    let finished = job.current().is_some_and(|attempt| attempt.phase == Phase::Finished);
    if matches!(job.state(), State::Settling | State::Succeeded) && !finished {
        problems.push(format!("is {} without a finished attempt", job.state().name()));
    }
    problems.extend(open(row, now));
    problems.extend(paid_twice(job, &row.moves));
    problems
}

/// Attempts of an ended job that may still run.
fn open(row: &JobRow, now: Timestamp) -> Vec<String> {
    const STOPPED_WITHIN: Duration = RUNNING_MAX.saturating_add(STOPPING_MAX);
    let (job, mut problems) = (&row.job, Vec::new());
    let is_refunded = matches!(job.state(), State::Failed | State::Canceled);
    for attempt in job.attempts().iter().filter(|attempt| attempt.phase.is_open()) {
        let (number, phase) = (attempt.number, attempt.phase.name());
        if is_refunded && !was_given_up(attempt, &row.moves) {
            problems.push(format!("was refunded while its attempt {number} was {phase}"));
        }
        let is_late = now > job.updated_at() + STOPPED_WITHIN;
        if job.state().is_terminal() && attempt.phase == Phase::Running && is_late {
            problems
                .push(format!("has ended, and its attempt {number} is {phase} since {}", job.updated_at()));
        }
    }
    problems
}

/// Whether the job went on without waiting for this attempt, as the rules allow: after its deadline,
/// after its provider had forgotten it, or by the owner's choice. A row from before moves were
/// recorded does not say.
pub fn was_given_up(attempt: &Attempt, moves: &[Move]) -> bool {
    let mut before = State::Queued;
    let gives_up = |moved: &Move| {
        let from = std::mem::replace(&mut before, moved.state);
        match moved.event.as_str() {
            "gone" | "presumed_refused" => moved.attempt == attempt.number,
            // The first deadline of a run only has it stopped.
            "deadline_passed" => {
                (from, moved.state) != (State::Running, State::Running) && moved.at >= attempt.started_at
            }
            _ => false,
        }
    };
    moves.is_empty() || moves.iter().any(gives_up)
}

/// Attempts that were made although an earlier one had given a result.
fn paid_twice(job: &Job, moves: &[Move]) -> Vec<String> {
    let billed: Vec<&Attempt> =
        job.attempts().iter().filter(|attempt| attempt.billed == Billed::Yes).collect();
    let pairs = billed.windows(2).filter(|pair| !gave_nothing(pair[0], moves));
    pairs.map(|pair| format!("paid for attempts {} and {}", pair[0].number, pair[1].number)).collect()
}

/// Whether an attempt was taken for one without a result when the next one was made.
fn gave_nothing(attempt: &Attempt, moves: &[Move]) -> bool {
    let queued_again = |moved: &Move| moved.attempt == attempt.number && moved.state == State::Queued;
    attempt.phase == Phase::Lost
        || attempt.fault.is_some()
        || moves.is_empty()
        || moves.iter().any(queued_again)
}
