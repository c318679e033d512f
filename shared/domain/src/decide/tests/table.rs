//! The whole machine, printed: every kind of job against every kind of event.

use std::fmt::Write;

use super::*;

const JOBS_PER_BLOCK: usize = 5;

/// A kind of job, by the events that lead to it: each is reachable.
fn jobs() -> Vec<(&'static str, Job)> {
    let cancel = CANCEL;
    let deadline = Event::DeadlinePassed;
    let refused = |number| refused(number, ErrorClass::RateLimited);
    let running = [claimed(), accepted(1)];
    let second = [claimed(), refused(1), claimed(), accepted(2)];
    let fourth = [claimed(), refused(1), claimed(), refused(2), claimed(), refused(3), claimed()];
    let and = |before: &[Event], then: &[Event]| after(&[before, then].concat());
    vec![
        ("queued", new_job()),
        ("queued, 1 refused", after(&[claimed(), refused(1)])),
        ("queued, 1 presumed", after(&[claimed(), presumed(1)])),
        ("sending", after(&[claimed()])),
        ("unclear", after(&[claimed(), unclear(1)])),
        ("sending, stopped", after(&[claimed(), cancel.clone()])),
        ("sending 4", after(&fourth)),
        ("running", after(&running)),
        ("running, stopped", and(&running, std::slice::from_ref(&cancel))),
        ("running, overdue", and(&running, std::slice::from_ref(&deadline))),
        ("running, missing", missing(&after(&running), &gone(1))),
        ("running 2, 1 presumed", after(&[claimed(), presumed(1), claimed(), accepted(2)])),
        ("running 2, 1 refused", after(&second)),
        ("running 2, file 1 lost", and(&second, &[finished(1), asset_lost(1)])),
        ("settling", and(&running, &[finished(1)])),
        ("settling, no copy", uncopied(&and(&running, &[finished(1)]))),
        ("settling, file missing", missing(&and(&running, &[finished(1)]), &asset_lost(1))),
        ("settling, stopped", and(&running, &[cancel.clone(), finished(1)])),
        ("settling 1, 2 running", and(&second, &[finished(1)])),
        ("settling 1, 2 unclear", after(&[claimed(), refused(1), claimed(), unclear(2), finished(1)])),
        ("settling 1, 2 finished", and(&second, &[finished(1), finished(2)])),
        ("succeeded", and(&running, &[finished(1), stored(1)])),
        ("succeeded 1, 2 running", and(&second, &[finished(1), stored(1)])),
        ("failed, refused", after(&[claimed(), super::refused(1, ErrorClass::InvalidRequest)])),
        ("failed, sending lost", after(&[claimed(), deadline.clone()])),
        ("failed, running lost", and(&running, &[deadline.clone(), deadline.clone()])),
        ("failed, 1 runs after all", after(&[claimed(), deadline, accepted(1)])),
        ("failed, file lost", and(&running, &[finished(1), asset_lost(1)])),
        ("failed, file wrong", wrong_for_long(&and(&running, &[finished(1)]))),
        ("canceled", and(&running, &[cancel.clone(), canceled(1)])),
        ("canceled unsent", after(&[cancel])),
        ("deleted", and(&running, &[finished(1), stored(1), Event::Deleted])),
    ]
}

/// The job after its copy has failed.
fn uncopied(job: &Job) -> Job {
    applied_at(
        job,
        &Event::CopyFailed { number: job.attempt, lease: job.version, wait: Duration::ZERO },
        soon(job),
    )
}

/// The job after its file was the wrong one for long enough.
fn wrong_for_long(job: &Job) -> Job {
    let seen = applied_at(job, &wrong_file(1), soon(job));
    applied_at(&seen, &wrong_file(1), soon(job) + WRONG_FILE_AFTER)
}

/// Every kind of event of one attempt.
fn attempt_events(number: u8, lease: u64) -> Vec<(&'static str, Event)> {
    let other = AttemptEvent::Accepted { remote: remote("other"), cost: None };
    vec![
        ("accepted", accepted(number)),
        ("accepted, other id", reported(number, other)),
        ("refused, passes", refused(number, ErrorClass::RateLimited)),
        ("refused, final", refused(number, ErrorClass::ContentPolicy)),
        ("presumed_refused", presumed(number)),
        ("not_sent", not_sent(number)),
        ("unclear", unclear(number)),
        ("finished", finished(number)),
        ("broke, free", broke(number, ErrorClass::ProviderUnavailable, Billed::No)),
        ("broke, bill unknown", broke(number, ErrorClass::ProviderUnavailable, Billed::Unknown)),
        ("broke, final", broke(number, ErrorClass::Unknown, Billed::Unknown)),
        ("canceled", canceled(number)),
        ("gone", gone(number)),
        ("delivered", delivered(number)),
        ("stored", stored(number)),
        ("copy_started", Event::CopyStarted { number }),
        ("copy_renewed", Event::CopyRenewed { number, lease }),
        ("copy_failed", Event::CopyFailed { number, lease, wait: Duration::ZERO }),
        ("copy_failed, late", Event::CopyFailed { number, lease: lease + 1, wait: Duration::ZERO }),
        ("asset_lost", Event::AssetLost { number, lease }),
        ("wrong_file", Event::WrongFile { number, lease }),
    ]
}

