//! Any sequence of events keeps what [`Job`] guarantees: events as providers, queues and
//! callers make them, and events that nothing ever made.
//!
//! In one file, because world, events and guarantees are one model.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::job::NextStep;

/// Events of one run, at most.
const EVENTS_MAX: usize = 30;
const REFUSALS: std::ops::Range<u8> = 0..ATTEMPTS_MAX as u8;
/// The deadlines that a job can outlive: one for each finished attempt whose file is
/// awaited, and two for one that runs and is asked to stop.
const DEADLINES_MAX: usize = ATTEMPTS_MAX + 1;

/// A job to which events are applied, with all guarantees checked at each step.
struct Run {
    job: Job,
    now: Timestamp,
    entries: Vec<Entry>,
    /// The same job with every event applied twice; must be equal.
    doubled: Job,
    doubled_entries: Vec<Entry>,
}

impl Run {
    /// A job after this many refusals.
    fn after(refusals: u8) -> Self {
        let (job, doubled) = (new_job(), new_job());
        let mut run = Self { job, now: START, entries: vec![], doubled, doubled_entries: vec![] };
        for number in 1..=refusals {
            run.apply(&claimed());
            run.apply(&refused(number, ErrorClass::RateLimited));
        }
        run
    }

    /// Applies an event; whether it moved the job, or `None` if it was illegal.
    fn apply(&mut self, event: &Event) -> Option<bool> {
        let decision = self.job.decide(event, self.now);
        for again in [false, true] {
            let repeat = self.doubled.decide(event, self.now);
            assert!(!again || !matches!(repeat, Ok(Decision::Move(_))), "a repeat of {event:?} moved");
            assert_eq!(repeat.is_err(), decision.is_err(), "a repeat of {event:?} is as legal as the first");
            if let Ok(Decision::Move(transition)) = repeat {
                self.doubled_entries.extend(transition.entry().cloned());
                self.doubled = transition.into_after();
            }
        }
        let transition = match decision.ok()? {
            Decision::Stay => return Some(false),
            Decision::Move(transition) => transition,
        };
        assert_eq!(transition.before(), &self.job);
        check_move(&transition, event, self.now);
        self.entries.extend(transition.entry().cloned());
        self.job = transition.into_after();
        check_job(&self.job);
        assert_eq!(self.entries, expected_entries(&self.job));
        let (end, entries) = outlive_deadlines(&self.job);
        assert_eq!([self.entries.clone(), entries].concat(), expected_entries(&end));
        Some(true)
    }

    fn finish(&self) {
        assert_eq!(self.doubled, self.job);
        assert_eq!(self.doubled_entries, self.entries);
    }
}

/// Exactly one refund if it ended without a result, none else.
fn expected_entries(job: &Job) -> Vec<Entry> {
    let refunded = matches!(job.state, State::Failed | State::Canceled);
    refunded.then(|| refund_of(job)).into_iter().collect()
}

fn check_move(transition: &Transition, event: &Event, now: Timestamp) {
    let (before, after) = (transition.before(), transition.after());
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.updated_at, now);
    assert_ne!(
        &Job { version: after.version, updated_at: now, ..before.clone() },
        after,
        "a move changes more than the version"
    );
    if before.state.is_terminal() {
        let known = |job: &Job| {
            (job.state, job.attempt, job.attempts.len(), job.media.clone(), job.fault.clone(), job.deadline)
        };
        assert_eq!(known(after), known(before), "an end is the end");
        assert_eq!(after.ended_at(), before.ended_at(), "{event:?} moves the end");
    } else {
        assert_eq!(after.ended_at(), after.state.is_terminal().then_some(now), "{event:?}");
    }
    let about = |job: &Job| (job.state, job.attempt, job.stop);
    if about(after) == about(before) {
        assert_eq!(after.deadline, before.deadline, "{event:?} gives more time to the same");
    } else if after.state != before.state && !after.state.is_terminal() {
        assert!(after.deadline > now, "{event:?} left a deadline in the past");
    }
    if transition.entry().is_some() {
        let open = after.attempts.iter().find(|attempt| attempt.phase.is_open());
        assert_eq!(open, None, "refunded by {event:?}");
        let result = after.attempts.iter().find(|attempt| has_result(attempt));
        assert_eq!(result, None, "refunded by {event:?} in spite of a result");
    }
    for (was, is) in before.attempts.iter().zip(&after.attempts) {
        let fixed = |attempt: &Attempt| (attempt.number, attempt.claim, attempt.provider, attempt.started_at);
        assert_eq!(fixed(was), fixed(is));
        assert!(was.remote.is_none() || was.remote == is.remote, "a remote job is not swapped for another");
        assert!(was.phase != Phase::Finished || is.phase == Phase::Finished, "a paid success is forgotten");
    }
    if after.attempts.len() > before.attempts.len() {
        assert_eq!(before.state, State::Queued);
        let over = |attempt: &Attempt| {
            matches!(attempt.phase, Phase::Refused | Phase::NotSent | Phase::Broke | Phase::Canceled)
                && attempt.billed == Billed::No
        };
        assert!(before.attempts.iter().all(over), "a second attempt beside one that bills: {before:?}");
    }
}

