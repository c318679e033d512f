//! What the documents list of the template and of the tests is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use domain::catalog::Catalog;
use domain::provider::Provider;
use harness::World;
use shared::boot::config::{base_url_variable, webhook_secret_variable};
use shared::provider::{Scheme, adapter};

use super::openapi::{root, sources};

/// The names in backticks in the cells of every row of a page's table with this heading.
fn table(page: &str, heading: &str) -> Vec<Vec<Vec<String>>> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let rest = text.split_once(heading).unwrap_or_else(|| panic!("{page} has no table {heading}")).1;
    let names =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(names).collect()).collect()
}

/// The names in one column of such a table.
fn column(page: &str, heading: &str, n: usize) -> impl Iterator<Item = String> {
    table(page, heading).into_iter().flat_map(move |mut row| row.swap_remove(n))
}

/// The names of the entries under a heading of the template.
fn entries(heading: &str) -> BTreeSet<String> {
    let template = fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let part = template.split_once(&format!("\n{heading}:\n")).unwrap().1;
    let lines = part.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    names.filter(|name| name.chars().all(char::is_alphanumeric)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_page_on_deployment_lists_each_functions_variables() {
    let world = World::new().await;
    let listed: BTreeMap<_, BTreeSet<_>> = table("docs/deploy.md", "| Function | Variables |")
        .into_iter()
        .map(|row| (row[0][0].clone(), row[1].iter().cloned().collect()))
        .collect();
    let given = world.stack.host.template().functions.iter().map(|(name, spec)| {
        let variables =
            spec.environment.keys().filter(|name| *name != "RUST_LOG" && !name.starts_with("OTEL_"));
        (name.clone(), variables.cloned().collect())
    });
    assert_eq!(listed, given.collect());
}

#[test]
fn the_pages_list_every_parameter_and_every_alarm() {
    let parameters: BTreeSet<_> = column("docs/deploy.md", "| Parameter | Default | Means |", 0).collect();
    assert_eq!(parameters, entries("Parameters"));

    let alarms: Vec<_> = column("docs/operations.md", "| Alarm | Means | Do |", 0).collect();
    let is_of = |alarm: &String, listed: &String| match listed.strip_prefix('…') {
        Some(end) => alarm.ends_with(end),
        None => alarm == listed,
    };
    let declared = entries("Resources").into_iter().filter(|name| name.ends_with("Alarm"));
    let declared: Vec<_> = declared.collect();
    assert!(declared.len() > 5, "{declared:?}");
    for alarm in &declared {
        assert!(alarms.iter().any(|listed| is_of(alarm, listed)), "no page lists {alarm}");
    }
    for listed in &alarms {
        assert!(declared.iter().any(|alarm| is_of(alarm, listed)), "there is no {listed}");
    }
}

#[test]
fn the_page_on_providers_lists_every_provider_with_its_models() {
    let catalog = Catalog::for_providers(Provider::ALL);
    let mut sold: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for model in catalog.models() {
        for route in &model.routes {
            sold.entry(route.provider.name().to_owned()).or_default().insert(model.name.clone());
        }
    }
    let heading = "| Provider | How its results arrive | A lost create answer | Models |";
    let rows = table("docs/providers.md", heading);
    let listed = rows.into_iter().map(|row| (row[0][0].clone(), row[3].iter().cloned().collect()));
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), sold);
    let counts = format!("{} providers", Provider::ALL.len());
    let counts = [counts, format!("{} models", catalog.models().count())];
    for page in ["README.md", "docs/providers.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        assert!(counts.iter().all(|count| text.contains(count)), "{page} does not have {counts:?}");
    }
}

#[test]
fn the_page_on_providers_lists_the_variables_of_each() {
    let rows = table("docs/providers.md", "| Provider | Key | Further settings |");
    assert_eq!(rows.len(), Provider::ALL.len());
    for row in rows {
        let provider: Provider = row[0][0].parse().unwrap();
        let is_variable =
            |name: &&str| name.contains('_') && !name.contains(|c: char| c.is_ascii_lowercase());
        let names = row[1..].iter().flatten().map(|name| name.split('=').next().unwrap());
        let mut listed: BTreeSet<_> = names.filter(is_variable).map(str::to_owned).collect();
        listed.remove(&base_url_variable(provider));
        let setup = adapter(provider).setup();
        let settings = setup.settings.iter().map(|(name, _)| *name);
        let mut read: BTreeSet<_> = setup.key.iter().copied().chain(settings).map(str::to_owned).collect();
        let signs = adapter(provider).capabilities().webhooks.is_some_and(Scheme::has_secret);
        read.extend(signs.then(|| webhook_secret_variable(provider)));
        assert_eq!(listed, read, "{provider}");
    }
}

#[test]
fn every_metric_is_taken_from_a_line_that_its_function_writes() {
    let template = fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let filters: Vec<_> = template.split("Type: AWS::Logs::MetricFilter").skip(1).collect();
    assert!(!filters.is_empty());
    for filter in filters {
        let between = |start: &str, end: &str| {
            let text = filter.split_once(start).and_then(|(_, rest)| rest.split_once(end));
            text.unwrap_or_else(|| panic!("no {start} in {filter}")).0
        };
        let function = between("LogGroupName: !Ref ", "Logs\n").to_lowercase();
        let line = between("$.message = ", " ");
        let code = sources(&["shared/src/store", "shared/src/operate", &format!("functions/{function}/src")]);
        assert!(code.iter().any(|(_, text)| text.contains(line)), "{function} writes no {line}");
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let own = std::env::current_exe().unwrap();
    let list = std::process::Command::new(own).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let tests: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    // What stands alone is a filter of these tests; commands and files have more in their names.
    let is_filter = |name: &String| name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | ':'));
    let headings = [
        "| Promise | Shown by: `cargo test --workspace --test it --` followed by |",
        "| Promise | Shown by: `cargo test --workspace --test it -- --nocapture` followed by |",
    ];
    let names = headings.into_iter().flat_map(|heading| column("docs/guarantees.md", heading, 1));
    let filters: BTreeSet<_> = names.filter(is_filter).collect();
    assert!(filters.len() > 20, "{filters:?}");
    for filter in &filters {
        assert!(tests.iter().any(|test| test.contains(filter.as_str())), "no test is called {filter}");
    }
}
