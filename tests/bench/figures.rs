//! Figures of several runs.

use std::time::Duration;

use domain::policy::rules::percentile;

/// Durations of equal runs.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    pub(crate) fn add(&mut self, figure: Duration) {
        self.0.push(figure);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What these percentages of the runs are at most, in milliseconds; zero without a run.
    pub(crate) fn at<const N: usize>(&self, percents: [usize; N]) -> [f64; N] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        percents.map(|percent| ms(percentile(&sorted, percent).unwrap_or_default()))
    }

    pub(crate) fn median(&self) -> f64 {
        let [median] = self.at([50]);
        median
    }

    /// Lowest, median and highest, in milliseconds.
    pub(crate) fn spread(&self) -> String {
        let [lowest, median, highest] = self.at([0, 50, 100]);
        format!("{lowest:7.2} {median:7.2} {highest:7.2}")
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