/// Whether it is done and its file may still be fetched.
fn has_result(attempt: &Attempt) -> bool {
    attempt.phase == Phase::Finished && attempt.fault.is_none()
}

fn check_job(job: &Job) {
    assert!(job.attempts.len() <= ATTEMPTS_MAX);
    let open = job.attempts.iter().filter(|attempt| attempt.phase.is_open()).count();
    assert!(open <= 1, "two attempts may bill: {job:?}");
    let phase = job.current().map(|attempt| attempt.phase);
    let ended = |attempt: &Attempt| attempt.phase.is_open() == attempt.ended_at.is_none();
    assert!(job.attempts.iter().all(ended), "{job:?}");
    let legal = match job.state {
        State::Queued => open == 0 && job.stop.is_none() && job.attempts.len() < ATTEMPTS_MAX,
        State::Dispatching => matches!(phase, Some(Phase::Sending | Phase::Unclear)),
        State::Running => {
            phase == Some(Phase::Running) && job.current().is_some_and(|attempt| attempt.remote.is_some())
        }
        State::Settling => job.current().is_some_and(has_result),
        State::Succeeded => phase == Some(Phase::Finished),
        State::Failed => job.stop != Some(Stop::Caller) && job.fault.is_some(),
        State::Canceled => job.stop == Some(Stop::Caller) && job.fault.is_some(),
        State::Other(_) => false,
    };
    assert!(legal, "{job:?}");
    assert_eq!(job.next_step() == NextStep::Nothing, job.state.is_terminal());
    assert_eq!(job.media.is_some(), job.state == State::Succeeded);
    assert!(job.copy_until.is_none() || job.state == State::Settling, "a copy of nothing: {job:?}");
    // A time without a lease puts the next copy off.
    assert!(job.copy_lease.is_none() || job.copy_until.is_some(), "a lease without an end: {job:?}");
}

/// The end of an active job without further events, and the ledger entries until then.
fn outlive_deadlines(job: &Job) -> (Job, Vec<Entry>) {
    let (mut job, mut entries) = (job.clone(), vec![]);
    for _ in 0..DEADLINES_MAX {
        if let Ok(Decision::Move(transition)) = job.decide(&Event::DeadlinePassed, job.deadline) {
            check_move(&transition, &Event::DeadlinePassed, job.deadline);
            entries.extend(transition.entry().cloned());
            job = transition.into_after();
        }
    }
    assert!(job.state.is_terminal(), "it outlives its deadlines: {job:?}");
    (job, entries)
}

fn pause() -> impl Strategy<Value = Duration> {
    let secs = prop_oneof![
        8 => 0..120_u64,
        2 => 120..8_000_u64,
        1 => 8_000..100_000_u64,
    ];
    secs.prop_map(Duration::from_secs)
}

fn class() -> impl Strategy<Value = ErrorClass> {
    prop_oneof![3 => Just(ErrorClass::ProviderUnavailable), 1 => select(&ErrorClass::ALL[..])]
}

fn fault() -> impl Strategy<Value = Fault> {
    let billed = prop_oneof![3 => Just(Billed::No), 1 => Just(Billed::Unknown), 1 => Just(Billed::Yes)];
    (class(), billed).prop_map(|(class, billed)| Fault::new(class, None, billed))
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let cost = || proptest::option::of((0..3_u64).prop_map(MicroUsd));
    prop_oneof![
        3 => cost().prop_map(success),
        3 => (fault(), cost()).prop_map(|(fault, cost)| Verdict::Broke { fault, cost }),
        1 => cost().prop_map(|cost| Verdict::Canceled { cost }),
        1 => Just(Verdict::Gone),
    ]
}

