//! Tests of deliveries.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Outcome = Outcome::Later { wait: None };

fn delivery() -> Delivery {
    Delivery {
        event: EventId::from_bytes([1; 16]),
        account: "acct_anna".parse().unwrap(),
        endpoint: EndpointId::from_bytes([2; 16]),
        kind: EventType::known("job.failed"),
        url: None,
        status: Status::Pending,
        version: 1,
        number: 0,
        next_at: NOW,
        claimed: false,
        tries: Vec::new(),
        receipt: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn made(at: Timestamp) -> Try {
    Try { at, ms: 3, outcome: "failed".to_owned(), status: Some(500), error: None, answer: None }
}

fn claim(delivery: &Delivery, now: Timestamp) -> Delivery {
    match delivery.claim(now) {
        Claim::Try(claimed) => *claimed,
        other => panic!("{other:?}"),
    }
}

/// The times of all tries at an endpoint that always fails.
fn tries(chance: u32) -> Vec<Duration> {
    let (mut delivery, mut at) = (delivery(), Vec::new());
    while delivery.status == Status::Pending {
        let now = delivery.next_at;
        delivery = claim(&delivery, now).finish(LATER, made(now), chance, now);
        at.push(now.since(NOW));
    }
    assert_eq!(delivery.status, Status::Failed);
    at
}

#[test]
fn ten_tries_take_75_hours_35_minutes_and_5_seconds_less_the_jitter() {
    let without = tries(0);
    let seconds = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105];
    assert_eq!(without.iter().map(Duration::as_secs).collect::<Vec<_>>(), seconds);
    assert_eq!(without.last(), Some(&Duration::from_secs(75 * 3_600 + 35 * 60 + 5)));
    let with = tries(u32::MAX);
    assert_eq!(with.len(), 10);
    assert!(with.last().unwrap() < &Duration::from_secs(69 * 3_600), "{with:?}");
}

#[test]
fn a_wait_that_the_endpoint_asks_for_is_kept_up_to_a_day() {
    let claimed = claim(&delivery(), NOW);
    let after = |secs| {
        let wait = Some(Duration::from_secs(secs));
        claimed.finish(Outcome::Later { wait }, made(NOW), 0, NOW).next_at.since(NOW).as_secs()
    };
    assert_eq!([after(0), after(5), after(90), after(10_000_000)], [5, 5, 90, 86_400]);
}

#[test]
fn a_claimed_try_runs_alone_and_is_one_of_ten_if_it_is_lost() {
    let (mut delivery, mut begun) = (delivery(), Vec::new());
    while delivery.status == Status::Pending {
        let claimed = claim(&delivery, delivery.next_at);
        begun.push(claimed.updated_at.since(NOW).as_secs());
        assert_eq!(claimed.claim(claimed.updated_at), Claim::NotYet(CLAIM));
        let now = claimed.next_at;
        assert_eq!(claimed.claim(now), Claim::Lost);
        delivery = claimed.finish(Outcome::Lost, Try::unsent(Outcome::Lost, None, now), 0, now);
        assert_eq!(delivery.tries.last().unwrap().outcome, "lost");
    }
    assert_eq!(begun, [0, 65, 425, 2_285, 9_545, 27_605, 63_665, 114_125, 186_185, 272_645]);
    assert_eq!((delivery.status, delivery.claim(delivery.next_at)), (Status::Failed, Claim::Ended));
}

#[test]
fn it_ends_delivered_rejected_or_gone_and_can_be_sent_again() {
    let claimed = claim(&delivery(), NOW);
    for (outcome, status) in [
        (Outcome::Delivered, Status::Delivered),
        (Outcome::Never, Status::Failed),
        (Outcome::Gone, Status::Failed),
        (Outcome::Held, Status::Pending),
    ] {
        let ended = claimed.finish(outcome, made(NOW), 0, NOW);
        assert_eq!(ended.status, status, "{outcome:?}");
        let again = ended.again(NOW);
        assert_eq!((again.status, again.number, again.tries.len()), (Status::Pending, 0, 1));
    }
    assert_eq!(delivery().skipped(NOW).claim(NOW), Claim::Ended);
}

#[test]
fn a_waiting_delivery_is_hastened_and_a_running_one_is_not() {
    let claimed = claim(&delivery(), NOW);
    assert_eq!(claimed.hastened(NOW), None);
    let waiting = claimed.finish(Outcome::Held, Try::unsent(Outcome::Held, None, NOW), 0, NOW);
    assert_eq!((waiting.version, waiting.number, waiting.tries[0].outcome.as_str()), (3, 1, "held"));
    assert_eq!(waiting.hastened(NOW).unwrap().next_at, NOW);
    assert_eq!(delivery().hastened(NOW), None, "it is due already");
}

#[test]
fn an_endpoint_that_comes_and_goes_costs_no_try_up_to_twenty() {
    let failed = claim(&delivery(), NOW).finish(LATER, made(NOW), 0, NOW);
    let again = |waiting: Delivery| {
        let hastened = waiting.hastened(NOW).unwrap();
        claim(&hastened, NOW).finish(LATER, made(NOW), 0, NOW)
    };
    let after = (0..19).fold(failed.clone(), |waiting, _| again(waiting));
    assert_eq!((after.number, after.next_at), (failed.number, failed.next_at), "the same pause follows");
    // An endpoint that takes all events but this one: its tries have an end.
    let mut waiting = after;
    for _ in 0..9 {
        assert_eq!(waiting.status, Status::Pending);
        waiting = again(waiting);
    }
    assert_eq!(waiting.status, Status::Failed);
}

#[test]
fn the_last_twenty_tries_are_kept() {
    let all = (0..30)
        .fold(delivery(), |delivery, n| delivery.finish(LATER, made(NOW + Duration::from_secs(n)), 0, NOW));
    assert_eq!((all.tries.len(), all.tries[0].at), (20, NOW + Duration::from_secs(10)));
}

#[test]
fn a_receipt_outlives_the_record_of_its_try_and_ends_with_the_next_round() {
    let claimed = claim(&delivery(), NOW);
    let reported = claimed.received(Fate::Delivered, NOW).unwrap();
    assert!(reported.is_claim_of(&claimed) && !delivery().is_claim_of(&claimed));
    let sent = reported.finish(Outcome::Delivered, made(NOW), 0, NOW);
    assert_eq!((sent.status, sent.receipt), (Status::Delivered, reported.receipt));
    assert!(!sent.is_claim_of(&claimed));
    assert_eq!(sent.again(NOW).receipt, None);
}

proptest::proptest! {
    /// Whatever comes in whatever order, however often: the most severe report stays, and only what is more
    /// severe than all before is a change.
    #[test]
    fn reports_move_a_delivery_forward_only(reports in proptest::collection::vec(0..Fate::ALL.len(), 0..20)) {
        let (mut known, mut at) = (delivery(), NOW);
        let mut changes = 0;
        for fate in reports.iter().map(|index| Fate::ALL[*index]) {
            at = at + Duration::from_secs(1);
            let before = known.receipt.map(|receipt| receipt.fate);
            if let Some(next) = known.received(fate, at) {
                proptest::prop_assert!(before < Some(fate));
                proptest::prop_assert_eq!(next.receipt, Some(Receipt { fate, at }));
                known = next;
                changes += 1;
            }
        }
        let most = reports.iter().map(|index| Fate::ALL[*index]).max();
        proptest::prop_assert_eq!(known.receipt.map(|receipt| receipt.fate), most);
        proptest::prop_assert_eq!(known.version, 1 + changes);
        let Delivery { receipt, updated_at, version, .. } = known.clone();
        proptest::prop_assert_eq!(known, Delivery { receipt, updated_at, version, ..delivery() });
    }
}
