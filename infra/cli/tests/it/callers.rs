//! The commands that call an API, against servers that answer badly.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::server::{ID, Server, genmux, here, http, ok, refused, running};

const FILE: &[u8] = b"a file";

const TOPUP: &str = "top_pqrapqrapqrapqrapqrapqragm";
const COMMANDS: [&[&str]; 10] = [
    &["models"],
    &["quote", "a"],
    &["submit", "a"],
    &["wait", ID],
    &["download", ID],
    &["cancel", ID],
    &["packs"],
    &["topups", "list"],
    &["topups", "show", TOPUP],
    &["topups", "create", "--pack", "starter"],
];

#[test]
fn a_redirect_does_not_get_the_key() {
    let other = Server::start(|_| Some(running()));
    let location = format!("location: {}/\r\n", other.url);
    for status in ["302 Found", "308 Permanent Redirect"] {
        let location = location.clone();
        let api = Server::start(move |_| Some(http(status, &location, b"")));
        for command in COMMANDS {
            let error = refused(here().path(), &api.url, command);
            assert!(error.contains("a redirect is not followed"), "{command:?}: {error}");
        }
    }
    assert_eq!(other.requests(), Vec::<String>::new());
}

/// An answer that is obeyed by a terminal sets its title, clears it, and adds lines of its own.
#[test]
fn nothing_of_an_answer_is_obeyed_by_a_terminal() {
    let hostile = "a\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}b";
    let job = json!({
        "id": ID, "status": "failed", "price_credits": hostile,
        "error": {"code": hostile, "message": hostile},
        "routes": [{"name": hostile, "provider": hostile}], "models": [{"name": hostile}],
    });
    let problem = json!({"code": hostile, "detail": hostile, "errors": [hostile]}).to_string();
    let answers = Server::start(move |_| Some(ok(job.to_string())));
    let refuses = Server::start(move |_| Some(http("422 Unprocessable Content", "", problem.as_bytes())));
    for api in [&answers.url, &refuses.url] {
        for command in
            COMMANDS.iter().flat_map(|command| [command.to_vec(), [command, &["--json"][..]].concat()])
        {
            let ended = genmux(here().path(), api, &command);
            let shown = String::from_utf8([ended.stdout, ended.stderr].concat()).expect("UTF-8");
            let is_obeyed = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
            assert!(!shown.contains(is_obeyed), "{command:?}: {shown:?}");
        }
    }
    let shown = genmux(here().path(), &answers.url, &["wait", ID]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("failed: a\\u001b]0;title\\u0007\\u009b2J\\u000d\\u000a\\u202eb"), "{shown}");
}

#[test]
fn what_is_no_answer_of_the_api_is_an_error() {
    for body in ["{}", "<html>", "", "[]", "null", r#"{"id": 7, "status": null}"#] {
        let api = Server::start(move |_| Some(ok(body)));
        for command in COMMANDS {
            let error = refused(here().path(), &api.url, command);
            assert!(error.contains("is not one of the API"), "{command:?} of {body}: {error}");
        }
    }
    // An id that would be a path is none.
    let odd = json!({"id": "../../x", "price_credits": "1"}).to_string();
    let api = Server::start(move |_| Some(ok(&odd)));
    assert!(refused(here().path(), &api.url, &["submit", "a"]).contains("names no job"));
    assert!(refused(here().path(), "http://127.0.0.1:9/<", &["models"]).contains("is not available"));
}