/// The next step of the environment.
#[derive(Debug, Clone)]
enum Step {
    /// A dispatch message arrives, and the provider answers so.
    Dispatch(Answer),
    /// A running remote job ends, and the provider reports it; some reports change later.
    End {
        verdict: Verdict,
        and_then_finish: bool,
    },
    /// A message arrives; it may arrive again.
    Deliver {
        which: Index,
        keep: bool,
    },
    /// A copy of the result starts, and ends so.
    Fetch(Copied),
    Cancel,
    Reconcile,
}

#[derive(Debug, Clone, Copy)]
enum Copied {
    Stored,
    Failed,
    Lost,
    Wrong,
    /// The function crashes before it records the answer.
    Died,
}

#[derive(Debug, Clone)]
enum Answer {
    Accepted,
    Refused(Fault),
    NotSent(Fault),
    LostButRuns,
    LostOnTheWay,
    /// As above, and the remote job runs.
    Died,
}

fn step() -> impl Strategy<Value = Step> {
    let free = || class().prop_map(|class| Fault::new(class, None, Billed::No));
    let answer = prop_oneof![
        3 => Just(Answer::Accepted),
        2 => free().prop_map(Answer::Refused),
        1 => free().prop_map(Answer::NotSent),
        1 => Just(Answer::LostButRuns),
        1 => Just(Answer::LostOnTheWay),
        1 => Just(Answer::Died),
    ];
    prop_oneof![
        4 => answer.prop_map(Step::Dispatch),
        3 => (verdict(), prop::bool::weighted(0.3))
            .prop_map(|(verdict, and_then_finish)| Step::End { verdict, and_then_finish }),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(which, keep)| Step::Deliver { which, keep }),
        2 => select(vec![Copied::Stored, Copied::Failed, Copied::Lost, Copied::Wrong, Copied::Died]).prop_map(Step::Fetch),
        1 => Just(Step::Cancel),
        1 => Just(Step::Reconcile),
    ]
}

/// A model of the environment: the running remote jobs and the queued messages.
struct World {
    run: Run,
    messages: Vec<Event>,
    /// Attempts whose remote jobs run and will bill.
    running: Vec<u8>,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Dispatch(answer) => self.dispatch(answer),
            Step::End { verdict, and_then_finish } => {
                let Some(number) = self.running.pop() else { return };
                self.messages.push(ended(number, verdict));
                self.messages.extend(and_then_finish.then(|| finished(number)));
            }
            Step::Deliver { which, keep } => {
                if self.messages.is_empty() {
                    return;
                }
                let index = which.index(self.messages.len());
                let event =
                    if keep { self.messages[index].clone() } else { self.messages.swap_remove(index) };
                self.apply(&event);
            }
            Step::Fetch(copied) if self.run.job.state == State::Settling => {
                let number = self.run.job.attempt;
                self.apply(&Event::CopyStarted { number });
                let lease = self.run.job.copy_lease.unwrap_or(0);
                self.messages.extend(match copied {
                    Copied::Stored => Some(stored(number)),
                    Copied::Failed => Some(Event::CopyFailed { number, lease, wait: Duration::ZERO }),
                    Copied::Lost => Some(Event::AssetLost { number, lease }),
                    Copied::Wrong => Some(Event::WrongFile { number, lease }),
                    Copied::Died => None,
                });
            }
            Step::Fetch(_) => {}
            Step::Cancel => self.apply(&CANCEL),
            Step::Reconcile => self.apply(&Event::DeadlinePassed),
        }
    }

    fn dispatch(&mut self, answer: Answer) {
        let before = self.run.job.attempts.len();
        self.apply(&claimed());
        let number = self.run.job.attempt;
        if self.run.job.attempts.len() == before {
            return;
        }
        let (event, runs) = match answer {
            Answer::Accepted => (Some(accepted(number)), true),
            Answer::Refused(fault) => (Some(reported(number, AttemptEvent::Refused(fault))), false),
            Answer::NotSent(fault) => (Some(reported(number, AttemptEvent::NotSent(fault))), false),
            Answer::LostButRuns => (Some(unclear(number)), true),
            Answer::LostOnTheWay => (Some(unclear(number)), false),
            Answer::Died => (None, true),
        };
        self.messages.extend(event);
        self.running.extend(runs.then_some(number));
    }

    /// No event of this environment is illegal, and no refund is written while a remote job runs,
    /// unless its deadline has passed.
    fn apply(&mut self, event: &Event) {
        let before = self.run.entries.len();
        let moved = self.run.apply(event);
        assert_ne!(moved, None, "{event:?} is illegal for {:?}", self.run.job);
        if self.run.entries.len() > before {
            for number in &self.running {
                let phase = self.run.job.attempt(*number).unwrap().phase;
                assert_eq!(phase, Phase::Lost, "refunded by {event:?} while attempt {number} runs");
            }
        }
    }
}

