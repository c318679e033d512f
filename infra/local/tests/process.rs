//! The `genmux` binary as a user runs it: started, killed in mid-job, started again.

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

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

impl Server {
    /// Starts the stack on a folder and reads from its first lines where it is.
    fn start(folder: &Path, port: u16) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_genmux"))
            .args(["serve", "--port", &port.to_string(), "--data"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
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
    // The same port both times: providers report to where they were told.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let server = Server::start(folder.path(), free.port());
    let mut ids = Vec::new();
    for model in ["pika-2.2", "gen-4.5", "veo-3.1"] {
        let post = reqwest::Client::new().post(format!("{}/v1/jobs", server.api));
        let job = server.call(post.json(&json!({"model": model, "prompt": "a paper boat"}))).await;
        ids.push(job["id"].as_str().expect("the job has an id").to_owned());
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
        let film = reqwest::get(link).await.expect("the link works").bytes().await.expect("the film comes");
        assert_eq!(&film[4..8], b"ftyp");
    }
    let account = server.call(reqwest::Client::new().get(format!("{}/v1/account", server.api))).await;
    let lines = account["ledger"].as_array().expect("there is a ledger");
    assert_eq!(lines.iter().filter(|line| line["kind"] == "charge").count(), ids.len(), "{account}");
    server.stop("-INT");

    let (clean, report) = audit(folder.path());
    assert!(clean, "{report}");
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
