//! `genmux bills` on a data folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::server::{Server, ok};

fn genmux(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the binary starts")
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.current_dir(folder).args(arguments);
    for name in ["FAL_KEY", "FAL_ADMIN_KEY", "FAL_BASE_URL", "CATALOG"] {
        command.env_remove(name);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_bill_in_a_file_is_compared_and_what_does_not_agree_is_the_exit_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    assert!(genmux(path, &["demo", "a boat", "--out", "boat.mp4"]).status.success());
    let listed = genmux(path, &["jobs", "list", "--account", "acct_demo", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let shown = genmux(path, &["jobs", "show", listed["jobs"][0]["id"].as_str().expect("an id")]);
    let shown = text(&shown.stdout);
    let remote = shown.split("remote ").nth(1).and_then(|rest| rest.split(',').next()).expect("a remote job");
    let compare = |bill: &str, more: &[&str]| {
        fs::write(path.join("bill.csv"), bill).expect("a file");
        let given = ["bills", "compare", "--provider", "vertex", "--file", "bill.csv", "--since", "1h"];
        genmux(path, &[&given[..], &["--until", "0s", "--simulated", "--json"], more].concat())
    };
    let right = compare(&format!("id,cost\n{remote},0.64\n"), &[]);
    assert_eq!(right.status.code(), Some(0), "{}{}", text(&right.stdout), text(&right.stderr));
    let right: Value = serde_json::from_slice(&right.stdout).expect("JSON");
    assert_eq!((&right["matched"], &right["findings"]), (&json!(1), &json!([])));

    let wrong = compare(&format!("key,sum\n{remote},0.60\nother,0.05\n"), &["--columns", "id=key,cost=sum"]);
    assert_eq!(wrong.status.code(), Some(1));
    let wrong: Value = serde_json::from_slice(&wrong.stdout).expect("JSON");
    assert_eq!(wrong["kinds"]["cost_differs"], json!({"count": 1, "micro_usd": 40_000}));
    assert_eq!(wrong["kinds"]["unknown_remote_job"], json!({"count": 1, "micro_usd": 50_000}));
    assert_eq!(wrong["findings"][0]["line"], 3);
    assert_eq!(
        compare(&format!("id,cost\n{remote},0.60\n"), &["--tolerance", "0.04"]).status.code(),
        Some(0)
    );

    // The day of the job, all of it, is the period.
    let day = listed["jobs"][0]["created_at"].as_str().and_then(|at| at.get(..10)).expect("a day");
    fs::write(path.join("days.csv"), format!("id,cost,date\n{remote},0.64,{day}\n")).expect("a file");
    let arguments =
        ["bills", "compare", "--provider", "vertex", "--file", "days.csv", "--simulated", "--json"];
    let of_day = genmux(path, &arguments);
    assert_eq!(of_day.status.code(), Some(0), "{}{}", text(&of_day.stdout), text(&of_day.stderr));
    let of_day: Value = serde_json::from_slice(&of_day.stdout).expect("JSON");
    assert_eq!((&of_day["matched"], &of_day["since"]), (&json!(1), &json!(format!("{day}T00:00:00.000Z"))));
    assert!(of_day["until"].as_str().is_some_and(|until| until.ends_with("T00:00:00.000Z")), "{of_day}");

    let odd = compare("id,cost\na,-1\n", &[]);
    let odd = (odd.status.code(), text(&odd.stderr));
    assert_eq!(odd.0, Some(1));
    assert!(odd.1.contains("bill.csv is no bill: line 2: `-1` is no amount of dollars"), "{odd:?}");
}

#[test]
fn what_a_comparison_needs_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    assert!(genmux(path, &["demo", "a boat", "--out", "boat.mp4"]).status.success());
    fs::write(path.join("bill.csv"), "id,cost\na,1\n").expect("a file");
    let compare = |more: &[&str]| {
        let ended = genmux(path, &[&["bills", "compare"], more].concat());
        assert!(!ended.status.success());
        text(&ended.stderr)
    };
    for (more, wanted) in [
        (&["--provider", "fal"][..], "--file"),
        (&["--file", "bill.csv"], "--provider"),
        (&["--provider", "sora", "--file", "bill.csv"], "sora"),
        (&["--provider", "fal", "--file", "bill.csv", "--from-api"], "cannot be used with"),
        (&["--provider", "fal", "--file", "none.csv"], "none.csv is no bill"),
        (&["--provider", "fal", "--file", "bill.csv"], "name the period with --since and --until"),
        (&["--provider", "fal", "--file", "bill.csv", "--since", "1h", "--until", "2h"], "must begin before"),
        (&["--provider", "fal", "--file", "bill.csv", "--columns", "sum=a"], "must be like id="),
        (&["--provider", "fal", "--file", "bill.csv", "--tolerance", "x"], "must be an amount of dollars"),
        (&["--provider", "fal", "--from-api"], "FAL_KEY is missing"),
        (&["--provider", "minimax", "--from-api", "--since", "8d"], "lists what it made for 7 days"),
    ] {
        let output = compare(more);
        assert!(output.contains(wanted), "{more:?}: {output}");
    }
}

#[test]
fn a_provider_is_asked_for_its_bill_with_the_key_for_bills_and_else_with_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    assert!(genmux(path, &["demo", "a boat", "--out", "boat.mp4"]).status.success());
    let fal = Server::start(|call| {
        let event = |id: &str, cost: Value| json!({"request_id": id, "timestamp": null, "cost_total": cost});
        let events = [event("a", json!(0.4)), event("b", Value::Null)];
        Some(ok(match call.contains("/billing-events?") {
            true => json!({"billing_events": events, "has_more": false}).to_string(),
            false => json!({"items": [{"request_id": "a", "sent_at": null}], "has_more": false}).to_string(),
        }))
    });
    let asked = |admin: Option<&str>| {
        let mut compare =
            command(path, &["bills", "compare", "--provider", "fal", "--from-api", "--simulated"]);
        compare.env("FAL_KEY", "of-jobs").env("FAL_BASE_URL", &fal.url);
        compare.envs(admin.map(|key| ("FAL_ADMIN_KEY", key)));
        text(&compare.output().expect("the binary starts").stdout)
    };
    let bill = asked(Some("of-bills"));
    assert!(bill.contains("\nunpriced 1: of these lines, only what exists was compared\n"), "{bill}");
    assert!(bill.contains("unknown_remote_job: 2, $0.400000\n"), "{bill}");
    assert!(asked(None).contains("unknown_remote_job: 1, $0.000000\n"));
    let calls = fal.requests();
    let (bills, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.contains("/billing-events?"));
    assert!(bills.len() == 1 && bills[0].contains("authorization: Key of-bills\r\n"), "{bills:?}");
    assert!(!others.is_empty() && others.iter().all(|call| call.contains("authorization: Key of-jobs\r\n")));
}