/// Any event at all, of any attempt, known or not.
fn any_event() -> impl Strategy<Value = Event> {
    let cost = || proptest::option::of(Just(MicroUsd(1)));
    let remote = || select(vec![remote("a"), remote("b")]);
    let event = prop_oneof![
        4 => (remote(), cost()).prop_map(|(remote, cost)| AttemptEvent::Accepted { remote, cost }),
        4 => fault().prop_map(AttemptEvent::Refused),
        1 => fault().prop_map(AttemptEvent::NotSent),
        1 => Just(AttemptEvent::Unclear),
        6 => (proptest::option::of(remote()), verdict())
            .prop_map(|(remote, verdict)| AttemptEvent::Ended { remote, verdict }),
    ];
    prop_oneof![
        8 => (any::<u64>(), any::<bool>()).prop_map(|(id, stop_is_free)| Event::Claimed(Claim {
            id,
            provider: Provider::Runway,
            route: "runway/veo".to_owned(),
            cost: None,
            key_mark: None,
            reports: false,
            stop_is_free,
            simulated: false,
        })),
        1 => class().prop_map(|class| Event::NoRoute { class }),
        16 => (0..=5_u8, event).prop_map(|(number, event)| reported(number, event)),
        2 => (0..=5_u8).prop_map(stored),
        1 => (0..=5_u8).prop_map(delivered),
        2 => (0..=5_u8).prop_map(|number| Event::CopyStarted { number }),
        2 => (0..=5_u8, 0..9_u64).prop_map(|(number, lease)| Event::CopyRenewed { number, lease }),
        2 => (0..=5_u8, 0..9_u64, 0..2_u64).prop_map(|(number, lease, wait)| Event::CopyFailed { number, lease, wait: Duration::from_secs(wait) }),
        2 => (0..=5_u8).prop_map(asset_lost),
        2 => (0..=5_u8).prop_map(wrong_file),
        1 => Just(CANCEL),
        1 => Just(Event::CancelRequested(CancelRefund::Full)),
        1 => Just(Event::Deleted),
        2 => Just(Event::DeadlinePassed),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_job_in_an_unreliable_world_keeps_its_guarantees(
        refusals in REFUSALS,
        steps in vec((pause(), step()), 1..=EVENTS_MAX),
    ) {
        let mut world = World { run: Run::after(refusals), messages: vec![], running: vec![] };
        for (pause, step) in steps {
            world.run.now = world.run.now + pause;
            world.take(step);
        }
        world.run.finish();
    }

    #[test]
    fn a_job_keeps_its_guarantees_under_any_events(
        refusals in REFUSALS,
        events in vec((pause(), any::<bool>(), any_event()), 1..=EVENTS_MAX),
    ) {
        let mut run = Run::after(refusals);
        for (pause, back, event) in events {
            // Clocks of different machines disagree.
            run.now = if back { run.now.minus(Duration::from_secs(2)) } else { run.now + pause };
            run.apply(&event);
        }
        run.finish();
    }

    #[test]
    fn a_second_remote_job_for_one_attempt_is_always_an_error(
        refusals in REFUSALS,
        events in vec(any_event(), 1..=EVENTS_MAX),
    ) {
        let mut run = Run::after(refusals);
        for event in events {
            run.now = run.now + Duration::from_secs(1);
            run.apply(&event);
            for attempt in run.job.attempts.iter().filter(|attempt| attempt.remote.is_some()) {
                let other = AttemptEvent::Accepted { remote: remote("c"), cost: None };
                prop_assert!(run.job.decide(&reported(attempt.number, other), run.now).is_err());
            }
        }
    }
}