#[test]
fn a_submit_names_its_key_before_the_call_and_in_every_failure() {
    let made = json!({"id": ID, "price_credits": "104", "status": "queued"}).to_string();
    let failed = json!({"id": ID, "status": "failed"}).to_string();
    let api =
        Server::start(move |request| Some(ok(if request.starts_with("POST") { &made } else { &failed })));
    let (folder, submit) = (here(), ["submit", "a", "--idempotency-key", "order-1"]);
    let ended = genmux(folder.path(), &api.url, &submit);
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "idempotency key order-1\n");
    let error = refused(folder.path(), &api.url, &[&submit[..], &["--wait"]].concat());
    assert!(error.contains(&format!("{ID} was made with the idempotency key order-1")), "{error}");

    let refusing = Server::start(|_| Some(http("503 Unavailable", "", b"<html>")));
    let error = refused(folder.path(), &refusing.url, &["submit", "a"]);
    let key = error.lines().next().and_then(|line| line.strip_prefix("idempotency key ")).unwrap();
    assert!(error.contains(&format!("--idempotency-key {key}` makes at most one")), "{error}");
    assert!(refusing.requests()[0].contains(&format!("idempotency-key: {key}")));
}

#[test]
fn a_purchase_names_its_key_and_shows_where_to_pay() {
    let bought = json!({"id": TOPUP, "status": "pending", "processor": "stripe", "method": "hosted", "mode": "test",
        "price": "10.00", "currency": "USD", "micro_credits": 1_000_000_000_u64, "pack": "star\u{1b}[2Jter",
        "url": "https://checkout.example/\u{202e}a"});
    let answer = bought.to_string();
    let api = Server::start(move |_| Some(ok(&answer)));
    let create = [
        "topups",
        "create",
        "--amount",
        "1000",
        "--currency",
        "USD",
        "--processor",
        "stripe",
        "--return-url",
        "https://shop.example/",
        "--idempotency-key",
        "order-1",
    ];
    let ended = genmux(here().path(), &api.url, &create);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "idempotency key order-1\n");
    assert!(text.contains("pay at         https://checkout.example/\\u202ea"), "{text}");
    assert!(text.contains("price          10.00 USD for 1000 credits (pack star\\u001b[2Jter)"), "{text}");
    let request = &api.requests()[0];
    assert!(
        request.starts_with("POST /v1/topups ") && request.contains("idempotency-key: order-1"),
        "{request}"
    );
    for field in [
        r#""amount":1000"#,
        r#""currency":"USD""#,
        r#""processor":"stripe""#,
        r#""return_url":"https://shop.example/""#,
    ] {
        assert!(request.contains(field), "{field}: {request}");
    }
    let json = genmux(here().path(), &api.url, &[&create[..], &["--json"]].concat());
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap(), bought);

    let refusing = Server::start(|_| Some(http("503 Unavailable", "", b"<html>")));
    let error = refused(here().path(), &refusing.url, &["topups", "create", "--pack", "starter"]);
    let key = error.lines().next().and_then(|line| line.strip_prefix("idempotency key ")).unwrap();
    assert!(error.contains(&format!("--idempotency-key {key}` makes at most one")), "{error}");
    for wrong in [
        &[][..],
        &["--pack", "a", "--amount", "1"],
        &["--amount", "1"],
        &["--pack", "a", "--method", "cash"],
        &["--pack", "a", "--processor", "cash"],
        &["--pack", "a", "--currency", "usd"],
    ] {
        let error = refused(here().path(), &api.url, &[&["topups", "create"], wrong].concat());
        assert!(error.contains("Usage") || error.contains("--help"), "{wrong:?}: {error}");
    }
}

#[test]
fn a_field_is_given_once_and_a_mistake_calls_nothing() {
    let api = Server::start(|_| Some(running()));
    for wrong in [
        &["--set", "model=sora"][..],
        &["--set", "prompt=b"],
        &["--set", "seed=1", "--set", "seed=2"],
        &["--duration", "4", "--set", "duration_s=8"],
        &["--image", "https://a.example/a.png", "--set", "image=null"],
    ] {
        for command in ["submit", "quote"] {
            let error = refused(here().path(), &api.url, &[&[command, "a"], wrong].concat());
            assert!(error.contains("is given twice"), "{wrong:?}: {error}");
        }
    }
    for timeout in ["0", "-1", "18446744073709551615"] {
        let error = refused(here().path(), &api.url, &["wait", ID, &format!("--timeout={timeout}")]);
        assert!(error.contains("--timeout"), "{error}");
    }
    for url in ["nonsense", "127.0.0.1:8787", "ftp://api.example", "https://", "http://a.example/?x=1"] {
        let error = refused(here().path(), url, &["wait", ID]);
        assert!(error.contains("the URL of the API must be like"), "{url}: {error}");
    }
    assert_eq!(api.requests(), Vec::<String>::new());
}

