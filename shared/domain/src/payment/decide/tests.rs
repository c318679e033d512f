use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::payment::purchase::New;
use crate::payment::{Method, Mode, Processor};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Of 1,500 yen: a third of the credits is no whole number of micro-credits.
fn purchase() -> Purchase {
    let new = New {
        id: "top_a".parse().unwrap(),
        account: "acct_a".parse().unwrap(),
        processor: Processor::Stripe,
        method: Method::Hosted,
        mode: Mode::Live,
        price: money(1_500),
        credits: Credits::from_micros(1_000_000_000),
        pack: None,
        return_url: None,
        digest: String::new(),
    };
    Purchase::new(new, NOW)
}

fn money(minor: u64) -> Money {
    Money { minor, currency: "JPY".parse().unwrap() }
}

fn opened() -> Fact {
    Fact::Opened(Session { id: "cs_1".to_owned(), url: None, pix: None })
}

fn paid() -> Fact {
    paid_as(money(1_500))
}

fn paid_as(amount: Money) -> Fact {
    Fact::Paid { payment: "pi_1".to_owned(), amount, receipt_url: None }
}

fn refund(number: u8, amount: u64) -> Fact {
    Fact::Withdrawn { id: format!("re_{number}"), cause: Cause::Refund, amount }
}

fn dispute(amount: u64) -> Fact {
    Fact::Withdrawn { id: "dp_1".to_owned(), cause: Cause::Dispute, amount }
}

fn returned(id: &str) -> Fact {
    Fact::Returned { id: id.to_owned() }
}

fn failed() -> Fact {
    Fact::Failed { code: "declined".to_owned() }
}

/// The purchase after some facts, with the lines that they wrote.
fn after(facts: &[Fact]) -> (Purchase, Vec<Entry>) {
    let (mut purchase, mut lines) = (purchase(), Vec::new());
    for fact in facts {
        if let Decision::Move(transition) = purchase.decide(fact, NOW) {
            assert_eq!(transition.before(), purchase.version());
            lines.extend(transition.entry().cloned());
            purchase = transition.after().clone();
        }
    }
    (purchase, lines)
}

