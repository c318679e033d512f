//! What an operator reads of jobs: their trace, their figures.

use serde_json::{Value, json};

use super::commands::{refused, run, said, with_data};

#[test]
fn a_trace_is_a_tree_of_states_attempts_and_their_lengths() {
    let folder = with_data();
    let jobs =
        said(&run(folder.path(), &["jobs", "list", "--account", "acct_demo", "--data", "here", "--json"]));
    let jobs: Value = serde_json::from_str(&jobs).expect("JSON");
    let id = jobs["jobs"][0]["id"].as_str().expect("an id");
    let output = said(&run(folder.path(), &["trace", id, "--data", "here"]));
    let has = |text: &str| assert!(output.contains(text), "{text}: {output}");
    has(&format!("\n{id} succeeded  +0.000s  "));
    ["├─ queued  +0.000s", "─ running  +", "─ attempt 1 at ", ": finished  +", "└─ "]
        .into_iter()
        .for_each(has);
    let tree: Value =
        serde_json::from_str(&said(&run(folder.path(), &["trace", id, "--data", "here", "--json"])))
            .expect("JSON");
    assert_eq!(tree["root"]["children"].as_array().map(Vec::len), Some(5), "{tree}");
    refused(&run(folder.path(), &["trace", "job_unknown", "--data", "here"]));
}

#[test]
fn usage_is_grouped_by_each_name_as_it_is_written() {
    let folder = with_data();
    let usage = |arguments: &[&str]| {
        run(folder.path(), &[&["usage", "--account", "acct_demo", "--data", "here"], arguments].concat())
    };
    let json = said(&usage(&["--by", "model", "--by", "metadata.order, line", "--json"]));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let result = json["results"][0].as_object().expect("a result");
    assert!(result["model"].is_string() && result["metadata.order, line"].is_null(), "{json}");
    let names = "must be one of model, provider, key, status, metadata.<name>";
    for by in ["model,key", "day", "metadata."] {
        let output = refused(&usage(&["--by", by]));
        assert!(output.contains(names), "{output}");
    }
}

#[test]
fn metrics_are_of_the_jobs_of_the_last_hour() {
    let folder = with_data();
    let metrics = |arguments: &[&str]| {
        let whole = [&["metrics", "--account", "acct_demo", "--data", "here"], arguments].concat();
        run(folder.path(), &whole)
    };
    let output = said(&metrics(&[]));
    let row = |name: &str| output.lines().find(|line| line.trim().starts_with(name)).expect(name).to_owned();
    assert!(row("succeeded").ends_with(" 1") && row("success rate").ends_with("100 %"), "{output}");
    assert!(row("cost").contains('$') && row("time to done").contains("s / "), "{output}");
    let json: Value = serde_json::from_str(&said(&metrics(&["--json"]))).expect("JSON");
    assert_eq!((&json["submitted"], &json["jobs"]), (&json!(1), &json!({"succeeded": 1})), "{json}");
    let text = said(&metrics(&["--prometheus"]));
    assert!(text.contains("genmux_recent_jobs{status=\"succeeded\"} 1\n"), "{text}");
    assert!(
        text.contains("\n# TYPE genmux_recent_success_ratio gauge\ngenmux_recent_success_ratio 1\n"),
        "{text}"
    );
    refused(&metrics(&["--since", "yesterday"]));
    refused(&metrics(&["--prometheus", "--json"]));
}
