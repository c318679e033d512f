//! Budgets on the command line: `--budget PERIOD=CREDITS`, and what is spent of them.

use clap::Args;
use domain::budget::{Budgets, Period, Standing};
use domain::credit::Credits;
use serde_json::{Value, json};

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

/// The limits on one line: `day=100 total=2000`.
pub(super) fn limits(budgets: Budgets) -> String {
    let limits = Period::ALL.into_iter().filter_map(|period| Some((period, budgets.limit(period)?)));
    let limits: Vec<_> = limits.map(|(period, limit)| format!("{}={limit}", period.name())).collect();
    if limits.is_empty() { "none".to_owned() } else { limits.join(" ") }
}

/// Adds the limits to an object; `null` for none.
pub(super) fn add_limits(json: &mut Value, budgets: Budgets) {
    for period in Period::ALL {
        json[format!("budget_{}_micro_credits", period.name())] = json!(budgets.limit(period));
    }
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
    fn limits_are_shown_by_period_and_none_is_said() {
        let month = Budgets { month: Some(Credits::from_micros(2_500_000)), ..Budgets::default() };
        assert_eq!((limits(month).as_str(), limits(Budgets::default()).as_str()), ("month=2.5", "none"));
        let mut json = json!({"id": 1});
        add_limits(&mut json, month);
        let all = json!({
            "id": 1, "budget_day_micro_credits": null, "budget_month_micro_credits": 2_500_000,
            "budget_total_micro_credits": null,
        });
        assert_eq!(json, all);
    }

    #[test]
    fn a_budget_is_a_period_and_an_amount() {
        assert_eq!(budget("month=2.5"), Ok((Period::Month, Credits::from_micros(2_500_000))));
        for text in ["", "month", "month=", "week=1", "day=-1", "total=x", "day=0"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
