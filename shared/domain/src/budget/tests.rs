use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn key() -> Holder {
    Holder::Key(KeyId::from_bytes([7; 10]))
}

fn all(limit: u64) -> Budgets {
    let limit = Some(Credits::from_micros(limit));
    Budgets { day: limit, month: limit, total: limit }
}

fn counted(spent: u64, announced: u64) -> Spent {
    Spent { spent: Credits::from_micros(spent), announced: Credits::from_micros(announced) }
}

#[test]
fn a_counter_is_of_one_period_and_begins_again_with_the_next() {
    for (now, day, month, next_day, next_month) in [
        ("2026-11-30T23:59:59.999Z", "2026-11-30", "2026-11", "2026-12-01", "2026-12-01"),
        ("2026-12-31T00:00:00Z", "2026-12-31", "2026-12", "2027-01-01", "2027-01-01"),
        ("2028-02-28T12:00:00Z", "2028-02-28", "2028-02", "2028-02-29", "2028-03-01"),
    ] {
        let counters: Vec<_> = all(1).at(Holder::Account, at(now)).map(|budget| budget.counter).collect();
        let names: Vec<_> = counters.iter().map(Counter::to_string).collect();
        assert_eq!(names, [format!("account/{day}"), format!("account/{month}"), "account/total".to_owned()]);
        let next: Vec<_> = counters.iter().map(Counter::begins_again).collect();
        assert_eq!(next, [Timestamp::of_day(next_day), Timestamp::of_day(next_month), None]);
        assert_eq!(counters.iter().map(Counter::period).collect::<Vec<_>>(), Period::ALL);
    }
}

#[test]
fn a_counter_is_read_as_it_was_written_and_nothing_else_is_one() {
    for counter in all(1).at(key(), at("2026-11-30T00:00:00Z")).map(|budget| budget.counter) {
        assert_eq!(counter.to_string().parse(), Ok(counter.clone()));
        assert_eq!(serde_json::from_value::<Counter>(json!(counter)).unwrap(), counter);
    }
    for text in [
        "",
        "account",
        "account/",
        "account/2026",
        "account/2026-13",
        "account/2026-02-30",
        "x/total",
        "/total",
    ] {
        assert_eq!(text.parse::<Counter>(), Err(InvalidCounter), "{text}");
    }
}

#[test]
fn a_charge_fits_to_the_last_credit_and_says_once_which_mark_it_reaches() {
    let budget = all(10).at(key(), at("2026-11-30T00:00:00Z")).next().unwrap();
    let charge =
        |spent, announced, price| budget.charge(counted(spent, announced), Credits::from_micros(price));
    assert_eq!(charge(0, 0, 4), Charge::Fits);
    assert_eq!(charge(0, 0, 5), Charge::Reaches(50));
    assert_eq!(charge(4, 0, 4), Charge::Reaches(80));
    assert_eq!(charge(4, 5, 3), Charge::Fits);
    assert_eq!(charge(9, 8, 1), Charge::Reaches(100));
    assert_eq!(charge(0, 0, 10), Charge::Reaches(100));
    assert_eq!(charge(9, 10, 1), Charge::Fits);
    assert_eq!(charge(9, 0, 2), Charge::Exceeds);
    assert_eq!(charge(1, 0, u64::MAX), Charge::Exceeds);
}

#[test]
fn a_share_of_another_limit_is_news_if_it_is_more_than_was_announced() {
    let charge = |limit, spent, announced, price| {
        let budget = all(limit).at(key(), at("2026-11-30T00:00:00Z")).next().unwrap();
        budget.charge(counted(spent, announced), Credits::from_micros(price))
    };
    // All of 10 was announced, and the limit is raised to 100.
    assert_eq!(charge(100, 10, 10, 39), Charge::Fits);
    assert_eq!(charge(100, 10, 10, 40), Charge::Reaches(50));
    assert_eq!(charge(100, 49, 10, 31), Charge::Reaches(80));
    // Half of 15 is less than what was announced; 80 % of it is not.
    assert_eq!(charge(15, 4, 10, 4), Charge::Fits);
    assert_eq!(charge(15, 10, 10, 2), Charge::Reaches(80));
    // 80 of 100 were announced, and the limit is lowered to 90.
    assert_eq!(charge(90, 71, 80, 10), Charge::Fits);
    assert_eq!(charge(90, 80, 80, 10), Charge::Reaches(100));
}

