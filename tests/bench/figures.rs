//! Figures of several runs.

use std::time::Duration;

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

    /// The figure that this share of the runs is at most; zero without a run.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        sorted.get(index).copied().unwrap_or_default()
    }

    /// Lowest, median and highest, in milliseconds.
    pub(crate) fn spread(&self) -> String {
        format!("{:7.2} {:7.2} {:7.2}", ms(self.at(0.0)), ms(self.at(0.5)), ms(self.at(1.0)))
    }
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
