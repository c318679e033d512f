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

use crate::World;

/// How long a process may take for anything: only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the template gives a function, and where the local stack answers.
pub fn environment(world: &World, function: &str) -> BTreeMap<String, String> {
    let mut environment = world.stack.host.template().functions[function].environment.clone();
    for service in ["DYNAMODB", "S3", "SECRETS_MANAGER", "SQS"] {
        let name = format!("AWS_ENDPOINT_URL_{service}");
        let url = world.operator.env.get(&name).unwrap_or_default().to_owned();
        environment.insert(name, url);
    }
    environment
}

/// What a function says to an event: its answer, or the error that it reports.
pub type Said = Result<Value, Value>;

#[derive(Debug)]
struct Runtime {
    events: Mutex<mpsc::Receiver<Value>>,
    said: mpsc::Sender<Said>,
    /// A message for each time that the process asks for work.
    asks: mpsc::UnboundedSender<()>,
}

/// A binary that runs as the platform would run it.
#[derive(Debug)]
pub struct Function {
    pub process: Child,
    events: mpsc::Sender<Value>,
    said: mpsc::Receiver<Said>,
    asks: mpsc::UnboundedReceiver<()>,
}

impl Function {
    /// Starts a binary with this environment and nothing else of ours.
    pub async fn start(binary: &Path, environment: &BTreeMap<String, String>) -> Self {
        let (events, received) = mpsc::channel(1);
        let (says, said) = mpsc::channel(1);
        let (asking, asks) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime { events: Mutex::new(received), said: says, asks: asking });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(take))
            .with_state(runtime);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let name = format!("genmux-{}", binary.file_name().expect("a file").to_string_lossy());
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
        Self { process, events, said, asks }
    }

    /// Waits until it asks for work, once more than before.
    pub async fn ready(&mut self) {
        let asked = tokio::time::timeout(PATIENCE, self.asks.recv()).await;
        asked.expect("it asks in time").expect("it lives");
    }

    /// What its threads have computed so far, which Linux counts in nanoseconds.
    pub fn cpu(&self) -> Duration {
        let tasks = format!("/proc/{}/task", self.process.id().expect("it lives"));
        let of_task = |task: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        let tasks = std::fs::read_dir(tasks).expect("Linux has it");
        Duration::from_nanos(tasks.filter_map(of_task).sum())
    }

    /// The most memory that it has had at once, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id().expect("it lives"));
        let status = std::fs::read_to_string(path).expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.expect("the size of a process") * 1024
    }

    pub async fn invoke(&mut self, event: Value) -> Said {
        self.events.send(event).await.expect("the platform runs");
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        said.expect("it answers in time").expect("it lives")
    }

    /// Waits for its end; gives what it wrote to standard output and standard error.
    pub async fn end(mut self) -> (ExitStatus, String, String) {
        let (mut logs, mut errors) = (String::new(), String::new());
        let mut output = self.process.stdout.take().expect("it was not taken");
        let mut error = self.process.stderr.take().expect("it was not taken");
        let ending = async {
            output.read_to_string(&mut logs).await.expect("logs are text");
            error.read_to_string(&mut errors).await.expect("errors are text");
            self.process.wait().await.expect("it is a child")
        };
        let status = tokio::time::timeout(PATIENCE, ending).await.expect("it ends in time");
        (status, logs, errors)
    }
}

/// The platform answers when there is an event; until then it holds the call.
async fn next(State(runtime): State<Arc<Runtime>>) -> impl IntoResponse {
    let _counted = runtime.asks.send(());
    let event = runtime.events.lock().await.recv().await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", "00000000-0000-4000-8000-000000000001"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:function"),
        ("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
    ] {
        headers.insert(name, value.parse().expect("a header"));
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
