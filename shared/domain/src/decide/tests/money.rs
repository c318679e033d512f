//! Refunds, and the cost at risk.

use super::*;

fn ends(events: &[Event]) -> (State, u64, MicroUsd) {
    let (last, before) = events.split_last().unwrap();
    let job = after(before);
    let now = if *last == Event::DeadlinePassed { job.deadline } else { soon(&job) };
    let Ok(Decision::Move(transition)) = job.decide(last, now) else { panic!("{last:?} does not move it") };
    let refund = transition.entry().expect("it ends without a result").amount();
    (transition.after().state, refund.micros(), transition.at_risk())
}

const PRICE: u64 = 40_000_000;
/// Thirty cents.
const COST: u64 = 30_000_000;
const RISK: MicroUsd = MicroUsd(300_000);
const NONE: MicroUsd = MicroUsd(0);

#[test]
fn a_cancel_refunds_the_price_minus_the_possible_cost() {
    let running = [claimed(), accepted(1), CANCEL];
    let and = |end: Event| ends(&[&running[..], &[end]].concat());
    assert_eq!(and(canceled(1)), (State::Canceled, PRICE - COST, NONE));
    let free = ended(1, Verdict::Canceled { cost: Some(MicroUsd(0)) });
    assert_eq!(and(free), (State::Canceled, PRICE, NONE));
    let half = ended(1, Verdict::Canceled { cost: Some(MicroUsd(150_000)) });
    assert_eq!(and(half), (State::Canceled, PRICE - COST / 2, NONE));
    // Its outcome is unknown: it may have been billed.
    assert_eq!(ends(&[claimed(), CANCEL, Event::DeadlinePassed]), (State::Canceled, PRICE - COST, NONE));
    assert_eq!(ends(&[CANCEL]), (State::Canceled, PRICE, NONE));
}

#[test]
fn where_a_canceled_remote_job_is_free_everything_is_refunded() {
    let events = [claimed_where(true), accepted(1), CANCEL, canceled(1)];
    assert_eq!(ends(&events), (State::Canceled, PRICE, NONE));
    assert_eq!(after(&events).attempts[0].billed, Billed::No);
}

#[test]
fn an_operator_may_refund_everything() {
    let full = Event::CancelRequested(CancelRefund::Full);
    assert_eq!(ends(&[claimed(), accepted(1), full, canceled(1)]), (State::Canceled, PRICE, RISK));
}

#[test]
fn a_failure_refunds_everything_and_its_cost_at_risk_is_counted() {
    let unknown = broke(1, ErrorClass::Unknown, Billed::Unknown);
    assert_eq!(ends(&[claimed(), accepted(1), unknown]), (State::Failed, PRICE, RISK));
    let free = broke(1, ErrorClass::Unknown, Billed::No);
    assert_eq!(ends(&[claimed(), accepted(1), free]), (State::Failed, PRICE, NONE));
}

#[test]
fn a_cancel_returns_the_expected_refund() {
    let back = |events: &[Event]| after(events).refund_for_cancel().map(|back| back.micros());
    assert_eq!(back(&[claimed(), accepted(1), CANCEL]), Some(PRICE - COST));
    assert_eq!(back(&[claimed_where(true), accepted(1), CANCEL]), Some(PRICE));
    let full = Event::CancelRequested(CancelRefund::Full);
    assert_eq!(back(&[claimed(), accepted(1), full]), Some(PRICE));
    assert_eq!(back(&[claimed(), accepted(1), CANCEL, canceled(1)]), Some(PRICE - COST));
    assert_eq!(back(&[claimed(), accepted(1), CANCEL, finished(1), stored(1)]), None);
}

#[test]
fn a_presumed_refusal_fails_over_and_may_still_run() {
    assert_eq!(after(&[claimed(), presumed(1)]).state, State::Queued);
    let runs = after(&[claimed(), presumed(1), accepted(1)]);
    assert_eq!((runs.state, runs.attempt), (State::Running, 1));
    let both = after(&[claimed(), presumed(1), claimed(), accepted(2), accepted(1)]);
    assert_eq!((both.state, both.attempt), (State::Running, 2));
    assert_eq!(both.follow_ups(), [FollowUp::Poll(1)], "the first is stopped");
    let won = after(&[claimed(), presumed(1), claimed(), accepted(2), finished(1), stored(1)]);
    assert_eq!((won.state, won.attempt), (State::Succeeded, 1));
}
