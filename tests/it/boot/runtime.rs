//! A stand-in for the platform's runtime API: it hands out events and takes the answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

/// How long a process may take for anything: only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a function says to an event: its answer, or the error that it reports.
pub(super) type Said = Result<Value, Value>;

struct Runtime {
    events: Mutex<mpsc::Receiver<Value>>,
    said: mpsc::Sender<Said>,
}

/// A binary that runs as the platform would run it.
pub(super) struct Function {
    pub(super) process: Child,
    events: mpsc::Sender<Value>,
    said: mpsc::Receiver<Said>,
}

impl Function {
    /// Starts a binary with this environment and nothing else of ours.
    pub(super) async fn start(binary: &Path, environment: &BTreeMap<String, String>) -> Self {
        let (events, received) = mpsc::channel(1);
        let (says, said) = mpsc::channel(1);
        let runtime = Arc::new(Runtime { events: Mutex::new(received), said: says });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(take))
            .with_state(runtime);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let name = format!("genmux-{}", binary.file_name().unwrap().to_string_lossy());
        let platform = [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.as_str()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "us-east-1"),
            // The local bucket verifies signatures.
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ];
        let process = Command::new(binary)
            .env_clear()
            .envs(platform)
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        Self { process, events, said }
    }

    pub(super) async fn invoke(&mut self, event: Value) -> Said {
        self.events.send(event).await.unwrap();
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        said.expect("it answers in time").expect("it lives")
    }

    /// Waits for its end; gives what it wrote to standard output and standard error.
    pub(super) async fn end(mut self) -> (ExitStatus, String, String) {
        let (mut logs, mut errors) = (String::new(), String::new());
        let mut output = self.process.stdout.take().unwrap();
        let mut error = self.process.stderr.take().unwrap();
        let ending = async {
            output.read_to_string(&mut logs).await.unwrap();
            error.read_to_string(&mut errors).await.unwrap();
            self.process.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, ending).await.expect("it ends in time");
        (status, logs, errors)
    }
}

/// The platform answers when there is an event; until then it holds the call.
async fn next(State(runtime): State<Arc<Runtime>>) -> impl IntoResponse {
    let event = runtime.events.lock().await.recv().await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", "00000000-0000-4000-8000-000000000001"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:function"),
        ("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    (headers, event.unwrap_or_default().to_string())
}

async fn take(
    State(runtime): State<Arc<Runtime>>,
    Segments((_, what)): Segments<(String, String)>,
    body: String,
) -> StatusCode {
    let said = serde_json::from_str(&body).unwrap_or(Value::Null);
    let said = if what == "response" { Ok(said) } else { Err(said) };
    let _heard = runtime.said.send(said).await;
    StatusCode::ACCEPTED
}
