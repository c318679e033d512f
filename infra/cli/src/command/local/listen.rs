//! `genmux listen`: a server that receives events, verifies them and prints them.

use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use clap::Args;
use serde_json::{Value, json};
use shared::boot::Clock;
use signatures::{Secret, Signing, StandardWebhooks, verify_signed};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::command::client::text;
use crate::command::print::{Output, plain, say};

/// Events that wait to be printed.
const WAITING_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(in crate::command) struct Listen {
    /// The port on this machine.
    #[arg(long = "on", value_name = "PORT", default_value_t = 8788)]
    on: u16,
    /// The endpoint's secret. Without it, events are printed and not verified.
    #[arg(long, env = "GENMUX_ENDPOINT_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The status of every answer; other than 2xx shows how events are tried again.
    #[arg(long, default_value_t = 204, value_parser = clap::value_parser!(u16).range(200..600))]
    answer: u16,
}

/// An event that has come.
#[derive(Debug)]
pub(super) struct Received {
    id: String,
    pub(super) kind: String,
    timestamp: String,
    data: Value,
    /// `None` without a secret.
    pub(super) genuine: Option<bool>,
    again: bool,
}

struct Server {
    scheme: Option<Signing>,
    answer: StatusCode,
    seen: Mutex<BTreeSet<String>>,
    received: Sender<Received>,
}

pub(in crate::command) async fn run(args: Listen, as_json: bool) -> Result<ExitCode> {
    let (url, mut received) = start(args.on, args.secret.as_deref(), args.answer).await?;
    let unverified = "  Events are not verified: --secret whsec_… does that.";
    let advice = if args.secret.is_none() { unverified } else { "" };
    Output::new(format_args!("Listening on {url}. Ctrl-C stops it.\n{advice}"), json!({"url": url}))
        .print(as_json);
    loop {
        tokio::select! {
            event = received.recv() => match event {
                Some(event) if as_json => say!("{}", event.json()),
                Some(event) => say!("{event}"),
                None => return Ok(ExitCode::SUCCESS),
            },
            stopped = tokio::signal::ctrl_c() => return Ok(stopped.map(|()| ExitCode::SUCCESS)?),
        }
    }
}

/// Starts the server; returns its URL, and the events that come.
pub(super) async fn start(
    port: u16,
    secret: Option<&str>,
    answer: u16,
) -> Result<(String, Receiver<Received>)> {
    let scheme = match secret {
        Some(secret) => {
            let scheme = StandardWebhooks::new(&[Secret::new(secret)]);
            Some(Signing::StandardWebhooks(scheme.context("the secret must be `whsec_` and base64")?))
        }
        None => None,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.with_context(|| format!("port {port} cannot be used"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let (sender, received) = channel(WAITING_MAX);
    let answer = StatusCode::from_u16(answer)?;
    let server = Server { scheme, answer, seen: Mutex::default(), received: sender };
    let router = Router::new().fallback(take).with_state(Arc::new(server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((url, received))
}

async fn take(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let data = json.get_mut("data").map(Value::take).unwrap_or_default();
    let word = |name: &str| text(&json, name).to_owned();
    let id = header("webhook-id").to_owned();
    let now_s = Clock::System.now().as_secs();
    let genuine =
        server.scheme.as_ref().map(|scheme| verify_signed(scheme, "", &headers, body.clone(), now_s).is_ok());
    let again = !server.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    let event = Received { id, kind: word("type"), timestamp: word("timestamp"), data, genuine, again };
    // A reader that is this far behind misses some.
    let _full = server.received.try_send(event);
    server.answer
}

impl Received {
    /// One object on one line.
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "timestamp": self.timestamp,
            "verified": self.genuine,
            "again": self.again,
            "data": self.data,
        })
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verified = match self.genuine {
            Some(true) => "  verified",
            Some(false) => "  NOT GENUINE",
            None => "",
        };
        let again = if self.again { "  again" } else { "" };
        let about = format!("{} {}", text(&self.data, "id"), text(&self.data, "status"));
        let (timestamp, kind, id, about) = (&self.timestamp, &self.kind, &self.id, about.trim());
        f.write_str(&plain(&format!("{timestamp}  {kind}  {id}  {about}{verified}{again}")))
    }
}

/// The next event, within this time.
pub(super) async fn next(received: &mut Receiver<Received>, within: Duration) -> Option<Received> {
    tokio::time::timeout(within, received.recv()).await.ok().flatten()
}
