//! The command line: option positions, refusals and error messages.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Runs the binary in its own folder, without Genmux variables in its environment.
fn genmux(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for name in ["GENMUX_REAL", "GENMUX_PUBLIC_URL", "FAL_KEY", "FAL_BASE_URL", "RUNWAYML_API_SECRET"] {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "1");
    command
}

pub(super) fn run(folder: &Path, arguments: &[&str]) -> Output {
    genmux(folder, arguments).output().expect("the binary starts")
}

/// The error message of a failed command.
pub(super) fn refused(ended: &Output) -> String {
    let output = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "it succeeded: {}", String::from_utf8_lossy(&ended.stdout));
    assert!(!output.contains("backtrace") && !output.contains("panicked"), "{output}");
    output
}

pub(super) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with the data of a stack that has made one job.
pub(super) fn with_data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    said(&run(folder.path(), &["--data", "here", "demo", "a boat", "--out", "boat.mp4"]));
    folder
}

#[test]
fn a_folder_is_named_before_or_after_the_subcommand_and_only_serve_and_demo_make_one() {
    let folder = with_data();
    let path = folder.path();
    assert!(path.join("here/table.sqlite").is_file() && !path.join(".genmux").exists());
    assert!(fs::metadata(path.join("boat.mp4")).is_ok_and(|video| video.len() > 1_000));
    for arguments in [["--data", "here", "audit"], ["audit", "--data", "here"]] {
        assert!(said(&run(path, &arguments)).contains("0 violations"), "{arguments:?}");
    }
    for command in
        [&["audit"][..], &["jobs", "list"], &["keys", "list"], &["dlq", "list"], &["providers", "list"]]
    {
        let output = refused(&run(path, &[command, &["--data", "typo"]].concat()));
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.contains("no Genmux data in typo"), "{output}");
        assert!(!path.join("typo").exists(), "{command:?} made it");
    }
}

#[test]
fn a_rule_of_an_account_is_changed_alone() {
    let folder = with_data();
    let set = |arguments: &[&str]| {
        let whole = [&["accounts", "set", "acct_demo", "--data", "here"], arguments].concat();
        run(folder.path(), &whole)
    };
    said(&set(&["--prefer", "fastest"]));
    let output = said(&set(&["--live-jobs", "50"]));
    assert!(output.contains("prefer     fastest") && output.contains("live jobs  50"), "{output}");
    refused(&set(&[]));
    let output = said(&run(folder.path(), &["accounts", "show", "acct_demo", "--data", "here"]));
    assert!(output.contains("prefer     fastest") && output.contains("live jobs  50"), "{output}");
    let output = said(&set(&["--reset", "--live-jobs", "7"]));
    assert!(output.contains("prefer     default") && output.contains("live jobs  7"), "{output}");
}

#[test]
fn budgets_are_shown_where_they_are_set_and_what_means_nothing_is_refused_or_warned_of() {
    let folder = with_data();
    let run = |arguments: &[&str]| run(folder.path(), &[arguments, &["--data", "here"]].concat());
    let output =
        said(&run(&["accounts", "set", "acct_demo", "--budget", "month=100", "--budget", "day=2.5"]));
    assert!(output.contains("limits     day=2.5 month=100\n"), "{output}");
    let output = said(&run(&["accounts", "set", "acct_demo", "--reset", "--budget", "total=7"]));
    assert!(output.contains("limits     total=7\n"), "{output}");
    for models in ["veo-3.1,veo-3.1-fats", "veo-3.1"] {
        let made = run(&["keys", "create", "--account", "acct_demo", "--models", models]);
        assert!(said(&made).starts_with("gmx_"));
        let warned = String::from_utf8_lossy(&made.stderr).contains("has no model `veo-3.1-fats`");
        assert_eq!(warned, models.contains("fats"), "{made:?}");
    }
    for command in [&["prices", "history"][..], &["providers", "history", "fal"]] {
        let output = refused(&run(&[command, &["--limit", "0"]].concat()));
        assert!(output.contains("--limit") && output.contains("1.."), "{output}");
        said(&run(&[command, &["--limit", "1"]].concat()));
    }
    let file = folder.path().join("prices.toml");
    fs::write(&file, "[models.\"veo-3.1\".\"720p\"]\nper_image = 1\n").expect("the file is written");
    let output = refused(&run(&["prices", "set", "prices.toml"]));
    assert!(output.contains("veo-3.1 has no price for 4 s of 720p"), "{output}");
}

