//! The `genmux` binary as a user runs it: started, killed in mid-job, started again.

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// How long a job may take that was interrupted: a check is due within two minutes.
const PATIENCE: Duration = Duration::from_secs(240);

struct Server {
    process: Child,
    /// Kept open: the server writes to it until its end.
    _output: Lines<BufReader<ChildStdout>>,
    api: String,
    key: String,
}

/// A test that fails leaves no stack behind.
impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
    }
}

impl Server {
    /// Starts the stack on a folder.
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
        Self::run(command.args(["serve", "--port", &port.to_string(), "--data"]).arg(folder))
    }

    /// Runs a command that starts the stack, and reads from its first lines where it is.
    fn run(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is read")).lines();
        let (mut api, mut key) = (String::new(), String::new());
        for line in lines.by_ref().map_while(Result::ok) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("API"), Some(url)) => api = url.to_owned(),
                (Some("key"), Some(token)) => key = token.to_owned(),
                (Some("try"), _) => break,
                _ => {}
            }
        }
        assert!(!api.is_empty() && !key.is_empty(), "it does not say where it runs");
        Self { process, _output: lines, api, key }
    }

    fn stop(mut self, signal: &str) {
        let pid = self.process.id().to_string();
        Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        let ended = self.process.wait().expect("the process ends");
        assert_eq!(ended.success(), signal != "-KILL", "{signal}: {ended}");
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Value {
        let sent = request.bearer_auth(&self.key).send().await.expect("the API answers");
        sent.json().await.expect("the answer is JSON")
    }

    /// Orders a job; gives its id.
    async fn order(&self, order: &Value) -> String {
        let post = reqwest::Client::new().post(format!("{}/v1/jobs", self.api));
        let job = self.call(post.json(order)).await;
        job["id"].as_str().unwrap_or_else(|| panic!("{job} has no id")).to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        let get = reqwest::Client::new().get(format!("{}/v1/jobs/{id}", self.api));
        self.call(get.header("prefer", "wait=1")).await
    }
}

fn audit(folder: &Path) -> (bool, String) {
    let audit = Command::new(env!("CARGO_BIN_EXE_genmux")).arg("audit").arg("--data").arg(folder).output();
    let audit = audit.expect("the audit runs");
    (audit.status.success(), String::from_utf8_lossy(&audit.stdout).into_owned())
}

#[tokio::test]
async fn jobs_survive_a_kill_in_the_middle_and_are_paid_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The same port both times, because callback URLs contain it.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let server = Server::start(folder.path(), free.port());
    let mut ids = Vec::new();
    for model in ["pika-2.2", "gen-4.5", "veo-3.1"] {
        ids.push(server.order(&json!({"model": model, "prompt": "a paper boat"})).await);
    }
    // In mid-job: accepted by their providers, and not done.
    for id in &ids {
        while matches!(server.job(id).await["status"].as_str(), Some("queued" | "dispatching")) {}
    }
    server.stop("-KILL");

    let server = Server::start(folder.path(), free.port());
    for id in &ids {
        let finish = async { while server.job(id).await["status"] != "succeeded" {} };
        tokio::time::timeout(PATIENCE, finish).await.expect("the job finishes after all");
        let job = server.job(id).await;
        assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
        let link = job["media"][0]["url"].as_str().expect("it has media");
        let video = reqwest::get(link).await.expect("the link works").bytes().await.expect("the video comes");
        assert_eq!(&video[4..8], b"ftyp");
    }
    // Without a key; the sums are of this process alone.
    let metrics = reqwest::get(format!("{}/metrics", server.api)).await.expect("it answers");
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = metrics.text().await.expect("text");
    let succeeded = "genmux_jobs_succeeded_total{function=\"fetch\"} ";
    let succeeded = metrics.lines().find_map(|line| line.strip_prefix(succeeded)).expect("a sample");
    assert!((1..=ids.len()).contains(&succeeded.parse().expect("a number")), "{metrics}");
    let account = server.call(reqwest::Client::new().get(format!("{}/v1/account", server.api))).await;
    let lines = account["ledger"].as_array().expect("there is a ledger");
    assert_eq!(lines.iter().filter(|line| line["kind"] == "charge").count(), ids.len(), "{account}");
    server.stop("-INT");

    let (clean, report) = audit(folder.path());
    assert!(clean, "{report}");
}