/// Every event for this job, with its time. `None` where the job has no other attempt.
fn events(job: &Job) -> Vec<(String, Option<(Event, Timestamp)>)> {
    let now = soon(job);
    let current = job.attempt.max(1);
    let other = if current == 1 { 2 } else { current - 1 };
    let just_before = job.deadline.minus(std::time::Duration::from_millis(1));
    let mut events = vec![
        ("claimed".to_owned(), Some((claimed(), now))),
        ("no_route".to_owned(), Some((Event::NoRoute { class: ErrorClass::Auth }, now))),
        ("cancel_requested".to_owned(), Some((CANCEL, now))),
        ("deadline, before it".to_owned(), Some((Event::DeadlinePassed, just_before))),
        ("deadline_passed".to_owned(), Some((Event::DeadlinePassed, job.deadline))),
        ("deleted".to_owned(), Some((Event::Deleted, now))),
    ];
    for (whose, number) in [("current", current), ("other", other)] {
        let known = job.attempt(number).is_some();
        events.extend(
            attempt_events(number, job.copy_lease.unwrap_or(0))
                .into_iter()
                .map(|(name, event)| (format!("{whose}: {name}"), known.then_some((event, now)))),
        );
    }
    events
}

fn cell(job: &Job, event: &Event, now: Timestamp) -> String {
    let transition = match job.decide(event, now) {
        Err(_) => return ".".to_owned(),
        Ok(Decision::Stay) => return "=".to_owned(),
        Ok(Decision::Move(transition)) => transition,
    };
    let (before, after) = (transition.before(), transition.after());
    let plus = if transition.entry().is_some() { "+" } else { "" };
    let moved = (before.state, before.attempt) != (after.state, after.attempt);
    let touched = after.attempts.iter().find(|attempt| before.attempt(attempt.number) != Some(*attempt));
    match (&after.fault, touched) {
        (Some(fault), _) if moved => format!("{}{plus} {}", after.state.name(), fault.class.name()),
        _ if moved => format!("{}{plus} {}", after.state.name(), after.attempt),
        (_, Some(attempt)) => format!("* {}{plus}", attempt.phase.name()),
        (_, None) if before.deleted_at != after.deleted_at => "files deleted".to_owned(),
        (_, None) if before.copy_until != after.copy_until => {
            match (before.copy_lease == after.copy_lease, after.copy_until) {
                (true, _) => "copy renewed",
                (false, Some(_)) => "copy starts",
                (false, None) => "copy ends",
            }
            .to_owned()
        }
        (_, None) => format!("stop {:?}{plus}", after.stop.unwrap()).to_lowercase(),
    }
}

fn superseded(job: &Job) -> String {
    job.superseded_attempts().map(|attempt| attempt.number.to_string()).collect::<Vec<_>>().join(", ")
}

fn follow_ups(job: &Job) -> String {
    let name = |follow_up| match follow_up {
        FollowUp::Dispatch => "dispatch".to_owned(),
        FollowUp::Poll(number) => format!("poll {number}"),
        FollowUp::LookUp(number) => format!("look up {number}"),
    };
    job.follow_ups().into_iter().map(name).collect::<Vec<_>>().join(", ")
}

fn print() -> String {
    let mut table = "\
A job (column) after an event (row):
    running 2   in this state, about attempt 2     * broke     as it was; an attempt's record is now `broke`
    failed x    ended for the reason x             stop x      as it was; being canceled because of x
    copy starts as it was; a copy of its file holds the lease; copy ends: it is released
    +           with a refund in the same write    =           stays    .  illegal
`sending` and `unclear` jobs are dispatching. Blank: the job has no other attempt.
"
    .to_owned();
    for block in jobs().chunks(JOBS_PER_BLOCK) {
        let mut line = |name: &str, cells: Vec<String>| {
            if !name.is_empty() && cells.iter().all(String::is_empty) {
                return;
            }
            let cells = cells.iter().fold(format!("{name:<28}"), |mut line, cell| {
                write!(line, "{cell:<30}").unwrap();
                line
            });
            table.push_str(cells.trim_end());
            table.push('\n');
        };
        line("", vec![]);
        line("", block.iter().map(|(name, _)| (*name).to_owned()).collect());
        line(
            "waits for",
            block.iter().map(|(_, job)| format!("{:?}", job.next_step()).to_lowercase()).collect(),
        );
        line("calls for", block.iter().map(|(_, job)| follow_ups(job)).collect());
        line("attempts to stop", block.iter().map(|(_, job)| superseded(job)).collect());
        let columns: Vec<_> = block.iter().map(|(_, job)| (job, events(job))).collect();
        for (row, (name, _)) in columns[0].1.iter().enumerate() {
            let cells = columns.iter().map(|(job, events)| match &events[row].1 {
                Some((event, now)) => cell(job, event, *now),
                None => String::new(),
            });
            line(name, cells.collect());
        }
    }
    table
}

/// A change to the machine is a change to the table. `UPDATE_GOLDEN=1` rewrites it.
#[test]
#[expect(clippy::disallowed_methods, reason = "asks whether to rewrite the table, in a test alone")]
fn the_machine_is_as_the_table_says() {
    let table = print();
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/table.txt"), &table).unwrap();
        return;
    }
    let known = include_str!("../table.txt");
    for (line, (is, was)) in table.lines().zip(known.lines()).enumerate() {
        assert_eq!(is, was, "line {}", line + 1);
    }
    assert_eq!(table, known);
}

#[test]
fn the_table_shows_every_state() {
    let jobs = jobs();
    for state in State::ALL {
        assert!(jobs.iter().any(|(_, job)| job.state == state), "{}", state.name());
    }
}
