//! CloudWatch's embedded metric format: a line of the log that becomes metrics.

use std::collections::BTreeMap;
use std::io::{Write, stdout};

use serde_json::{Map, Value as Json, json};

use super::{Batch, Dimension, Kind, Sink, TABLE};
use crate::boot::Clock;
use domain::time::Timestamp;

/// Values of one metric in one line.
const VALUES_MAX: usize = 100;

/// Writes the lines of each invocation to standard output.
#[derive(Debug)]
pub struct EmfLines(pub Clock);

impl Sink for EmfLines {
    fn take(&self, batch: Batch) {
        let text: String = lines(&batch, self.0.now()).iter().map(|line| format!("{line}\n")).collect();
        // Without a reader there is no log either.
        let _closed = stdout().lock().write_all(text.as_bytes());
    }
}

/// The lines of an invocation. Most need one: another follows for each further value of a dimension and
/// for more than 100 values of a metric.
pub fn lines(batch: &Batch, now: Timestamp) -> Vec<Json> {
    let mut open: Vec<Line> = Vec::new();
    for (index, label, values) in grouped(batch) {
        let metric = &TABLE[index];
        let chunks: Vec<_> = match metric.kind {
            Kind::Sum => vec![json!(values.iter().sum::<f64>())],
            Kind::Latest => vec![json!(values.last())],
            Kind::Spread => values.chunks(VALUES_MAX).map(|values| json!(values)).collect(),
        };
        for chunk in chunks {
            let fits = |line: &&mut Line| line.has_room(metric.by, &label, metric.name);
            let line = match open.iter_mut().find(fits) {
                Some(line) => line,
                None => {
                    open.push(Line::default());
                    open.last_mut().expect("one was added")
                }
            };
            line.labels.insert(metric.by, label.clone());
            line.metrics.push((index, chunk));
        }
    }
    open.iter().map(|line| line.render(batch, now)).collect()
}

/// The values of each metric and label, in the order of the table.
fn grouped(batch: &Batch) -> impl Iterator<Item = (usize, String, Vec<f64>)> {
    let mut groups: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for value in &batch.values {
        groups.entry((value.metric, &value.label)).or_default().push(value.value);
    }
    let groups: Vec<_> =
        groups.into_iter().map(|((index, label), values)| (index, label.to_owned(), values)).collect();
    groups.into_iter()
}

/// One line: one value of each dimension, one array of each metric.
#[derive(Default)]
struct Line {
    labels: BTreeMap<Dimension, String>,
    metrics: Vec<(usize, Json)>,
}

impl Line {
    fn has_room(&self, by: Dimension, label: &str, name: &str) -> bool {
        self.labels.get(&by).is_none_or(|known| known == label)
            && self.metrics.iter().all(|(index, _)| TABLE[*index].name != name)
    }

    fn render(&self, batch: &Batch, now: Timestamp) -> Json {
        let namespace = format!("Genmux/{}", batch.names().0);
        let directive = |by: &Dimension| {
            let of_it =
                self.metrics.iter().map(|(index, _)| &TABLE[*index]).filter(|metric| metric.by == *by);
            let metrics: Vec<_> =
                of_it.map(|metric| json!({"Name": metric.name, "Unit": metric.unit.cloudwatch()})).collect();
            json!({"Namespace": namespace, "Dimensions": [[by.name()]], "Metrics": metrics})
        };
        let directives: Vec<_> = self.labels.keys().map(directive).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({"Timestamp": now.as_millis(), "CloudWatchMetrics": directives}),
        );
        line.insert("request_id".to_owned(), json!(batch.request_id));
        line.extend(self.labels.iter().map(|(by, label)| (by.name().to_owned(), json!(label))));
        line.extend(self.metrics.iter().map(|(index, value)| (TABLE[*index].name.to_owned(), value.clone())));
        Json::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::metrics::Value;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn batch(values: &[(&str, &str, f64)]) -> Batch {
        let index = |name: &str| TABLE.iter().position(|metric| metric.name == name).unwrap();
        let value = |(name, label, value): &(&str, &str, f64)| Value {
            metric: index(name),
            label: (*label).to_owned(),
            value: *value,
        };
        let (request_id, function) = ("r".to_owned(), "my-stack-dispatch".to_owned());
        Batch { request_id, function, values: values.iter().map(value).collect() }
    }

    #[test]
    fn an_invocation_is_one_line_with_a_directive_for_each_dimension() {
        let values =
            [("queue_wait_ms", "dispatch", 7.0), ("create_ms", "fal", 12.0), ("create_ms", "fal", 30.0)];
        let lines = lines(&batch(&values), NOW);
        let expected = json!({
            "_aws": {"Timestamp": 1_800_000_000_000_i64, "CloudWatchMetrics": [
                {"Namespace": "Genmux/my-stack", "Dimensions": [["function"]],
                 "Metrics": [{"Name": "queue_wait_ms", "Unit": "Milliseconds"}]},
                {"Namespace": "Genmux/my-stack", "Dimensions": [["provider"]],
                 "Metrics": [{"Name": "create_ms", "Unit": "Milliseconds"}]},
            ]},
            "request_id": "r", "function": "dispatch", "provider": "fal",
            "queue_wait_ms": [7.0], "create_ms": [12.0, 30.0],
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn another_provider_and_more_than_a_hundred_values_need_another_line() {
        let many: Vec<_> = (0..101).map(|_| ("create_ms", "fal", 1.0)).collect();
        let values: Vec<_> =
            many.into_iter().chain([("create_ms", "luma", 2.0), ("creates_unknown", "luma", 1.0)]).collect();
        let lines = lines(&batch(&values), NOW);
        let shape: Vec<_> = lines
            .iter()
            .map(|line| (line["provider"].as_str().unwrap(), line["create_ms"].as_array().unwrap().len()))
            .collect();
        assert_eq!(shape, [("fal", 100), ("fal", 1), ("luma", 1)]);
        assert_eq!(lines[2]["creates_unknown"], 1.0);
    }

    #[test]
    fn sums_add_up_and_of_a_gauge_the_latest_value_counts() {
        let values = [
            ("jobs_created", "submit", 1.0),
            ("jobs_created", "submit", 1.0),
            ("overdue_jobs_s", "reconcile", 9.0),
            ("overdue_jobs_s", "reconcile", 4.0),
        ];
        let lines = lines(&batch(&values), NOW);
        let found: Vec<_> =
            lines.iter().map(|line| (&line["jobs_created"], &line["overdue_jobs_s"])).collect();
        assert_eq!(found, [(&json!(2.0), &Json::Null), (&Json::Null, &json!(4.0))]);
        assert_eq!(super::lines(&batch(&[]), NOW), Vec::<Json>::new());
    }
}