#[test]
fn a_wait_ends_in_time_and_polls_once_a_second_at_most() {
    let at_once = Server::start(|_| Some(running()));
    let silent = Server::start(|_| None);
    let failing = Server::start(|_| Some(http("503 Unavailable", "", b"")));
    for (api, polls, known) in [
        (&at_once, 2..=3, "still running"),
        (
            &silent,
            1..=1,
            "of unknown status after 2 s; it continues without this command (the last call failed: the API did not answer",
        ),
        (&failing, 1..=2, "the last call failed: the API is not available: 503"),
    ] {
        let start = Instant::now();
        let error = refused(here().path(), &api.url, &["wait", ID, "--timeout", "2"]);
        assert!(error.contains("after 2 s; it continues without this command"), "{error}");
        assert!(error.contains(known), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
        assert!(polls.contains(&api.requests().len()), "{} polls", api.requests().len());
    }
}

#[test]
fn a_short_wait_shows_the_status_and_a_failure_after_it() {
    let waiting = Server::start(|request| (!request.contains("prefer: wait=")).then(running));
    let error = refused(here().path(), &waiting.url, &["wait", ID, "--timeout", "1"]);
    assert!(error.contains("still running after 1 s; it continues"), "{error}");

    let calls = AtomicUsize::new(0);
    let lost = Server::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Some(running()),
        _ => Some(http("502 Bad Gateway", "", b"")),
    });
    let error = refused(here().path(), &lost.url, &["wait", ID, "--timeout", "3"]);
    assert!(error.contains("still running after 3 s") && error.contains("502"), "{error}");
}

#[test]
fn a_deleted_file_is_named_as_the_reason() {
    let at = "2026-11-30T08:00:00.000Z";
    let job = json!({"id": ID, "status": "succeeded", "media_deleted_at": at}).to_string();
    let api = Server::start(move |_| Some(ok(&job)));
    let error = refused(here().path(), &api.url, &["download", ID]);
    assert!(error.contains(&format!("there is no file: it was deleted at {at}")), "{error}");
}

/// An API with one job, whose file has the hash of `file`; `before` is called before the file is sent.
fn with_file(file: &'static [u8], before: impl Fn() + Send + Sync + 'static) -> Server {
    let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(file));
    Server::start(move |request| {
        if request.starts_with("GET /file") {
            assert!(!request.contains("secret-key"), "the store gets no key");
            before();
            return Some(ok(FILE));
        }
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        let media =
            json!([{"url": format!("http://{host}/file"), "content_type": "video/../mp4", "sha256": sha256}]);
        Some(ok(json!({"id": ID, "status": "succeeded", "media": media}).to_string()))
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map_while(Result::ok);
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_download_writes_the_named_file_alone() {
    let (api, folder) = (with_file(FILE, || ()), here());
    let path = folder.path();
    assert!(genmux(path, &api.url, &["download", ID]).status.success());
    assert_eq!(names(path), [format!("{ID}.mp4")]);
    fs::write(path.join("old.mp4"), "old").unwrap();
    assert!(genmux(path, &api.url, &["download", ID, "--out", "old.mp4"]).status.success());
    assert_eq!(fs::read(path.join("old.mp4")).unwrap(), FILE);

    fs::write(path.join("precious"), "precious").unwrap();
    symlink("precious", path.join("link.mp4")).unwrap();
    symlink("nowhere", path.join("dangling.mp4")).unwrap();
    for link in ["link.mp4", "dangling.mp4"] {
        let error = refused(path, &api.url, &["download", ID, "--out", link]);
        assert!(error.contains("is a link"), "{error}");
    }
    assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), "precious");
    assert!(!path.join("nowhere").exists());
    // A link to a device or a pipe is as good as the device.
    let written = genmux(path, &api.url, &["download", ID, "--out", "/dev/stdout"]);
    assert!(written.stdout.starts_with(FILE), "{written:?}");
    assert!(genmux(path, &api.url, &["download", ID, "--out", "/dev/null"]).status.success());
    let fifo = path.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    assert!(genmux(path, &api.url, &["download", ID, "--out", "fifo"]).status.success());
    assert_eq!(reader.join().unwrap(), FILE);
}

