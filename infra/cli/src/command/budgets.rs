//! Budgets on the command line: `--budget PERIOD=CREDITS`, and what is spent of them.

use clap::Args;
use domain::budget::{Budgets, Period, Standing};
use domain::credit::Credits;
use serde_json::Value;

use super::credits;

/// The budgets that an option sets.
#[derive(Debug, Clone, Args)]
pub(super) struct BudgetArgs {
    /// The most credits that may be charged, less refunds, in a `day` or `month` of UTC or in `total`; beyond it,
    /// submissions are rejected with 402. Repeat it for several periods. It counts from when it is set.
    #[arg(long = "budget", value_name = "PERIOD=CREDITS", value_parser = budget, group = "settings")]
    budgets: Vec<(Period, Credits)>,
}

impl BudgetArgs {
    pub(super) fn budgets(&self) -> Budgets {
        let mut budgets = Budgets::default();
        for (period, limit) in &self.budgets {
            budgets.set(*period, *limit);
        }
        budgets
    }
}

/// Parses `month=100`.
fn budget(text: &str) -> Result<(Period, Credits), String> {
    let wrong = || "must be day=CREDITS, month=CREDITS or total=CREDITS".to_owned();
    let (name, amount) = text.split_once('=').ok_or_else(wrong)?;
    let period = Period::ALL.into_iter().find(|period| period.name() == name).ok_or_else(wrong)?;
    Ok((period, credits::amount(amount)?))
}

/// One line for each budget.
pub(super) fn lines(standings: &[Standing]) -> String {
    standings.iter().map(|standing| format!("budget     {standing}\n")).collect()
}

pub(super) fn json(standings: &[Standing]) -> Vec<Value> {
    standings.iter().map(Standing::json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_period_and_an_amount() {
        assert_eq!(budget("month=2.5"), Ok((Period::Month, Credits::from_micros(2_500_000))));
        for text in ["", "month", "month=", "week=1", "day=-1", "total=x", "day=0"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
