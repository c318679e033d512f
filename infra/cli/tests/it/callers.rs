//! The commands that call an API, against servers that answer badly.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

const ID: &str = "job_pqrapqrapqrapqrapqrapqragm";
const FILE: &[u8] = b"a file";

/// A server that gives each request to `answer`; without an answer it is silent.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (requests, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread failed").clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Option<Vec<u8>>) {
    let mut bytes = [0; 65_536];
    let read = stream.read(&mut bytes).unwrap_or(0);
    let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
    seen.lock().expect("no thread failed").push(request.clone());
    match answer(&request) {
        Some(answer) => stream.write_all(&answer).expect("the command reads its answer"),
        None => std::thread::sleep(Duration::from_secs(60)),
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    http("200 OK", "", body.as_ref())
}

fn running() -> Vec<u8> {
    ok(json!({"id": ID, "status": "running"}).to_string())
}

fn genmux(folder: &Path, api: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.current_dir(folder).args(arguments).env("GENMUX_API", api).env("GENMUX_KEY", "secret-key");
    // No proxy is needed for this machine.
    command.env("HTTP_PROXY", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9");
    command.output().expect("the binary starts")
}

/// The error message of a failed command.
fn refused(folder: &Path, api: &str, arguments: &[&str]) -> String {
    let ended = genmux(folder, api, arguments);
    assert!(!ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stdout));
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

fn here() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

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
    assert!(text.contains("pay at         https://checkout.example/\\u{202e}a"), "{text}");
    assert!(text.contains("price          10.00 USD for 1000 credits (pack star\\u{1b}[2Jter)"), "{text}");
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
    for (api, polls) in [(&at_once, 2..=3), (&silent, 1..=1), (&failing, 1..=2)] {
        let start = Instant::now();
        let error = refused(here().path(), &api.url, &["wait", ID, "--timeout", "2"]);
        assert!(error.contains("after 2 s; it continues without this command"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
        assert!(polls.contains(&api.requests().len()), "{} polls", api.requests().len());
    }
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
