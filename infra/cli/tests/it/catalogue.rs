//! `genmux catalog diff` and `apply`, with lists in files and of a server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::commands::{said, with_data};

const HAILUO: &str = "fal-ai/minimax/hailuo-2.3/pro/text-to-video";

fn genmux(folder: &Path, arguments: &[&str], fal: &str) -> Output {
    command(folder, arguments, fal).output().expect("the binary starts")
}

fn command(folder: &Path, arguments: &[&str], fal: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for name in ["FAL_KEY", "FAL_BASE_URL", "CATALOG", "OPENROUTER_API_KEY", "GENMUX_LIST_KEY"] {
        command.env_remove(name);
    }
    if !fal.is_empty() {
        command.env("FAL_KEY", "k").env("FAL_ADMIN_KEY", "of-bills").env("FAL_BASE_URL", fal);
    }
    command
}

fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|wrong| panic!("{wrong}: {text}"))
}

/// A fal that lists one price, of a model that costs $0.49.
fn fal(price: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 16_384];
            let count = stream.read(&mut buffer).unwrap_or(0);
            let call = String::from_utf8_lossy(&buffer[..count]).into_owned();
            assert!(call.contains("authorization: Key k\r\n"), "another key: {call}");
            let line = format!(
                r#"{{"endpoint_id": "{HAILUO}", "unit": "video", "unit_price": {price}, "currency": "USD"}}"#
            );
            let lines = if call.contains("hailuo-2.3%2Fpro%2Ftext") { line } else { String::new() };
            let body = format!(r#"{{"prices": [{lines}], "models": [], "has_more": false}}"#);
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _closed = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn what_a_provider_changed_is_written_and_what_both_changed_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let (dearer, dearest) = (fal("0.5"), fal("0.6"));
    let shown = json_of(&genmux(path, &["catalog", "diff", "--provider", "fal", "--json"], &dearer));
    assert_eq!(
        (&shown["updated"][0]["ours"], &shown["updated"][0]["theirs"]),
        (&json!(490_000), &json!(500_000))
    );
    assert_eq!(
        (&shown["conflicts"], &shown["deleted"], &shown["created"]),
        (&json!([]), &json!([]), &json!([]))
    );

    let apply = |more: &[&str], fal: &str| {
        genmux(path, &[&["catalog", "apply", "own.toml", "--provider", "fal", "--json"], more].concat(), fal)
    };
    assert_eq!(json_of(&apply(&[], &dearer))["applied"], true);
    let own = || fs::read_to_string(path.join("own.toml")).expect("the catalogue");
    assert!(own().contains(r#"by_length = { 6 = 500000 }"#), "{}", own());
    assert!(genmux(path, &["catalog", "check", "own.toml"], "").status.success());
    // Once more: nothing to do.
    let again = json_of(&apply(&[], &dearer));
    assert_eq!((&again["updated"], &again["conflicts"]), (&json!([]), &json!([])));

    fs::write(path.join("own.toml"), format!("# by contract\n{}", own().replace("500000", "450000")))
        .expect("a file");
    let kept = json_of(&apply(&[], &dearer));
    assert_eq!((&kept["kept"], &kept["updated"]), (&json!(1), &json!([])), "they changed nothing since");
    let before = own();
    let asked = apply(&[], &dearest);
    assert_eq!((asked.status.code(), json_of(&asked)["applied"].clone()), (Some(1), json!(false)));
    assert_eq!((json_of(&asked)["conflicts"][0]["ours"].clone(), own()), (json!(450_000), before.clone()));
    assert_eq!(json_of(&apply(&["--on-conflict", "ours"], &dearest))["applied"], true);
    assert_eq!(own(), before);
    assert_eq!(json_of(&apply(&[], &dearest))["kept"], 1, "what was decided is not asked for again");
    let other = ["--out", "other.toml", "--on-conflict", "theirs"];
    assert_eq!(json_of(&apply(&other, &fal("0.7")))["applied"], true);
    let written = fs::read_to_string(path.join("other.toml")).expect("the other catalogue");
    assert_eq!((written, own()), (before.replace("450000", "700000"), before));
    // What exists and was not read is not written over.
    let other = || fs::read_to_string(path.join("other.toml")).expect("the other catalogue");
    let kept = other();
    for more in [&["own.toml"][..], &[]] {
        let arguments = [&["catalog", "apply", "--provider", "fal", "--out", "other.toml"], more].concat();
        let refused = genmux(path, &arguments, &dearest);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("other.toml exists: name it as FILE"), "{text}");
        assert_eq!(other(), kept);
    }
}

#[test]
fn prices_of_others_are_compared_with_what_callers_pay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let list = json!({"data": [
        {"id": "google/veo-3.1-fast", "pricing_skus": {"per_second_720p": "0.2", "generate": "1"}},
        {"id": "google/veo-9", "pricing_skus": {}},
    ]});
    fs::write(path.join("list.json"), list.to_string()).expect("a file");
    let arguments = ["catalog", "apply", "--openrouter-list", "list.json", "--out", "own.toml", "--json"];
    let applied = json_of(&genmux(path, &arguments, ""));
    assert_eq!(
        (&applied["updated"][0]["theirs"], &applied["created"]),
        (&json!(20_000_000), &json!(["google/veo-9"]))
    );
    assert_eq!(applied["unclear"][0]["why"], "its price `generate` is not understood");
    let own = fs::read_to_string(path.join("own.toml")).expect("the catalogue");
    assert!(own.contains("per_second = 20000000, per_second_audio = "), "{own}");
    assert!(genmux(path, &["catalog", "check", "own.toml"], "").status.success());
}