const PROMPT: &str = "a boat that must stay private";
const FAL_KEY: &str = "fal-key-that-must-stay-secret";
/// In the links to files, at fal and at ours.
const SIGNATURE: &str = "X-Amz-Signature=";
const LINK_SECRET: &str = "link-that-must-stay-secret";

const IMAGE: &str = "https://images.example/a.png";
/// A model at every provider, and what its simulator plays.
const PLAYS: [(&str, &str, &str); 16] = [
    ("pika-2.2", "fal", "latency=1"),
    ("gen-4.5", "runway", "answer=long"),
    ("veo-3.1", "replicate", "latency=1"),
    ("veo-3.1-fast", "vertex", "asset=500:1"),
    ("kling-2.6", "kling", "latency=1"),
    ("kling-2.6", "kling_legacy", "webhook=twice"),
    ("gemini-omni-1.1-flash", "gemini", "latency=1"),
    ("hailuo-2.3", "minimax", "latency=1"),
    ("ray-3.2", "luma", "fail=content_policy"),
    ("uni-1", "luma", "latency=1"),
    ("ray-2", "dream_machine", "fail=internal"),
    ("wan-2.2", "openai", "fail=invalid"),
    ("grok-imagine-video-1.5", "xai", "fail=content_policy"),
    ("stable-image-core", "stability", "create=refuse:policy"),
    ("seedance-2.0-mini", "byteplus", "latency=1"),
    ("wan-2.7", "dashscope", "latency=1"),
];

/// A fal of which everything succeeds, with a file behind a signed link whose server fails at first.
async fn real_fal() -> String {
    let downloads = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("it has an address"));
    let video = format!("{base}/video.mp4?{SIGNATURE}{LINK_SECRET}");
    let fal = move |request: Request| {
        let path = request.uri().path();
        let answer: Response = match path {
            "/video.mp4" if downloads.fetch_add(1, Ordering::Relaxed) == 0 => {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            "/video.mp4" => b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x02\x08moov"
                .iter()
                .copied()
                .chain([0; 512])
                .collect::<Vec<u8>>()
                .into_response(),
            _ if path.ends_with("/status") => axum::Json(json!({"status": "COMPLETED"})).into_response(),
            _ if path.contains("/requests/") => axum::Json(json!({"video": {"url": video}})).into_response(),
            _ => axum::Json(json!({"request_id": "764cabcf-b745-4b3e-ae38-1200304cf45b"})).into_response(),
        };
        std::future::ready(answer)
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(fal)).await });
    base
}

/// Whatever the log may tell at its finest: not what callers and providers wrote, nor what opens a door.
#[tokio::test]
async fn the_finest_log_holds_no_prompt_no_key_and_no_signed_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = tempfile::NamedTempFile::new().expect("a file for the log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.args(["serve", "--port", "0", "--real", "fal", "--simulate"]);
    command
        .arg("runway,replicate,vertex,gemini,kling,minimax,stability,luma,dream_machine,openai,kling_legacy,byteplus,dashscope,xai");
    command.arg("--data").arg(folder.path()).stderr(log.reopen().expect("the log opens"));
    command.env("RUST_LOG", "trace").env("FAL_KEY", FAL_KEY).env("FAL_BASE_URL", real_fal().await);
    let server = Server::run(&mut command);
    let key = server.key.clone();

    let mut ids = Vec::new();
    for (model, provider, directives) in PLAYS {
        let prompt = format!("{PROMPT} [[sim: {directives}]]");
        let mut order = json!({"model": model, "prompt": prompt, "provider": provider, "pin": true});
        ids.push(server.order(&order).await);
        if model == "gen-4.5" {
            order["image_url"] = json!(IMAGE);
            ids.push(server.order(&order).await);
        }
    }
    let mut links = Vec::new();
    let all_end = async {
        for id in &ids {
            let mut job = server.job(id).await;
            while !matches!(job["status"].as_str(), Some("succeeded" | "failed")) {
                job = server.job(id).await;
            }
            links.extend(job["media"][0]["url"].as_str().map(str::to_owned));
        }
    };
    let all_ended = tokio::time::timeout(PATIENCE, all_end).await;
    server.stop("-INT");
    assert!(all_ended.is_ok());
    assert!(links.len() > 5 && links.iter().all(|link| link.contains(SIGNATURE)), "{links:?}");

    let log = std::fs::read_to_string(log.path()).expect("the log is text");
    for line in ["provider.called", "job.advanced", "media.not_copied"] {
        assert!(log.contains(line), "no {line}: {log}");
    }
    let callback = std::fs::read_to_string(folder.path().join("callback-secret")).expect("it has one");
    let secrets =
        [PROMPT, IMAGE, FAL_KEY, &callback, &key, SIGNATURE, LINK_SECRET, "/v1/webhooks/", "PRIVATE KEY"];
    for secret in secrets {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert_eq!(lines, Vec::<&str>::new(), "of {secret}");
    }
}

