//! A provider's bill against the attempts on record: every remote job that was billed belongs to an attempt, at
//! the cost on record, and every attempt that was billed is on the bill.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::attempt::{Attempt, Phase};
use super::credit::MicroUsd;
use super::id::{JobId, RemoteJob};
use super::job::{Job, State};
use super::time::Timestamp;
use super::verdict::Billed;

/// The most that one remote job can cost. A larger amount on a bill is in another unit.
pub const COST_MAX: MicroUsd = MicroUsd(100_000_000_000);

/// One line of a bill, or of a provider's list of what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the bill, for people: the line of a file, or the number in a list.
    pub number: usize,
    /// The remote job's id.
    pub remote: String,
    /// As exact as the bill says it: a moment, or a whole day.
    pub at: Option<Period>,
    /// What was billed; `None` in a list without amounts.
    pub cost: Option<MicroUsd>,
}

/// An attempt that a bill may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub job: JobId,
    pub attempt: u8,
    /// The name of its route.
    pub route: String,
    pub remote: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// The cost on record: reported by the provider, or the catalogue's.
    pub cost: MicroUsd,
    pub billed: Billed,
    pub outcome: Outcome,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may still change.
    Open,
    /// It finished, and its job was not refunded.
    Result,
    /// It brought no result, or its job was refunded.
    Nothing,
}

impl Known {
    /// `None` for an attempt whose remote job is not known: no bill names it.
    pub fn of(job: &Job, attempt: &Attempt) -> Option<Self> {
        let RemoteJob { id, .. } = attempt.remote.as_ref()?;
        let is_refunded = matches!(job.state(), State::Failed | State::Canceled);
        let outcome = match attempt.phase {
            phase if phase.is_open() => Outcome::Open,
            Phase::Finished if !is_refunded => Outcome::Result,
            _ => Outcome::Nothing,
        };
        Some(Self {
            job: job.id().clone(),
            attempt: attempt.number,
            route: attempt.route.clone(),
            remote: id.clone(),
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            cost: attempt.cost.unwrap_or_default(),
            billed: attempt.billed,
            outcome,
        })
    }
}

/// A period: from the first time on, and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Period {
    /// One moment.
    pub fn at(moment: Timestamp) -> Self {
        Self { since: moment, until: moment + Duration::from_millis(1) }
    }

    /// The day that begins then.
    pub fn day(start: Timestamp) -> Self {
        Self { since: start, until: start + Duration::from_secs(24 * 3_600) }
    }

    pub fn has(&self, at: Timestamp) -> bool {
        self.since <= at && at < self.until
    }

    /// Whether a line is of it: if a part of the line's day is, and if the line has no time.
    pub fn has_line(&self, line: &Line) -> bool {
        line.at.is_none_or(|at| at.since < self.until && self.since < at.until)
    }

    /// Whether an attempt ran from its start to its end within it: its line is on no other bill.
    fn holds(&self, known: &Known) -> bool {
        self.has(known.started_at) && known.ended_at.is_some_and(|at| self.has(at))
    }
}

/// What does not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Billed, and no attempt has this remote job.
    UnknownRemoteJob,
    /// The remote job is on the bill already.
    BilledTwice,
    /// Billed, and it brought no result or its job was refunded.
    BilledWithoutResult,
    /// Billed at another amount than the one on record.
    CostDiffers,
    /// On record as billed, and not on the bill.
    NotBilled,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::UnknownRemoteJob,
        Self::BilledTwice,
        Self::BilledWithoutResult,
        Self::CostDiffers,
        Self::NotBilled,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownRemoteJob => "unknown_remote_job",
            Self::BilledTwice => "billed_twice",
            Self::BilledWithoutResult => "billed_without_result",
            Self::CostDiffers => "cost_differs",
            Self::NotBilled => "not_billed",
        }
    }
}

/// One thing that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub remote: String,
    /// The line of the bill.
    pub line: Option<usize>,
    /// The job and the number of its attempt.
    pub attempt: Option<(JobId, u8)>,
    pub billed: Option<MicroUsd>,
    pub recorded: Option<MicroUsd>,
}

impl Finding {
    /// How much money it is about: of a cost that differs the difference, else the amount, if the line has one.
    pub fn sum(&self) -> MicroUsd {
        let [billed, recorded] = [self.billed, self.recorded].map(Option::unwrap_or_default);
        match self.kind {
            Kind::CostDiffers => MicroUsd(billed.0.abs_diff(recorded.0)),
            Kind::NotBilled => recorded,
            Kind::UnknownRemoteJob | Kind::BilledTwice | Kind::BilledWithoutResult => billed,
        }
    }
}