#[test]
fn a_job_whose_file_cannot_be_written_is_not_submitted() {
    let (api, folder) = (Server::start(|_| Some(running())), here());
    let path = folder.path();
    fs::create_dir(path.join("there")).unwrap();
    fs::create_dir(path.join("locked")).unwrap();
    fs::set_permissions(path.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let long = "a".repeat(250);
    let mut places = vec!["newdir/", "there/", "there", "absent/a.mp4", "a.mp4/", &long];
    // The superuser may write everywhere.
    if fs::write(path.join("locked/a"), "").is_err() {
        places.push("locked/a.mp4");
    } else {
        places.push("/proc/a.mp4");
    }
    for out in places {
        for command in [&["submit", "a", "--wait", "--out", out][..], &["download", ID, "--out", out]] {
            let error = refused(path, &api.url, command);
            let place = out.split('/').find(|part| !part.is_empty()).unwrap();
            assert!(error.contains(place), "{command:?}: {error}");
        }
    }
    // Without a name, the file would be here.
    let deleted = path.join("deleted");
    fs::create_dir(&deleted).unwrap();
    let script =
        format!("rmdir {0} && exec {1} submit a --wait", deleted.display(), env!("CARGO_BIN_EXE_genmux"));
    let mut shell = Command::new("sh");
    shell.current_dir(&deleted).args(["-c", &script]).env("GENMUX_API", &api.url).env("GENMUX_KEY", "key");
    let ended = shell.output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("cannot be written"), "{ended:?}");

    assert_eq!(api.requests(), Vec::<String>::new());
    // What was tried is left nowhere.
    let error = refused(path, &api.url, &["submit", "a", "--wait", "--out", "a.mp4"]);
    assert!(!api.requests().is_empty(), "{error}");
    assert_eq!(names(path), ["locked", "there"]);
}

#[test]
fn nothing_is_left_of_a_download_that_fails() {
    let (wrong, folder) = (with_file(b"another file", || ()), here());
    let path = folder.path();
    fs::write(path.join("a.mp4"), "old").unwrap();
    let error = refused(path, &wrong.url, &["download", ID, "--out", "a.mp4"]);
    assert!(error.contains("is not the one that was stored"), "{error}");
    assert_eq!(fs::read_to_string(path.join("a.mp4")).unwrap(), "old");

    // A folder appears where the file was to be.
    let taken = path.join("b.mp4");
    let api = with_file(FILE, move || fs::create_dir(&taken).unwrap());
    let error = refused(path, &api.url, &["download", ID, "--out", "b.mp4"]);
    assert!(error.contains("b.mp4 cannot be written"), "{error}");
    assert_eq!(names(path), ["a.mp4", "b.mp4"]);
}

#[test]
fn a_server_elsewhere_is_called_by_the_proxy_of_the_environment() {
    let proxy = Server::start(|_| Some(ok(json!({"models": []}).to_string())));
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.arg("models").env("GENMUX_API", "http://api.example").env("GENMUX_KEY", "key");
    command
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("HTTP_PROXY", &proxy.url)
        .env("http_proxy", &proxy.url);
    assert!(command.output().unwrap().status.success());
    assert!(proxy.requests()[0].starts_with("GET http://api.example/v1/models "), "{:?}", proxy.requests());
}