#[test]
fn jobs_that_have_ended_are_found_by_their_account() {
    let folder = with_data();
    let list =
        |arguments: &[&str]| run(folder.path(), &[&["jobs", "list", "--data", "here"], arguments].concat());
    assert!(said(&list(&["--account", "acct_demo", "--status", "succeeded"])).contains("succeeded"));
    assert_eq!(said(&list(&["--account", "acct_demo", "--status", "failed"])).lines().count(), 1);
    assert!(refused(&list(&["--status", "failed"])).contains("--account"));
}

#[test]
fn an_operator_sees_what_an_account_bought() {
    let folder = with_data();
    let topups =
        |arguments: &[&str]| run(folder.path(), &[&["topups"], arguments, &["--data", "here"]].concat());
    let listed = said(&topups(&["list", "--account", "acct_demo"]));
    assert!(listed.starts_with("ID") && listed.lines().count() == 1, "{listed}");
    let error = refused(&topups(&["show", "top_pqrapqrapqrapqrapqrapqragm", "--account", "acct_demo"]));
    assert!(error.contains("acct_demo has no purchase top_pqra"), "{error}");
    assert!(refused(&topups(&["list", "--table", "genmux"])).contains("--account"));
}

#[test]
fn what_a_real_provider_needs_is_asked_for_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = genmux(folder.path(), arguments);
        refused(&command.envs(variables.iter().copied()).output().expect("the binary starts"))
    };
    let output = start(&["serve", "--real", "fal,runway"], &[]);
    assert!(
        output.contains("FAL_KEY is missing") && output.contains("RUNWAYML_API_SECRET is missing"),
        "{output}"
    );
    assert!(start(&["serve"], &[("GENMUX_REAL", "fal")]).contains("FAL_KEY is missing"));
    let output = start(&["demo", "a boat", "--real", "fal"], &[("FAL_KEY", "a b")]);
    assert!(output.contains("FAL_KEY is malformed") && !output.contains("a b"), "{output}");
    let output = start(&["serve", "--real", "sora"], &[]);
    assert!(output.contains("`sora`") && output.contains("runway"), "{output}");
    assert!(start(&["serve"], &[("GENMUX_REAL", "sora")]).contains("GENMUX_REAL"));
    assert!(start(&["serve", "--real", "fal", "--simulate", "fal"], &[]).contains("both"));
    for url in ["nonsense", "https://a.example/?x=1"] {
        assert!(start(&["serve"], &[("GENMUX_PUBLIC_URL", url)]).contains("GENMUX_PUBLIC_URL"), "{url}");
    }
}

