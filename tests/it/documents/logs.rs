//! The events in the logs: those of the code are those of the page, and the template counts no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use shared::boot::metrics::TABLE;

use super::openapi::{root, sources};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// One kind of event: its levels and its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    levels: BTreeSet<String>,
    pub(super) fields: BTreeSet<String>,
}

/// The text up to the bracket that closes the one before it, and what comes after. Brackets in
/// texts do not count.
fn bracketed(text: &str) -> (&str, &str) {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    panic!("no closing bracket: {text}")
}

/// The arguments of a macro: split at the commas that are in no bracket and no text.
fn arguments(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' | '|' if !quoted && c != '|' => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if depth == 0 && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Every event and span is written `tracing::level!` or `tracing::level_span!`, where this test sees it.
fn assert_macros_are_named_in_full(file: &Path, text: &str) {
    for import in text.split("use tracing::").skip(1) {
        let import = import.split(';').next().unwrap();
        let names = import.split(|c: char| !c.is_alphanumeric() && c != '_');
        let hidden: Vec<_> = names
            .filter(|name| LEVELS.contains(name) || name.ends_with("span") || *name == "event")
            .collect();
        assert!(hidden.is_empty(), "{}: use tracing::{import}", file.display());
    }
    assert!(!text.contains("tracing::event!"), "{}: an event without its level", file.display());
    assert!(!text.contains("tracing::instrument"), "{}: a span of all arguments", file.display());
}

/// The fields of the spans, by the span's name.
fn spans() -> BTreeMap<String, BTreeSet<String>> {
    let mut spans = BTreeMap::new();
    for (file, text) in sources(&["shared/src", "shared/domain/src", "functions"]) {
        for call in text.split("_span!(").skip(1) {
            let mut fields = arguments(bracketed(call).0);
            let name = fields.remove(0).trim_matches('"').to_owned();
            let field = |text: &String| text.split('=').next().unwrap_or_default().trim().to_owned();
            let fields = fields.iter().map(field).collect();
            assert!(spans.insert(name, fields).is_none(), "{}: one name for two spans", file.display());
        }
    }
    spans
}

/// One place that logs an event.
pub(super) struct Call {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) fields: BTreeSet<String>,
    level: String,
    is_alert: bool,
}

/// Every place that logs an event in functions.
pub(super) fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    for (file, text) in sources(&["shared/src", "shared/domain/src", "functions"]) {
        for rest in text.split("tracing::").skip(1) {
            let Some((level, rest)) = rest.split_once("!(") else { continue };
            if !LEVELS.contains(&level) {
                continue;
            }
            let mut fields = arguments(bracketed(rest).0);
            let name = fields.pop().unwrap();
            let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            let name = name.unwrap_or_else(|| panic!("{}: an event without a name: {rest}", file.display()));
            let is_alert = fields.iter().any(|field| field == "alert = true");
            let field = |text: String| {
                let name = text.split('=').next().unwrap_or_default().trim();
                let value = text.split_once('=').map_or(&*text, |(_, value)| value.trim_start());
                assert!(!value.starts_with('?'), "{}: {text}: not by name", file.display());
                name.trim_start_matches('%').to_owned()
            };
            let fields = fields.into_iter().map(field).collect();
            let (file, name, level) = (file.clone(), name.to_owned(), level.to_owned());
            calls.push(Call { file, name, fields, level, is_alert });
        }
    }
    calls
}

/// What the code logs in functions, and the events that it says need a person.
fn logged() -> (BTreeMap<String, Kind>, BTreeSet<String>) {
    let (mut kinds, mut alerts) = (BTreeMap::<String, Kind>::new(), BTreeSet::new());
    // Named where a write is repeated.
    let (mut repeated, mut of_repeats) = (BTreeSet::new(), Vec::new());
    for (file, text) in sources(&["shared/src", "shared/domain/src", "functions"]) {
        assert_macros_are_named_in_full(&file, &text);
        for call in text.split("persist(").skip(1) {
            let arguments = arguments(bracketed(call).0);
            let name = arguments[2].trim_matches('"');
            repeated.insert(name.to_owned());
        }
    }
    for Call { level, name, fields, is_alert, .. } in calls() {
        if name == "{event}" {
            of_repeats.push((level, fields));
            continue;
        }
        let kind = kinds.entry(name.clone()).or_default();
        kind.levels.insert(level);
        kind.fields.extend(fields);
        alerts.extend(is_alert.then_some(name));
    }
    for (level, fields) in of_repeats {
        for name in &repeated {
            let kind = kinds.entry(name.clone()).or_default();
            kind.levels.insert(level.clone());
            kind.fields.extend(fields.clone());
        }
    }
    (kinds, alerts)
}