/// Also where the stack is deployed: the option belongs to no command alone.
#[test]
fn an_own_catalogue_is_what_keys_and_prices_go_by() {
    let folder = with_data();
    let path = folder.path();
    let page = include_str!("../../../../docs/catalogue.md");
    let (own, _) = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
    fs::write(path.join("own.toml"), own).expect("a file");
    fs::write(path.join("bad.toml"), "x = 1").expect("a file");
    let book = "[models.\"paper-boat-1\".\"720p\"]\nper_second = 11_000_000\n";
    fs::write(path.join("prices.toml"), book).expect("a file");
    let key = ["keys", "create", "--account", "acct_demo", "--models", "paper-boat-1", "--data", "here"];
    let prices = ["prices", "set", "prices.toml", "--data", "here"];
    for (arguments, warning) in [(&key[..], "has no model `paper-boat-1`"), (&prices, "does not sell")] {
        let with = |file: &str| genmux(path, &[arguments, &["--catalog", file]].concat(), "");
        for (ended, is_known) in [(genmux(path, arguments, ""), false), (with("own.toml"), true)] {
            said(&ended);
            let output = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(!output.contains(warning), is_known, "{output}");
        }
        assert!(String::from_utf8_lossy(&with("bad.toml").stderr).contains("bad.toml is not a valid"));
    }
}

#[test]
fn a_list_of_others_gets_its_own_key_and_not_that_of_openrouter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1/videos/models", listener.local_addr().expect("an address"));
    for (own, sent) in [("", false), ("of-others", true)] {
        let mut diff = command(folder.path(), &["catalog", "diff", "--openrouter-list", &url, "--json"], "");
        diff.env("OPENROUTER_API_KEY", "of-openrouter");
        if sent {
            diff.env("GENMUX_LIST_KEY", own);
        }
        let started = diff.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (mut stream, _) = listener.accept().expect("a call");
        let mut buffer = [0; 16_384];
        let count = stream.read(&mut buffer).expect("a request");
        let call = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let body = r#"{"data": []}"#;
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).expect("an answer");
        let ended = started.wait_with_output().expect("it ends");
        assert_eq!(json_of(&ended)["same"], 0);
        assert!(!call.contains("of-openrouter"), "{call}");
        assert_eq!(call.contains("authorization: Bearer of-others"), sent, "{call}");
    }
}

#[test]
fn what_a_comparison_of_catalogues_needs_is_asked_for_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    fs::write(path.join("odd.json"), r#"{"models": []}"#).expect("a file");
    fs::write(path.join("bad.toml"), "[[models]]\nname = 1\n").expect("a file");
    for (arguments, wanted) in [
        (&["catalog", "diff"][..], "--provider"),
        (&["catalog", "diff", "--provider", "fal"], "FAL_KEY is missing"),
        (&["catalog", "diff", "--provider", "fal", "--openrouter-list", "x"], "cannot be used with"),
        (&["catalog", "apply", "--openrouter-list", "odd.json"], "name a catalogue to write"),
        (&["catalog", "diff", "--openrouter-list", "odd.json"], "OpenRouter's form"),
        (&["catalog", "diff", "--openrouter-list", "none.json"], "none.json cannot be read"),
        (&["catalog", "diff", "--openrouter-list", "http://a.example/list"], "must be a URL of https"),
        (
            &["catalog", "diff", "bad.toml", "--openrouter-list", "odd.json"],
            "bad.toml is not a valid catalogue",
        ),
        (&["catalog", "apply", "x.toml", "--openrouter-list", "odd.json", "--on-conflict", "mine"], "theirs"),
    ] {
        let ended = genmux(path, arguments, "");
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && text.contains(wanted), "{arguments:?}: {text}");
    }
    assert!(!path.join("x.toml").exists());
}