#[test]
fn a_file_that_cannot_be_saved_is_noticed_before_credits_are_spent() {
    let folder = with_data();
    let output =
        refused(&run(folder.path(), &["demo", "a boat", "--data", "here", "--out", "nowhere/x.mp4"]));
    assert!(output.contains("there is no folder nowhere"), "{output}");
    refused(&run(folder.path(), &["demo", "a boat", "--data", "here", "--out", "here"]));
    let jobs = said(&run(folder.path(), &["jobs", "list", "--account", "acct_demo", "--data", "here"]));
    assert_eq!(jobs.lines().count(), 2, "{jobs}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = with_data();
    for arguments in [&["audit"][..], &["jobs", "list"], &["providers", "list"]] {
        let mut process = genmux(folder.path(), &[arguments, &["--data", "here"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop(process.stdout.take());
        let ended = process.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_demo_key_that_was_revoked_says_what_to_do_and_a_lost_table_makes_a_new_one() {
    let folder = with_data();
    let key = fs::read_to_string(folder.path().join("here/demo-key")).expect("there is a demo key");
    let id = key.split('_').nth(1).expect("it has an id");
    said(&run(folder.path(), &["keys", "revoke", id, "--data", "here"]));
    let output = refused(&run(folder.path(), &["demo", "a boat", "--data", "here"]));
    assert!(output.contains("revoked") && output.contains("delete here/demo-key"), "{output}");

    for file in ["table.sqlite", "table.sqlite-wal", "table.sqlite-shm"] {
        let _not_there = fs::remove_file(folder.path().join("here").join(file));
    }
    let output = said(&run(folder.path(), &["demo", "a boat", "--data", "here", "--callback"]));
    let callback = output.lines().find(|line| line.contains("job.succeeded")).expect("a callback");
    assert!(callback.contains("evt_") && callback.ends_with("verified"), "{output}");
    assert_ne!(fs::read_to_string(folder.path().join("here/demo-key")).expect("a key"), key);
}

/// The catalogue of the page, from the command line to a video.
#[test]
fn an_own_catalogue_is_checked_shown_and_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let page = include_str!("../../../../docs/catalogue.md");
    let (own, _) = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
    fs::write(path.join("own.toml"), own).unwrap();
    fs::write(path.join("bad.toml"), own.replace("seed = true", "sed = true").replace("= 60", "= \"x\""))
        .unwrap();
    fs::write(path.join("loss.toml"), own.replace("= 80_000", "= 200_000")).unwrap();

    assert!(said(&run(path, &["catalog", "check", "own.toml"])).contains("own.toml is valid"));
    let warned = run(path, &["catalog", "check", "loss.toml"]);
    assert!(said(&warned).contains("loss.toml is valid"));
    assert!(String::from_utf8_lossy(&warned.stderr).starts_with("warning: model `paper-boat-1`"));
    let shown = said(&run(path, &["catalog", "show", "own.toml"]));
    assert!(shown.contains("fal/example/paper-boat/text-to-video"), "{shown}");
    assert!(!said(&run(path, &["catalog", "show"])).contains("paper-boat"));
    fs::write(path.join("short.toml"), own.replace("example/paper-boat/image-to-video", "boat")).unwrap();
    let short = refused(&run(path, &["catalog", "check", "short.toml"]));
    assert!(short.contains("an endpoint of fal is `owner/app` or longer"), "{short}");
    fs::write(path.join("large.toml"), own.to_owned() + &"#\n".repeat(600_000)).unwrap();
    let large = refused(&run(path, &["catalog", "check", "large.toml"]));
    assert!(large.contains("large.toml is larger than 1048576 bytes"), "{large}");
    for arguments in [&["catalog", "check", "bad.toml"][..], &["serve", "--catalog", "bad.toml"]] {
        let output = refused(&run(path, arguments));
        let lines: Vec<_> = output.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 3, "{output}");
        assert!(
            lines[1].starts_with("line 9: model `paper-boat-1`, route `fal/example/paper-boat/"),
            "{output}"
        );
        assert!(lines[2].starts_with("line 1: model `paper-boat-1`: expected_s: "), "{output}");
        assert!(!path.join(".genmux").exists());
    }
    let demo = ["demo", "a boat", "--model", "paper-boat-1", "--catalog", "own.toml", "--out", "boat.mp4"];
    assert!(said(&run(path, &demo)).contains("charge 50 credits"));
    assert!(said(&run(path, &["audit"])).contains("cost of all attempts: $0.400000"));
}

#[test]
fn the_url_of_an_inbound_source_is_printed_and_a_list_of_sources_is_checked() {
    let folder = with_data();
    let path = folder.path();
    let url = ["inbound", "url", "stripe", "--account", "acct_demo", "--data", "here"];
    let first = said(&run(path, &url));
    assert!(first.starts_with("http://127.0.0.1:") && first.contains("/v1/inbound/stripe/demo."), "{first}");
    assert_eq!(said(&run(path, &url)), first);
    assert!(
        refused(&run(path, &["inbound", "url", "Stripe", "--account", "acct_demo"]))
            .contains("a source has a name")
    );
    assert!(refused(&run(path, &url[..5])).contains("no stack runs on .genmux"));

    let check = |text: &str| {
        fs::write(path.join("sources.json"), text).expect("a file");
        run(path, &["inbound", "check", "sources.json"])
    };
    let good = r#"[{"source": "stripe", "account": "acct_demo", "secrets": ["whsec_hunter2"]}]"#;
    assert_eq!(said(&check(good)), "sources: 1\n");
    let output = refused(&check(&good.replace("stripe", "strype")));
    assert!(output.contains("[0].kind must be one of: stripe") && !output.contains("hunter2"), "{output}");
}

#[test]
fn every_list_and_change_is_also_json() {
    let folder = with_data();
    let json = |arguments: &[&str]| {
        let output = run(folder.path(), &[arguments, &["--data", "here", "--json"]].concat());
        serde_json::from_str::<Value>(&said(&output)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    let listed = json(&["jobs", "list", "--account", "acct_demo", "--since", "1h"]);
    let job = &listed["jobs"][0];
    assert_eq!((&job["status"], &job["attempts"][0]["number"]), (&json!("succeeded"), &json!(1)), "{listed}");
    assert_eq!(
        json(&["jobs", "list", "--account", "acct_demo", "--since", "2099-01-01T00:00:00Z"])["jobs"],
        json!([])
    );
    let shown = json(&["jobs", "show", job["id"].as_str().expect("an id"), "--request"]);
    assert_eq!(shown["job"]["id"], job["id"]);
    assert_eq!(
        (&shown["timeline"][0]["event"], &shown["request"]["prompt"]),
        (&json!("created"), &Value::Null)
    );
    let created = json(&["keys", "create", "--account", "acct_anna", "--read-only"]);
    assert!(created["key"].as_str().is_some_and(|key| key.starts_with("gmx_")));
    let keys = json(&["keys", "list"]);
    let keys = keys["keys"].as_array().expect("a list").iter();
    let scopes: Vec<_> = keys.filter(|key| key["account"] == "acct_anna").map(|key| &key["scopes"]).collect();
    assert_eq!(scopes, [&json!(["read"])]);
    assert_eq!(json(&["credits", "grant", "acct_anna", "2.5"])["balance_micro_credits"], 2_500_000);
    assert_eq!(json(&["accounts", "show", "acct_anna"])["settings"]["prefer"], Value::Null);
    assert_eq!(
        json(&["providers", "pause", "fal"]),
        json!({"provider": "fal", "paused": true, "changed": true})
    );
    assert_eq!(json(&["providers", "list"])["providers"][0]["slots"], 0);
    assert_eq!(json(&["dlq", "list"])["queues"][0]["messages"], 0);
    assert_eq!(json(&["audit"])["violations"], json!([]));
    assert!(json(&["catalog", "show"])["models"][0]["routes"].is_array());
    let made = json(&["demo", "a boat", "--out", "again.mp4"]);
    assert_eq!((&made["file"], &made["job"]["status"]), (&json!("again.mp4"), &json!("succeeded")));
}

#[test]
fn a_list_that_goes_back_needs_an_account_and_a_length() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (arguments, wanted) in
        [(&["--since", "1h"][..], "--account"), (&["--account", "acct_a", "--since", "soon"], "12h or 7d")]
    {
        let output = refused(&run(folder.path(), &[&["jobs", "list"], arguments].concat()));
        assert!(output.contains(wanted), "{output}");
    }
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in
        [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]]
    {
        let output = said(&run(folder.path(), arguments));
        for command in ["submit", "download", "redrive"] {
            assert!(output.contains(command), "{arguments:?} lacks {command}");
        }
        let json: Value =
            serde_json::from_str(&said(&run(folder.path(), &[arguments, &["--json"]].concat()))).unwrap();
        let text = json.get("script").or(json.get("page")).and_then(Value::as_str);
        assert_eq!(text.map(str::trim_end), Some(output.trim_end()), "{arguments:?}");
    }
}

#[test]
fn an_operator_has_endpoints_without_a_key() {
    let folder = with_data();
    let run =
        |arguments: &[&str]| run(folder.path(), &[&["--data", "here", "endpoints"], arguments].concat());
    let address = "https://hooks.example.com/alerts";
    let made = said(&run(&["add", "--url", address, "--types", "provider.*,queue.*", "--json"]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    let listed = said(&run(&["list"]));
    assert!(
        listed.contains(id) && listed.contains("provider.*,queue.*") && listed.contains(address),
        "{listed}"
    );
    assert!(!said(&run(&["list", "--account", "acct_demo"])).contains(id));
    assert!(said(&run(&["pause", id])).contains("is paused"));
    assert!(refused(&run(&["test", id])).contains("The endpoint is paused. Enable it first."));
    assert!(said(&run(&["enable", id])).contains("is enabled"));
    assert!(said(&run(&["rotate", id, "--grace-s", "60"])).contains("previous_secret_until"));
    assert!(refused(&run(&["rotate", id])).contains("signs as well until"));
    let since = refused(&run(&["recover", id, "--since", "yesterday"]));
    assert!(since.contains("`since` must be a time in the past"), "{since}");
    assert!(said(&run(&["recover", id, "--since", "2026-01-01T00:00:00Z"])).contains("is sent again"));
    assert_eq!(said(&run(&["deliveries", id])).trim(), "");
    let wrong = refused(&run(&["add", "--kind", "telegram", "--url", address]));
    assert!(wrong.contains("`url` is not for `telegram`, which takes `to`"), "{wrong}");
    assert!(said(&run(&["delete", id])).contains("deleted"));
    assert!(refused(&run(&["show", id])).contains("there is no such endpoint"));
}

#[test]
fn an_operator_sees_and_changes_which_addresses_take_messages() {
    let folder = with_data();
    let run =
        |arguments: &[&str]| run(folder.path(), &[&["--data", "here", "endpoints"], arguments].concat());
    for (command, is) in
        [("suppressed", false), ("suppress", true), ("suppressed", true), ("allow", false), ("allow", false)]
    {
        let shown = said(&run(&[command, "Anna@Example.com", "--json"]));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["suppressed"], is, "{command}: {shown}");
        assert_eq!(shown["address"], "Anna@example.com");
    }
    assert!(said(&run(&["suppress", "--kind", "sms", "+4915123456789"])).contains("is suppressed"));
    assert!(refused(&run(&["suppress", "--kind", "slack", "x"])).contains("must be email or sms"));
    assert!(refused(&run(&["suppress", "anna"])).contains("it is not `name@host.example`"));
    // A kind without an address.
    assert!(said(&run(&["add", "--kind", "websocket"])).contains("websocket"));
}