/// What the page lists, and what is bold there.
pub(super) fn listed() -> (BTreeMap<String, Kind>, BTreeSet<String>) {
    let page = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let (mut kinds, mut bold) = (BTreeMap::new(), BTreeSet::new());
    let rows = page.split_once("| Event | Level | Fields | Means |").unwrap().1.lines().skip(2);
    for row in rows.take_while(|row| row.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [event, levels, fields, means] = cells[..] else { panic!("{row}") };
        assert!(!means.is_empty(), "{row}");
        let name = event.trim_matches('*').trim_matches('`').to_owned();
        bold.extend(event.starts_with("**").then(|| name.clone()));
        let fields = fields.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let levels = levels.split(' ').map(str::to_owned).collect();
        assert!(kinds.insert(name, Kind { levels, fields }).is_none(), "{event} is there twice");
    }
    (kinds, bold)
}

/// The value of a line `name: value` of the template.
pub(super) fn value<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    let name = format!("{name}:");
    let line = block.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(&name))?;
    Some(line.trim())
}

#[test]
fn the_page_lists_every_event_with_its_levels_and_fields() {
    let ((logged, _), (listed, _)) = (logged(), listed());
    assert!(logged.len() > 30, "{logged:?}");
    for (name, kind) in &logged {
        assert_eq!(listed.get(name), Some(kind), "docs/logs.md, {name}");
    }
    let gone: Vec<_> = listed.keys().filter(|name| !logged.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/logs.md lists what nothing logs: {gone:?}");
}

#[test]
fn the_page_lists_the_fields_of_every_span() {
    let page = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let of_page: BTreeMap<String, BTreeSet<String>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("- Span "))
        .map(|line| {
            let mut names = line.split('`').skip(1).step_by(2).map(str::to_owned);
            (names.next().unwrap(), names.collect())
        })
        .collect();
    assert_eq!(spans(), of_page, "docs/logs.md");
}

#[test]
fn metric_filters_count_what_is_logged_and_what_needs_a_person_has_an_alarm() {
    let template = fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let code: String = sources(&["shared", "functions"]).into_iter().map(|(_, text)| text).collect();
    let ((logged, alerts), (_, bold)) = (logged(), listed());
    let resources: Vec<&str> = template.split("\n\n").collect();
    let alarmed: BTreeSet<&str> = resources
        .iter()
        .filter(|block| block.contains("Type: AWS::CloudWatch::Alarm"))
        .filter_map(|block| value(block, "MetricName"))
        .collect();
    let mut fed = BTreeSet::new();
    let filters = resources.iter().filter(|block| block.contains("Type: AWS::Logs::MetricFilter"));
    for filter in filters.clone() {
        let pattern = value(filter, "FilterPattern").unwrap().trim_matches('\'');
        let terms =
            pattern.trim_matches(['{', '}', ' ']).split(" && ").map(|term| term.split_once(" = ").unwrap());
        let terms: BTreeMap<_, _> =
            terms.map(|(name, text)| (name.trim_start_matches("$."), text.trim_matches('"'))).collect();
        let name = terms["message"];
        let kind = logged.get(name).unwrap_or_else(|| panic!("nothing logs {name}: {pattern}"));
        for (field, value) in terms.iter().filter(|(field, _)| **field != "message") {
            assert!(kind.fields.contains(*field), "{name} has no field {field}: {pattern}");
            assert!(code.contains(&format!("\"{value}\"")), "no code has the word {value}: {pattern}");
        }
        let used = filter.split("Value: $.").skip(1).chain(filter.split("MetricValue: $.").skip(1));
        for field in used.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()) {
            assert!(kind.fields.contains(field), "{name} has no field {field}");
        }
        let metric = value(filter, "MetricName").unwrap();
        fed.extend(alarmed.contains(metric).then(|| name.to_owned()));
    }
    assert!(filters.count() > 15);
    let of_table = TABLE.iter().filter(|metric| alarmed.contains(metric.name));
    fed.extend(of_table.map(|metric| metric.event.to_owned()));
    assert_eq!(fed, bold, "bold in docs/logs.md is what feeds an alarm");
    assert!(alerts.is_subset(&fed), "these say that they need a person, and no alarm listens: {alerts:?}");
}
