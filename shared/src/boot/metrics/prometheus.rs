//! Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Batch, Kind, Sink, TABLE};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of all histograms, in seconds.
const BOUNDS: [f64; 15] =
    [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1_800.0, 7_200.0];

/// One metric with its samples.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    /// What follows the name of the metric: `_bucket`, `_sum` or `_count` of a histogram.
    pub suffix: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, help, samples } = self;
        writeln!(f, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"))?;
        writeln!(f, "# TYPE {name} {kind}")?;
        for Sample { suffix, labels, value } in samples {
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(f, "{name}{suffix}{labels} {value}")?;
        }
        Ok(())
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Sums since the start of the process, in the units of the table. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Exposition(Arc<Mutex<BTreeMap<(usize, String), Series>>>);

/// The values of one metric and label.
#[derive(Debug, Clone, Default)]
struct Series {
    /// The sum, or the latest value.
    value: f64,
    count: u64,
    /// Values up to each bound, and not up to the one before.
    buckets: [u64; BOUNDS.len()],
}

impl Exposition {
    /// That of this process.
    pub fn of_process() -> Self {
        static OF_PROCESS: OnceLock<Exposition> = OnceLock::new();
        OF_PROCESS.get_or_init(Self::default).clone()
    }

    /// All metrics; one without a value has no sample.
    pub fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (index, metric) in TABLE.iter().enumerate() {
            let of_it = all.iter().filter(|((of, _), _)| *of == index);
            let samples = of_it.flat_map(|((_, label), series)| {
                let labels = vec![(metric.by.name(), label.clone())];
                series.samples(metric.kind, &labels, metric.unit.base().1)
            });
            let kind = match metric.kind {
                Kind::Sum => "counter",
                Kind::Spread => "histogram",
                Kind::Latest => "gauge",
            };
            let (name, help) = (metric.prometheus(), metric.means.to_owned());
            let family = Family { name, kind, help, samples: samples.collect() };
            let _infallible = write!(text, "{family}");
        }
        text
    }
}

impl Series {
    /// In base units: `scale` of them are one.
    fn samples(&self, kind: Kind, labels: &[(&'static str, String)], scale: f64) -> Vec<Sample> {
        let sample = |suffix, value| Sample { suffix, labels: labels.to_vec(), value };
        let total = sample("", self.value * scale);
        if kind != Kind::Spread {
            return vec![total];
        }
        let mut below = 0;
        let bucket = |bound: String, count: u64| {
            let labels = labels.iter().cloned().chain([("le", bound)]).collect();
            Sample { suffix: "_bucket", labels, value: whole(count) }
        };
        let mut samples: Vec<_> = BOUNDS
            .iter()
            .zip(self.buckets)
            .map(|(bound, count)| {
                below += count;
                bucket(bound.to_string(), below)
            })
            .collect();
        samples.push(bucket("+Inf".to_owned(), self.count));
        samples.push(sample("_sum", self.value * scale));
        samples.push(sample("_count", whole(self.count)));
        samples
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format has floats alone")]
const fn whole(count: u64) -> f64 {
    count as f64
}

impl Sink for Exposition {
    fn take(&self, batch: Batch) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for value in batch.values {
            let metric = &TABLE[value.metric];
            let series = all.entry((value.metric, value.label)).or_default();
            series.count += 1;
            match metric.kind {
                Kind::Latest => series.value = value.value,
                Kind::Sum => series.value += value.value,
                Kind::Spread => {
                    series.value += value.value;
                    let seconds = value.value * metric.unit.base().1;
                    if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
                        series.buckets[bucket] += 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::metrics::Value;

    #[test]
    fn buckets_count_up_and_money_is_in_whole_units() {
        let exposition = Exposition::default();
        let index = |name: &str| TABLE.iter().position(|metric| metric.name == name).unwrap();
        let value = |name, value| Value { metric: index(name), label: "fetch".to_owned(), value };
        let values = vec![
            value("time_to_done_ms", 40.0),
            value("time_to_done_ms", 9_000_000.0),
            value("cost_micro_usd", 640_000.0),
        ];
        exposition.take(Batch { values, ..Batch::default() });
        let text = exposition.text();
        for line in [
            "# TYPE genmux_time_to_done_seconds histogram",
            "genmux_time_to_done_seconds_bucket{function=\"fetch\",le=\"0.01\"} 0",
            "genmux_time_to_done_seconds_bucket{function=\"fetch\",le=\"7200\"} 1",
            "genmux_time_to_done_seconds_bucket{function=\"fetch\",le=\"+Inf\"} 2",
            "genmux_time_to_done_seconds_sum{function=\"fetch\"} 9000.04",
            "genmux_cost_usd_total{function=\"fetch\"} 0.64",
            "# TYPE genmux_overdue_jobs_seconds gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn texts_are_escaped() {
        let sample = Sample { suffix: "", labels: vec![("a", "\"\\\n".to_owned())], value: 1.0 };
        let family =
            Family { name: "x".to_owned(), kind: "gauge", help: "a\nb".to_owned(), samples: vec![sample] };
        assert_eq!(family.to_string(), "# HELP x a\\nb\n# TYPE x gauge\nx{a=\"\\\"\\\\\\n\"} 1\n");
    }
}
