//! Metrics: what the events of the log come to. [`TABLE`] names each once; nothing else counts.
//!
//! [`Metrics`] reads the events of each invocation as they are logged, at any `RUST_LOG`, and gives their
//! values to a [`Sink`] when the invocation ends: [`EmfLines`] writes a line that CloudWatch makes metrics
//! of, [`Exposition`] keeps sums for Prometheus. No value has an id of a caller or of a job.

mod emf;
mod layer;
pub mod prometheus;
mod table;

pub use emf::{EmfLines, lines};
pub use layer::{Batch, Metrics, Sink, Value};
pub use prometheus::Exposition;
pub use table::TABLE;

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// In CloudWatch; ends with its unit.
    pub name: &'static str,
    pub unit: Unit,
    pub by: Dimension,
    pub kind: Kind,
    /// The event that it is taken from.
    pub event: &'static str,
    /// Only events whose fields have one of these values.
    pub only: &'static [(&'static str, &'static [&'static str])],
    /// The field with its value; `None` to count events.
    pub field: Option<&'static str>,
    pub means: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Values add up.
    Sum,
    /// Values are kept apart, for percentiles.
    Spread,
    /// The latest value counts.
    Latest,
}

/// What a metric is counted by: the only label that it has. Never an account, a model or a job: each
/// value of a dimension is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Function,
    Provider,
    /// An error class.
    Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Milliseconds,
    Seconds,
    Bytes,
    MicroUsd,
    MicroCredits,
}

impl Dimension {
    /// The name of the dimension, of the label, and of the event's field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Provider => "provider",
            Self::Class => "class",
        }
    }
}

impl Unit {
    /// As CloudWatch names it; it knows no money.
    pub const fn cloudwatch(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
            Self::Bytes => "Bytes",
            Self::MicroUsd | Self::MicroCredits => "None",
        }
    }

    /// The end of a metric's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Milliseconds => "_ms",
            Self::Seconds => "_s",
            Self::Bytes => "_bytes",
            Self::MicroUsd => "_micro_usd",
            Self::MicroCredits => "_micro_credits",
        }
    }

    /// The unit that Prometheus wants instead, as the end of a name, and how many of them this is.
    const fn base(self) -> (&'static str, f64) {
        match self {
            Self::Count => ("", 1.0),
            Self::Milliseconds => ("_seconds", 1e-3),
            Self::Seconds => ("_seconds", 1.0),
            Self::Bytes => ("_bytes", 1.0),
            Self::MicroUsd => ("_usd", 1e-6),
            Self::MicroCredits => ("_credits", 1e-6),
        }
    }
}

impl Metric {
    /// The number of events.
    const fn count(name: &'static str, event: &'static str, means: &'static str) -> Self {
        let (by, kind) = (Dimension::Function, Kind::Sum);
        Self { name, unit: Unit::Count, by, kind, event, only: &[], field: None, means }
    }

    /// With the values of a field instead.
    const fn of(self, field: &'static str, unit: Unit, kind: Kind) -> Self {
        Self { field: Some(field), unit, kind, ..self }
    }

    const fn by(self, by: Dimension) -> Self {
        Self { by, ..self }
    }

    const fn only(self, only: &'static [(&'static str, &'static [&'static str])]) -> Self {
        Self { only, ..self }
    }

    /// Its name in Prometheus, in base units.
    pub fn prometheus(&self) -> String {
        let stem = self.name.strip_suffix(self.unit.suffix()).unwrap_or(self.name);
        let end = if self.kind == Kind::Sum { "_total" } else { "" };
        format!("genmux_{stem}{}{end}", self.unit.base().0)
    }
}