/// A bill compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Lines of the bill in the period.
    pub lines: usize,
    /// Their sum.
    pub billed: MicroUsd,
    /// How many remote jobs of the bill belong to an attempt.
    pub matched: usize,
    /// The sum of the costs on record of those, as far as their lines have amounts.
    pub recorded: MicroUsd,
    /// Lines without an amount: of them, only what exists is compared.
    pub unpriced: usize,
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Number and sum of the findings of one kind.
    pub fn of(&self, kind: Kind) -> (usize, MicroUsd) {
        let found = self.findings.iter().filter(|it| it.kind == kind);
        (found.clone().count(), sum(found.map(Finding::sum)))
    }
}

/// Compares the lines of a bill that are in the period, or have no time, with the attempts that it may be about.
/// Costs that differ by up to `tolerance` agree. Of the attempts, only those that began and ended in the period
/// must be on the bill.
pub fn compare(bill: &[Line], known: &[Known], period: Period, tolerance: MicroUsd) -> Comparison {
    let lines: Vec<&Line> = bill.iter().filter(|line| period.has_line(line)).collect();
    let of_remote: HashMap<&str, &Known> = known.iter().map(|known| (&*known.remote, known)).collect();
    let (mut seen, mut matched, mut findings) = (HashSet::new(), Vec::new(), Vec::new());
    for line in &lines {
        let known = of_remote.get(&*line.remote).copied();
        let kind = if seen.insert(&*line.remote) {
            matched.extend(known.map(|known| line.cost.and(Some(known.cost))));
            verdict(line, known, tolerance)
        } else {
            Some(Kind::BilledTwice)
        };
        findings.extend(kind.map(|kind| finding(kind, Some(line), known)));
    }
    let is_missing =
        |known: &&Known| known.billed == Billed::Yes && period.holds(known) && !seen.contains(&*known.remote);
    findings.extend(known.iter().filter(is_missing).map(|known| finding(Kind::NotBilled, None, Some(known))));
    findings.sort_by_key(|finding| finding.kind);
    Comparison {
        lines: lines.len(),
        billed: sum(lines.iter().filter_map(|line| line.cost)),
        matched: matched.len(),
        recorded: sum(matched.into_iter().flatten()),
        unpriced: lines.iter().filter(|line| line.cost.is_none()).count(),
        findings,
    }
}

/// What is wrong with the first line of a remote job.
fn verdict(line: &Line, known: Option<&Known>, tolerance: MicroUsd) -> Option<Kind> {
    let Some(known) = known else { return Some(Kind::UnknownRemoteJob) };
    let billed = line.cost?;
    match known.outcome {
        Outcome::Nothing if billed > tolerance => Some(Kind::BilledWithoutResult),
        Outcome::Result if billed.0.abs_diff(known.cost.0) > tolerance.0 => Some(Kind::CostDiffers),
        Outcome::Open | Outcome::Result | Outcome::Nothing => None,
    }
}

fn finding(kind: Kind, line: Option<&Line>, known: Option<&Known>) -> Finding {
    let remote = line.map(|line| &line.remote).or(known.map(|known| &known.remote));
    Finding {
        kind,
        remote: remote.cloned().unwrap_or_default(),
        line: line.map(|line| line.number),
        attempt: known.map(|known| (known.job.clone(), known.attempt)),
        billed: line.and_then(|line| line.cost),
        recorded: known.map(|known| known.cost),
    }
}

