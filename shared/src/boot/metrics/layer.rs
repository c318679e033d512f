//! Collects the values of an invocation from its events.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Dimension, Metric, TABLE};

/// The span of one invocation, as `edge` names it.
const INVOCATION: &str = "invocation";
/// Where the value of a dimension is not known.
const NONE: &str = "none";

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The index of its metric in the table.
    pub metric: usize,
    /// The value of the metric's dimension.
    pub label: String,
    pub value: f64,
}

/// The values of one invocation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    pub request_id: String,
    /// The deployed name of the function: that of the stack, a hyphen, and its own.
    pub function: String,
    pub values: Vec<Value>,
}

impl Batch {
    /// The names of the stack and of the function.
    pub fn names(&self) -> (&str, &str) {
        self.function.rsplit_once('-').unwrap_or(("", &self.function))
    }
}

/// Takes the values of an invocation that has ended.
pub trait Sink: Send + Sync + 'static {
    fn take(&self, batch: Batch);
}

/// Reads the events of each invocation, and gives their values to a sink at its end.
#[derive(Debug)]
pub struct Metrics<S>(pub S);

impl<S: Sink, R: Subscriber + for<'a> LookupSpan<'a>> Layer<R> for Metrics<S> {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, R>,
    ) {
        if attributes.metadata().name() == INVOCATION
            && let Some(span) = context.span(id)
        {
            let mut fields = Fields::of(&["request_id", "function"]);
            attributes.record(&mut fields);
            let text = |name| fields.get(name).map(Found::text).unwrap_or_default();
            let (request_id, function) = (text("request_id"), text("function"));
            span.extensions_mut().replace(Batch { request_id, function, values: Vec::new() });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, R>) {
        let mut name = Fields::of(&["message"]);
        event.record(&mut name);
        let name = name.get("message").map(Found::text).unwrap_or_default();
        let mut metrics = TABLE.iter().enumerate().filter(|(_, metric)| metric.event == name).peekable();
        if metrics.peek().is_none() {
            return;
        }
        let invocation =
            context.event_scope(event).into_iter().flatten().find(|span| span.name() == INVOCATION);
        let Some(invocation) = invocation else { return };
        let mut extensions = invocation.extensions_mut();
        let Some(batch) = extensions.get_mut::<Batch>() else { return };
        let mut fields = Fields::of(&[]);
        event.record(&mut fields);
        for (index, metric) in metrics {
            let Some(value) = fields.value_of(metric) else { continue };
            let label = match metric.by {
                Dimension::Function => batch.names().1.to_owned(),
                by => fields.get(by.name()).map_or_else(|| NONE.to_owned(), Found::text),
            };
            batch.values.push(Value { metric: index, label, value });
        }
    }

    fn on_close(&self, id: tracing::Id, context: Context<'_, R>) {
        let Some(span) = context.span(&id).filter(|span| span.name() == INVOCATION) else { return };
        let batch = span.extensions_mut().remove::<Batch>();
        if let Some(batch) = batch.filter(|batch| !batch.values.is_empty()) {
            self.0.take(batch);
        }
    }
}

/// What a field has.
enum Found {
    Number(f64),
    Text(String),
}

impl Found {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Fields of an event: those of these names, or all.
struct Fields {
    names: &'static [&'static str],
    found: Vec<(&'static str, Found)>,
}

impl Fields {
    const fn of(names: &'static [&'static str]) -> Self {
        Self { names, found: Vec::new() }
    }

    fn get(&self, name: &str) -> Option<&Found> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, found)| found)
    }

    /// The value that a metric takes from this event, if it takes one.
    fn value_of(&self, metric: &Metric) -> Option<f64> {
        let fits = |(name, values): &(&str, &[&str])| {
            self.get(name).is_some_and(|found| values.contains(&found.text().as_str()))
        };
        if !metric.only.iter().all(fits) {
            return None;
        }
        let Some(field) = metric.field else { return Some(1.0) };
        match self.get(field)? {
            Found::Number(number) => Some(*number),
            Found::Text(_) => None,
        }
    }

    fn add(&mut self, field: &Field, found: impl FnOnce() -> Found) {
        if self.names.is_empty() || self.names.contains(&field.name()) {
            self.found.push((field.name(), found()));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, || Found::Number(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, || Found::Number(value as f64));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, || Found::Number(value as f64));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, || Found::Number(value as f64));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, || Found::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, || Found::Text(format!("{value:?}")));
    }
}
