//! A server in the place of the API and of its store, and the command that calls it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

pub(crate) const ID: &str = "job_pqrapqrapqrapqrapqrapqragm";

/// A server that gives each request to `answer`; without an answer it is silent.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
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

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread failed").clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Option<Vec<u8>>) {
    let mut request = String::new();
    while !is_whole(&request) {
        let mut bytes = [0; 65_536];
        match stream.read(&mut bytes) {
            Ok(read @ 1..) => request += &String::from_utf8_lossy(&bytes[..read]),
            Ok(0) | Err(_) => break,
        }
    }
    seen.lock().expect("no thread failed").push(request.clone());
    match answer(&request) {
        Some(answer) => stream.write_all(&answer).expect("the command reads its answer"),
        None => std::thread::sleep(Duration::from_secs(60)),
    }
}

/// Whether the head is there, and as long a body as it announces.
fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

pub(crate) fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    http("200 OK", "", body.as_ref())
}

pub(crate) fn running() -> Vec<u8> {
    ok(json!({"id": ID, "status": "running"}).to_string())
}

pub(crate) fn genmux(folder: &Path, api: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genmux"));
    command.current_dir(folder).args(arguments).env("GENMUX_API", api).env("GENMUX_KEY", "secret-key");
    // No proxy is needed for this machine.
    command.env("HTTP_PROXY", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9");
    command.output().expect("the binary starts")
}

/// The error message of a failed command.
pub(crate) fn refused(folder: &Path, api: &str, arguments: &[&str]) -> String {
    let ended = genmux(folder, api, arguments);
    assert!(!ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stdout));
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

pub(crate) fn here() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
