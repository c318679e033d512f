//! The metrics: the page, the dashboard and the alarms have those of the code, which are taken from events
//! that the page on logs lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use shared::boot::metrics::{Dimension, Kind, Metric, TABLE};

use super::logs::{calls, listed, value};
use super::openapi::root;

fn template() -> String {
    fs::read_to_string(root().join("infra/template.yaml")).unwrap()
}

fn metric(name: &str) -> &'static Metric {
    TABLE.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("there is no metric {name}"))
}

/// A metric as its row of the page.
fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Sum => "sum",
        Kind::Spread => "percentiles",
        Kind::Latest => "latest",
    };
    let field = metric.field.map(|field| format!(" `{field}`")).unwrap_or_default();
    let only = metric.only.iter().map(|(field, values)| format!(", `{field}` {}", values.join(" or ")));
    format!(
        "| `{}` | `{}` | {kind} | {} | `{}`{field}{} | {} |",
        metric.name,
        metric.prometheus(),
        metric.by.name(),
        metric.event,
        only.collect::<String>(),
        metric.means,
    )
}

#[test]
fn the_page_lists_every_metric() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows =
        page.split_once("| CloudWatch | Prometheus | Kind | By | From | Means |").unwrap().1.lines().skip(2);
    let rows: Vec<_> = rows.take_while(|row| row.starts_with('|')).map(str::to_owned).collect();
    let expected: Vec<_> = TABLE.iter().map(row).collect();
    assert_eq!(rows, expected, "docs/metrics.md:\n{}", expected.join("\n"));
}

#[test]
fn every_metric_is_taken_from_an_event_that_is_logged_with_these_fields() {
    let (events, _) = listed();
    for metric in &TABLE {
        let event = events.get(metric.event).unwrap_or_else(|| panic!("nothing logs {}", metric.event));
        let label = (metric.by != Dimension::Function).then(|| metric.by.name());
        let only = metric.only.iter().map(|(field, _)| *field);
        for field in only.chain(metric.field).chain(label) {
            assert!(event.fields.contains(field), "{}: {} has no field {field}", metric.name, metric.event);
        }
    }
}

/// Wherever it is logged: a value without its label would count for none.
#[test]
fn every_event_of_a_metric_by_provider_or_class_names_it() {
    let calls = calls();
    for metric in TABLE.iter().filter(|metric| metric.by != Dimension::Function) {
        let mut of_event = calls.iter().filter(|call| call.name == metric.event).peekable();
        assert!(of_event.peek().is_some(), "{} is logged by its name", metric.event);
        for call in of_event {
            assert!(call.fields.contains(metric.by.name()), "{}: {}", call.file.display(), metric.event);
        }
    }
}

/// The metrics that filters of the template count, by name.
fn of_filters(template: &str) -> BTreeSet<String> {
    let filters = template.split("\n\n").filter(|block| block.contains("Type: AWS::Logs::MetricFilter"));
    filters.map(|filter| value(filter, "MetricName").unwrap().to_owned()).collect()
}

#[test]
fn the_page_lists_what_filters_count() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page.split_once("| Metric | Counts |").unwrap().1.lines().skip(2);
    let rows = rows.take_while(|row| row.starts_with('|')).filter_map(|row| row.split('`').nth(1));
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), of_filters(&template()));
}

#[test]
fn alarms_watch_metrics_that_exist_by_their_own_dimension() {
    let template = template();
    let filters = of_filters(&template);
    let mut ours = 0;
    let is_ours = |block: &&str| {
        block.contains("Type: AWS::CloudWatch::Alarm")
            && block.contains("\n      Namespace: !Sub Genmux/${AWS::StackName}")
    };
    for alarm in template.split("\n\n").filter(is_ours) {
        let name = value(alarm, "MetricName").unwrap();
        if filters.contains(name) {
            assert!(!alarm.contains("Dimensions:"), "a filter counts {name} for the stack");
            continue;
        }
        let by = metric(name).by.name();
        let dimensions = value(alarm, "Dimensions").unwrap_or_else(|| panic!("{name} has no dimension"));
        assert!(dimensions.starts_with(&format!("[{{ Name: {by}, Value: ")), "{name}: {dimensions}");
        ours += 1;
    }
    assert!(ours > 1 && filters.len() > 3, "{ours} {filters:?}");
}

/// The rows of the dashboard's widgets.
fn widget_rows(template: &str) -> Vec<Value> {
    let (_, body) = template.split_once("DashboardBody: !Sub |\n").unwrap();
    let body: String = body.lines().take_while(|line| line.starts_with("        ")).collect();
    let dashboard: Value = serde_json::from_str(&body).unwrap();
    let widgets = dashboard["widgets"].as_array().unwrap();
    let rows = widgets.iter().flat_map(|widget| widget["properties"]["metrics"].as_array().unwrap().clone());
    rows.collect()
}

#[test]
fn the_dashboard_shows_every_metric_by_its_own_dimension() {
    let template = template();
    let namespace = "Genmux/${AWS::StackName}";
    let calls = calls();
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for row in widget_rows(&template) {
        let cells = row.as_array().unwrap();
        let found = match cells[0].as_str() {
            Some(of) if of == namespace => {
                let name = metric(cells[1].as_str().unwrap());
                assert_eq!(cells[2], name.by.name(), "{row}");
                // Of one function, where no other logs the event.
                let function = format!("functions/{}/", cells[3].as_str().unwrap());
                let mut files =
                    calls.iter().filter(|call| call.name == name.event).map(|call| &call.file).peekable();
                assert!(files.peek().is_some(), "{row}");
                assert!(files.all(|file| file.to_str().unwrap().contains(&function)), "{row}");
                Some(name)
            }
            Some(_) => None,
            None => {
                let search = cells[0]["expression"].as_str().unwrap();
                // Names of stacks have hyphens, and such a namespace is in quotes.
                assert!(!search.contains("{Genmux"), "{row}");
                search.split_once(&format!("SEARCH('{{\"{namespace}\",")).map(|(_, rest)| {
                    let (by, rest) = rest.split_once("} MetricName=\"").unwrap();
                    let name = metric(rest.split('"').next().unwrap());
                    assert_eq!(by, name.by.name(), "{row}");
                    name
                })
            }
        };
        if let Some(metric) = found {
            *shown.entry(metric.name).or_default() += 1;
        }
    }
    let missing: Vec<_> =
        TABLE.iter().map(|metric| metric.name).filter(|name| !shown.contains_key(name)).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
}