#[test]
fn the_machine_is_as_the_table_says() {
    let before: [(&str, &[Fact]); 12] = [
        ("created", &[]),
        ("pending", &[opened()]),
        ("processing", &[opened(), Fact::Processing]),
        ("paid", &[opened(), paid()]),
        ("paid, 500 refunded", &[paid(), refund(1, 500)]),
        ("expired", &[Fact::Expired]),
        ("failed", &[failed()]),
        ("refunded", &[paid(), refund(1, 1_500)]),
        ("disputed", &[paid(), dispute(1_500)]),
        ("disputed, 500 refunded", &[paid(), refund(1, 500), dispute(1_000)]),
        ("reinstated", &[paid(), dispute(1_500), returned("dp_1")]),
        ("reinstated by refund 1", &[paid(), refund(1, 500), returned("re_1")]),
    ];
    let facts: [(&str, Fact); 12] = [
        ("opened", opened()),
        ("processing", Fact::Processing),
        ("paid", paid()),
        ("paid otherwise", paid_as(money(1_499))),
        ("failed", failed()),
        ("expired", Fact::Expired),
        ("refund 1 of 500", refund(1, 500)),
        ("refund 2 of 500", refund(2, 500)),
        ("refund 2 of all", refund(2, 1_500)),
        ("refund 1 back", returned("re_1")),
        ("dispute of all", dispute(1_500)),
        ("dispute back", returned("dp_1")),
    ];
    let mut table = String::new();
    for (name, facts_before) in before {
        let (purchase, _) = after(facts_before);
        writeln!(table, "{name}").unwrap();
        for (fact_name, fact) in &facts {
            let next = match purchase.decide(fact, NOW) {
                Decision::Stay => continue,
                Decision::Mismatch => "mismatch".to_owned(),
                Decision::Move(transition) => {
                    let entry = transition.entry();
                    let entry = entry.map(|entry| format!("{} {}", entry.name(), entry.amount()));
                    let status = transition.after().status().name();
                    format!(
                        "{status:<11} {:<24} {}",
                        entry.unwrap_or_default(),
                        transition.event().unwrap_or_default()
                    )
                }
            };
            writeln!(table, "    {fact_name:<16} {}", next.trim_end()).unwrap();
        }
    }
    let expected = include_str!("table.txt");
    let (_, expected) = expected.split_once("\n\n").unwrap();
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn a_purchase_is_asked_about_until_its_deadline_and_daily_while_its_money_is_on_its_way() {
    let minutes = |at: Option<Timestamp>| at.map(|at| at.since(NOW).as_secs() / 60);
    let open = purchase();
    let mut checks = Vec::new();
    let mut now = NOW;
    for _ in 0..3 {
        now = open.next_check(now).unwrap();
        checks.push(minutes(Some(now)).unwrap());
    }
    assert_eq!(checks, [15, 60, 24 * 60]);
    assert_eq!(minutes(Some(open.deadline())), Some(24 * 60));
    let days = |days: u64| NOW + std::time::Duration::from_secs(days * 86_400);
    assert!(!open.is_given_up(days(7)) && open.is_given_up(days(8)));
    let (waiting, _) = after(&[opened(), Fact::Processing]);
    assert_eq!(minutes(waiting.next_check(days(2))), Some(3 * 24 * 60), "the money is on its way");
    assert_eq!(waiting.deadline(), days(30));
    assert_eq!(waiting.next_check(days(29)), Some(days(30)));
    let (paid, _) = after(&[paid()]);
    assert_eq!(paid.next_check(NOW), None, "its processor lists events");
    let pix = Purchase { processor: Processor::Abacatepay, ..paid };
    assert_eq!(minutes(pix.next_check(NOW)), Some(24 * 60));
    assert_eq!(pix.next_check(days(86)), None);
    assert!(!pix.is_given_up(days(13)) && pix.is_given_up(days(14)), "no answer to the check of the 7th day");
    assert!(!pix.is_given_up(days(36)) && pix.is_given_up(days(37)), "nor to that of the 30th");
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let refunds =
        (1..5_u8).prop_map(|number| refund(number, [100, 400, 500, 1_500][usize::from(number) - 1]));
    let back = prop_oneof![Just("re_1"), Just("re_3"), Just("dp_1")].prop_map(returned);
    let one = prop_oneof![
        2 => Just(opened()),
        4 => Just(paid()),
        1 => Just(failed()),
        1 => Just(Fact::Processing),
        1 => Just(Fact::Expired),
        4 => refunds,
        2 => Just(dispute(1_500)),
        3 => back,
    ];
    proptest::collection::vec(one, 0..24)
}

/// The sum of the lines: what the purchase leaves in the account.
fn left(lines: &[Entry]) -> i128 {
    lines.iter().map(Entry::effect).sum()
}

proptest! {
    /// Any order, repeats and losses: the lines of a purchase always add up to the share that is not out.
    #[test]
    fn the_books_are_equal_after_any_facts(facts in facts()) {
        let (purchase, lines) = after(&facts);
        let granted = purchase.payment().map_or(0, |_| i128::from(purchase.credits().micros()));
        let out = i128::from(purchase.taken_back().micros());
        prop_assert_eq!(left(&lines), granted - if purchase.payment().is_some() { out } else { 0 });
        let mut keys: Vec<_> = lines.iter().map(|line| (line.name(), line.id().map(str::to_owned))).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), count, "a line was written twice");
    }

    /// Once the processor was asked about everything, it does not matter what came before.
    #[test]
    fn the_same_facts_end_the_same_in_any_order(facts in facts(), seed in any::<u64>()) {
        let mut all = vec![paid()];
        all.extend(facts.iter().filter(|fact| matches!(fact, Fact::Withdrawn { .. })).cloned());
        all.extend(facts.iter().filter(|fact| matches!(fact, Fact::Returned { .. })).cloned());
        let mut shuffled = facts;
        let length = shuffled.len().max(1);
        shuffled.rotate_left(usize::try_from(seed).unwrap_or(0) % length);
        shuffled.extend(all.clone());
        let ((one, lines), (other, others)) = (after(&all), after(&shuffled));
        prop_assert_eq!(one.status(), other.status());
        prop_assert_eq!(one.withdrawals(), other.withdrawals());
        prop_assert_eq!(left(&lines), left(&others));
    }
}
