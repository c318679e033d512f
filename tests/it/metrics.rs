//! What is counted is what the table says, in lines that CloudWatch and Prometheus can read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::job::State;
use harness::{Log, Receiver, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::boot::metrics::{Batch, Exposition, Sink, TABLE, lines};
use shared::operate::figures;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// On one thread: its log is this test's alone.
pub(crate) async fn played() -> (World, Log, Receiver) {
    let (world, log, receiver) = (World::new().await, Log::start(), Receiver::start().await);
    let endpoint = json!({"url": receiver.url("/events"), "types": ["job.*"]});
    let made = world.call(Method::POST, "/v1/endpoints", &[], Some(&endpoint.to_string())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    for (n, (model, prompt)) in [
        ("pika-2.2", "a boat"),
        ("gen-4.5", "a boat"),
        ("pika-2.2", "a [[sim: create=drop-after]]"),
        ("veo-3.1", "a [[sim: create=refuse:429, only=fal]]"),
        // The provider accepts it first.
        ("veo-3.1", "a [[sim: fail=internal, only=fal]]"),
        ("pika-2.2", "a [[sim: create=refuse:401]]"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = world.submit(model, prompt, &n.to_string()).await;
        world.finish(&id).await;
    }
    let canceled = world.submit("pika-2.2", "a boat", "canceled").await;
    world.cancel(&canceled).await;
    world.finish(&canceled).await;
    let forged = world.call(Method::POST, "/v1/webhooks/fal/forged", &[], Some("{}")).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED, "{forged:?}");
    world.tick().await;
    world.drain().await;
    world.audit().await;
    (world, log, receiver)
}

/// The sum of a metric, for all values of its dimension.
fn sum(batches: &[Batch], name: &str) -> f64 {
    of(batches, name).values().flatten().sum()
}

/// The values of a metric, by its dimension.
fn of(batches: &[Batch], name: &str) -> BTreeMap<String, Vec<f64>> {
    let index = TABLE.iter().position(|metric| metric.name == name).expect(name);
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for value in batches.iter().flat_map(|batch| &batch.values).filter(|value| value.metric == index) {
        found.entry(value.label.clone()).or_default().push(value.value);
    }
    found
}

#[tokio::test]
async fn what_is_counted_is_what_the_table_says() {
    let (world, log, receiver) = played().await;
    let batches = log.metrics();
    let (accounts, now) = (vec![world.account.clone()], world.clock.now());
    let figures = figures::read(&world.table(), accounts, now.minus(DAY), now).await.unwrap();
    let status = |state: State| f64::from(figures.jobs.get(state.name()).copied().unwrap_or(0));
    let counted = |name| sum(&batches, name);
    assert_eq!((figures.submitted, figures.read), (7, 7), "{figures:?}");
    for (name, expected) in [
        ("jobs_created", 7.0),
        ("jobs_succeeded", status(State::Succeeded)),
        ("jobs_failed", status(State::Failed)),
        ("jobs_canceled", status(State::Canceled)),
        ("job_errors", figures.errors.values().copied().map(f64::from).sum()),
        ("refunds", figures.refunds.into()),
        ("creates_unknown", 1.0),
        ("failovers", 3.0),
        ("webhooks_refused", 1.0),
        ("deliveries_failed", 0.0),
    ] {
        assert_eq!(counted(name), expected, "{name}: {figures:?}");
    }
    assert_eq!([State::Succeeded, State::Failed, State::Canceled].map(status), [5.0, 1.0, 1.0]);
    let near =
        |name, expected: u64| assert!((counted(name) - expected as f64).abs() < 0.5, "{name} {expected}");
    near("refund_micro_credits", figures.refunded.micros());
    near("cost_micro_usd", figures.cost.0);
    let bytes: u64 = world.books().await.objects.values().map(|object| object.bytes).sum();
    near("copied_bytes", bytes);
    assert_eq!(of(&batches, "job_errors").into_keys().collect::<Vec<_>>(), ["auth"]);
    let (took, waited) = (&of(&batches, "time_to_done_ms"), &of(&batches, "queue_wait_ms"));
    assert_eq!(took["fetch"].len(), 5);
    assert!(took["fetch"].iter().all(|ms| *ms >= 30_000.0), "what the simulator takes: {took:?}");
    assert!(waited["dispatch"].len() >= 6, "{waited:?}");
    let arrived = of(&batches, "callback_lag_ms")["deliver"].len();
    assert_eq!((arrived, figures.callback_lag.count), (receiver.count("/events"), receiver.count("/events")));
    assert!(arrived >= 6, "{arrived}");
    assert_eq!(of(&batches, "overdue_jobs_s").keys().collect::<Vec<_>>(), ["reconcile"]);
}

/// The embedded metric format, as its specification has it.
fn check_emf(line: &Value) -> BTreeSet<String> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(line["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000, "{line}");
    assert!(line.to_string().len() < 256 * 1024 && !directives.is_empty());
    let mut names = BTreeSet::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], "Genmux/genmux");
        let dimensions = directive["Dimensions"].as_array().unwrap();
        for name in dimensions.iter().flat_map(|set| set.as_array().unwrap()) {
            let value = line[name.as_str().unwrap()].as_str().unwrap();
            assert!((1..=1_024).contains(&value.len()) && value.is_ascii(), "{line}");
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{line}");
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            let unit = metric["Unit"].as_str().unwrap();
            assert!(["Count", "Milliseconds", "Seconds", "Bytes", "None"].contains(&unit), "{line}");
            match &line[name] {
                Value::Array(values) => {
                    assert!((1..=100).contains(&values.len()) && values.iter().all(Value::is_f64), "{line}");
                }
                value => assert!(value.is_f64(), "{line}"),
            }
            assert!(names.insert(name.to_owned()), "{name} is there twice: {line}");
        }
    }
    names
}