#[test]
fn of_several_refusals_the_one_that_lasts_longest_is_named() {
    let spent = Credits::from_micros(1);
    let standings: Vec<_> =
        all(1).at(key(), at("2026-11-15T00:00:00Z")).map(|budget| Standing { budget, spent }).collect();
    let longest =
        |found: &[Standing]| Standing::longest(found.to_vec()).map(|one| one.budget.counter.period());
    assert_eq!(longest(&standings), Some(Period::Total));
    assert_eq!(longest(&standings[..2]), Some(Period::Month));
    assert_eq!(longest(&[]), None);
}

/// A submit or the refund of an earlier charge, some time later.
#[derive(Debug, Clone)]
enum Step {
    Submit { price: u64 },
    Refund { charge: usize, part: u64 },
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let submit = (1..40_u64).prop_map(|price| Step::Submit { price });
    let refund = (0..100_usize, 0..40_u64).prop_map(|(charge, part)| Step::Refund { charge, part });
    prop::collection::vec((0..200_000_i64, prop_oneof![3 => submit, 1 => refund]), 1..80)
}

proptest! {
    /// Each counter is what was charged in its period less what of that was refunded, however late, and is
    /// never above the limit.
    #[test]
    fn a_counter_is_the_charges_of_its_period_less_their_refunds(steps in steps(), limit in 1..200_u64) {
        let mut counters: BTreeMap<Counter, Spent> = BTreeMap::new();
        let mut jobs: Vec<(Timestamp, u64, u64)> = Vec::new();
        let mut now = at("2026-11-29T22:00:00Z");
        for (pause, step) in steps {
            now = now + Duration::from_secs(u64::try_from(pause).unwrap());
            match step {
                Step::Submit { price } => {
                    let budgets: Vec<_> = all(limit).at(key(), now).collect();
                    let from = |budget: &Budget| counters.get(&budget.counter).copied().unwrap_or_default();
                    let charge = |budget| Budget::charge(budget, from(budget), Credits::from_micros(price));
                    let charges: Vec<_> = budgets.iter().map(charge).collect();
                    if charges.contains(&Charge::Exceeds) {
                        continue;
                    }
                    for (budget, charge) in budgets.into_iter().zip(charges) {
                        let share = |mark| budget.share(mark);
                        let counter = counters.entry(budget.counter.clone()).or_default();
                        counter.spent = counter.spent.checked_add(Credits::from_micros(price)).unwrap();
                        if let Charge::Reaches(mark) = charge {
                            prop_assert!(share(mark) > counter.announced);
                            counter.announced = share(mark);
                        }
                    }
                    jobs.push((now, price, 0));
                }
                Step::Refund { charge, part } => {
                    let Some((charged_at, price, refunded)) = jobs.get_mut(charge) else { continue };
                    if *refunded > 0 {
                        continue;
                    }
                    *refunded = part.min(*price);
                    for budget in all(limit).at(key(), *charged_at) {
                        let counter = counters.get_mut(&budget.counter).unwrap();
                        counter.spent = counter.spent.less(Credits::from_micros(*refunded));
                    }
                }
            }
        }
        for (counter, spent) in &counters {
            let of_period = jobs.iter().filter(|(at, ..)| {
                all(1).at(key(), *at).any(|budget| budget.counter == *counter)
            });
            let sum: u64 = of_period.map(|(_, price, refunded)| price - refunded).sum();
            prop_assert_eq!(spent.spent.micros(), sum, "{}", counter);
            prop_assert!(sum <= limit);
        }
    }
}