#[test]
fn an_audit_of_books_that_do_not_add_up_exits_with_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Server::start(folder.path(), 0).stop("-TERM");
    let (clean, report) = audit(folder.path());
    assert!(clean, "{report}");

    let table = rusqlite::Connection::open(folder.path().join("table.sqlite")).expect("the table opens");
    let forge = "UPDATE genmux SET item_json = replace(item_json, '10000000000', '10000000001') WHERE sk LIKE '%BALANCE'";
    assert_eq!(table.execute(forge, []).expect("the balance is forged"), 1);
    drop(table);
    let (clean, report) = audit(folder.path());
    assert!(!clean && report.contains("the ledger and the balance differ"), "{report}");
}

#[tokio::test]
async fn the_commands_of_a_caller_work_with_a_folder_and_with_an_url() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), 0);
    let genmux = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
        let output = command.args(arguments).current_dir(folder.path()).output().expect("the binary starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let data = ["--data", "."];
    let with_url = ["--api", &server.api, "--key", &server.key];

    let (ok, models, _) = genmux(&[&["models"][..], &data].concat());
    let of_veo = models.lines().find(|line| line.starts_with("veo-3.1-fast "));
    assert!(ok && of_veo.is_some_and(|line| line.contains("video  4 6 8")), "{models}");
    let (ok, quoted, _) = genmux(&[&["quote", "a boat", "--duration", "4"][..], &data].concat());
    assert!(ok && quoted.starts_with("52 credits, usually ") && quoted.contains("vertex/"), "{quoted}");
    let (ok, saved, error) =
        genmux(&[&["submit", "a boat", "--duration", "4", "--wait", "--out", "a.mp4"][..], &data].concat());
    assert!(ok && saved.starts_with("saved a.mp4"), "{saved}{error}");

    let submit = ["submit", "a boat", "--set", "resolution=1080p", "--idempotency-key", "order-1", "--json"];
    let (_, first, error) = genmux(&[&submit[..], &with_url].concat());
    let (_, again, _) = genmux(&[&submit[..], &with_url].concat());
    let id = |text: &str| {
        let job: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}{error}"));
        job["id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(id(&first), id(&again), "one job for one key");
    let (ok, ended, _) = genmux(&[&["wait", &id(&first)][..], &with_url].concat());
    assert!(ok && ended.contains("succeeded"), "{ended}");
    let (ok, saved, _) =
        genmux(&[&["download", &id(&first), "--out", "b.mp4", "--json"][..], &with_url].concat());
    assert!(ok && saved.contains("\"b.mp4\"") && !folder.path().join("b.mp4.part").exists(), "{saved}");
    assert!(!genmux(&[&["cancel", &id(&first)][..], &with_url].concat()).0, "it has ended");

    let (_, canceled, _) =
        genmux(&[&["submit", "a boat", "--model", "gen-4.5", "--json"][..], &data].concat());
    genmux(&[&["cancel", &id(&canceled)][..], &data].concat());
    let (ok, ended, _) = genmux(&[&["wait", &id(&canceled)][..], &data].concat());
    assert!(!ok && ended.contains("canceled"), "{ended}");
    let (ok, _, error) = genmux(&[&["download", &id(&canceled)][..], &data].concat());
    assert!(!ok && error.contains("the job is canceled (stopped)"), "{error}");

    for (arguments, wanted) in [
        (vec!["models", "--api", &server.api, "--key", "gmx_wrong"], "rejects the key"),
        (vec!["models", "--api", &server.api], "--key"),
        (vec!["models", "--data", "nowhere"], "no stack runs on nowhere"),
        (vec!["submit", "a boat", "--data", ".", "--model", "sora-9"], "model"),
        (vec!["submit", "a boat", "--data", ".", "--duration", "5"], "duration_s"),
    ] {
        let (ok, _, error) = genmux(&arguments);
        assert!(!ok && error.contains(wanted), "{arguments:?}: {error}");
    }
    server.stop("-INT");
    assert!(audit(folder.path()).0);
}