fn sum(costs: impl Iterator<Item = MicroUsd>) -> MicroUsd {
    MicroUsd(costs.fold(0, |sum, cost| sum.saturating_add(cost.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Period = Period { since: Timestamp::from_secs(1_000), until: Timestamp::from_secs(2_000) };

    fn line(number: usize, remote: &str, at: i64, cost: impl Into<Option<u64>>) -> Line {
        let cost = cost.into().map(MicroUsd);
        let at = Some(Period::at(Timestamp::from_secs(at)));
        Line { number, remote: remote.to_owned(), at, cost }
    }

    /// An attempt that succeeded for 400,000 micro-dollars.
    fn known(remote: &str, from: i64, to: i64) -> Known {
        Known {
            job: JobId::from_bytes([1; 16]),
            attempt: 1,
            route: "fal/a/b".to_owned(),
            remote: remote.to_owned(),
            started_at: Timestamp::from_secs(from),
            ended_at: Some(Timestamp::from_secs(to)),
            cost: MicroUsd(400_000),
            billed: Billed::Yes,
            outcome: Outcome::Result,
        }
    }

    fn failed(remote: &str) -> Known {
        Known { billed: Billed::Unknown, outcome: Outcome::Nothing, ..known(remote, 1_100, 1_200) }
    }

    fn running(remote: &str) -> Known {
        let billed = Billed::Unknown;
        Known { ended_at: None, billed, outcome: Outcome::Open, ..known(remote, 1_100, 1_200) }
    }

    /// The findings as kind, line and sum.
    fn found(bill: &[Line], known: &[Known]) -> Vec<(&'static str, Option<usize>, u64)> {
        let compared = compare(bill, known, PERIOD, MicroUsd(1));
        compared.findings.iter().map(|it| (it.kind.name(), it.line, it.sum().0)).collect()
    }

    #[test]
    fn each_line_is_one_attempts_at_its_cost_or_a_finding() {
        let ours = [known("a", 1_100, 1_200)];
        for (bill, want) in [
            (vec![line(2, "a", 1_100, 400_000)], vec![]),
            (vec![line(2, "a", 1_100, 400_001)], vec![]),
            (vec![line(2, "a", 1_100, None)], vec![]),
            (vec![line(2, "a", 1_100, 350_000)], vec![("cost_differs", Some(2), 50_000)]),
            (vec![line(2, "a", 1_100, 400_002)], vec![("cost_differs", Some(2), 2)]),
            (
                vec![line(2, "a", 1_100, 400_000), line(3, "b", 1_100, 70_000)],
                vec![("unknown_remote_job", Some(3), 70_000)],
            ),
            (
                vec![line(2, "a", 1_100, 400_000), line(3, "b", 1_100, None)],
                vec![("unknown_remote_job", Some(3), 0)],
            ),
            (
                vec![line(2, "a", 1_100, 400_000), line(3, "a", 1_100, 400_000)],
                vec![("billed_twice", Some(3), 400_000)],
            ),
            (vec![], vec![("not_billed", None, 400_000)]),
            // Of another bill.
            (vec![line(2, "a", 1_100, 400_000), line(3, "b", 2_000, 1)], vec![]),
            (vec![line(2, "a", 999, 400_000)], vec![("not_billed", None, 400_000)]),
        ] {
            assert_eq!(found(&bill, &ours), want, "{bill:?}");
        }
    }

    #[test]
    fn what_brought_no_result_is_found_if_it_is_billed_and_what_runs_is_not() {
        let bill = |cost: u64| vec![line(2, "a", 1_100, cost)];
        assert_eq!(found(&bill(300_000), &[failed("a")]), [("billed_without_result", Some(2), 300_000)]);
        assert_eq!(found(&bill(0), &[failed("a")]), []);
        assert_eq!(found(&[], &[failed("a")]), [], "that its bill is unknown is on record");
        assert_eq!(found(&bill(300_000), &[running("a")]), []);
        assert_eq!(found(&[], &[running("a")]), []);
    }

    #[test]
    fn an_attempt_must_be_on_the_bill_if_all_of_it_is_in_the_period() {
        for (from, to, is_missing) in [(1_000, 1_999, true), (999, 1_500, false), (1_500, 2_000, false)] {
            assert_eq!(found(&[], &[known("a", from, to)]).len(), usize::from(is_missing), "{from} to {to}");
            // On the bill, it is known all the same.
            assert_eq!(found(&[line(2, "a", 1_500, 400_000)], &[known("a", from, to)]), []);
        }
    }

    /// The day of a line is in the period if any part of it is: which part was billed is not known.
    #[test]
    fn a_line_of_a_day_is_of_each_period_that_the_day_is_partly_in() {
        let of_day = |start: i64| {
            let at = Some(Period::day(Timestamp::from_secs(start)));
            Line { at, ..line(2, "a", 0, 400_000) }
        };
        let ours = [known("a", 1_100, 1_200)];
        for start in [1_000 - 86_399, 0, 1_999] {
            assert_eq!(found(&[of_day(start)], &ours), [], "{start}");
        }
        for start in [1_000 - 86_400, 2_000] {
            assert_eq!(found(&[of_day(start)], &ours), [("not_billed", None, 400_000)], "{start}");
        }
    }

    #[test]
    fn sums_are_of_the_lines_of_the_period_and_of_what_they_belong_to() {
        let bill = [line(2, "a", 1_100, 400_000), line(3, "b", 1_200, 10), line(4, "c", 2_500, 7)];
        let compared =
            compare(&bill, &[known("a", 1_100, 1_200), known("d", 1_100, 1_200)], PERIOD, MicroUsd(0));
        assert_eq!((compared.lines, compared.billed.0), (2, 400_010));
        assert_eq!((compared.matched, compared.recorded.0, compared.unpriced), (1, 400_000, 0));
        assert_eq!(compared.of(Kind::UnknownRemoteJob), (1, MicroUsd(10)));
        assert_eq!(compared.of(Kind::NotBilled), (1, MicroUsd(400_000)));
    }

    /// The cost of such a line is in neither sum: else what was not compared would seem to agree.
    #[test]
    fn lines_without_an_amount_are_counted_and_are_no_part_of_the_sums() {
        let ours = [known("a", 1_100, 1_200), known("b", 1_100, 1_200)];
        let priced = line(2, "a", 1_100, 400_000);
        let bill = [priced, line(3, "b", 1_100, None), line(4, "b", 1_100, None), line(5, "c", 2_500, None)];
        let compared = compare(&bill, &ours, PERIOD, MicroUsd(0));
        assert_eq!((compared.lines, compared.unpriced, compared.matched), (3, 2, 2));
        assert_eq!((compared.billed.0, compared.recorded.0), (400_000, 400_000));
        assert_eq!(found(&bill, &ours), [("billed_twice", Some(4), 0)]);
    }
}