#[tokio::test]
async fn every_line_is_of_the_embedded_metric_format_and_names_no_job_and_no_account() {
    let (world, log, _receiver) = played().await;
    let mut names = BTreeSet::new();
    for batch in log.metrics() {
        let lines = lines(&batch, world.clock.now());
        assert!(!lines.is_empty());
        for line in &lines {
            names.extend(check_emf(line));
            let text = line.to_string();
            assert!(!text.contains("job_") || text.contains("\"job_errors\""), "{text}");
            assert!(!text.contains("acct_") && !text.contains("evt_"), "{text}");
        }
    }
    assert!(names.len() >= 15, "{names:?}");
}

/// One sample of Prometheus' text format: its name, its labels and its value.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| {
        (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))
    });
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    assert!(is_name(name), "{line}");
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{line}");
        (name.to_owned(), value.to_owned())
    });
    (name.to_owned(), labels.collect(), value.parse().unwrap())
}

/// Reads the text strictly; gives the number of samples of each family.
fn check_prometheus(text: &str) -> BTreeMap<String, usize> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    let (mut family, mut kind, mut below) = (String::new(), "", BTreeMap::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone(), 0).is_none(), "{family} is there twice");
            let of_type = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (name, found) = of_type.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&found), "{of_type}");
            assert_eq!(found == "counter", family.ends_with("_total"), "{family}");
            kind = found;
            continue;
        }
        let (name, mut labels, value) = sample(line);
        assert!(value >= 0.0, "{line}");
        let bound = labels.remove("le");
        let end = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        match (kind, end) {
            ("counter" | "gauge", "") | ("histogram", "_sum") => {}
            ("histogram", "_bucket") => {
                let before = below.insert((family.clone(), labels), value).unwrap_or(0.0);
                assert!(before <= value && bound.is_some(), "{line}");
            }
            ("histogram", "_count") => {
                assert_eq!(below[&(family.clone(), labels)], value, "the last bucket has all: {line}");
            }
            _ => panic!("{line} is not of a {kind}"),
        }
        *families.get_mut(&family).unwrap() += 1;
    }
    families
}

/// What Prometheus would be shown.
pub(crate) fn exposed(log: &Log) -> Exposition {
    let exposition = Exposition::default();
    log.metrics().into_iter().for_each(|batch| exposition.take(batch));
    exposition
}

#[tokio::test]
async fn the_text_for_prometheus_has_every_metric_once_and_adds_up() {
    let (_world, log, _receiver) = played().await;
    let text = exposed(&log).text();
    let families = check_prometheus(&text);
    let expected: BTreeSet<_> = TABLE.iter().map(|metric| metric.prometheus()).collect();
    assert_eq!(families.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let created =
        text.lines().find_map(|line| line.strip_prefix("genmux_jobs_created_total{function=\"submit\"} "));
    assert_eq!(created, Some("7"));
    assert!(text.contains("genmux_time_to_done_seconds_count{function=\"fetch\"} 5\n"), "{text}");
}
