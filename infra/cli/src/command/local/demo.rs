//! `genmux demo`: makes a video from a prompt through the HTTP API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use domain::id::{JobId, base32};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use shared::boot::Random;

use super::{Folder, Local, Start, api, listen};
use crate::command::api::check_out;
use crate::command::client::{Client, save, text};
use crate::command::image::Given;
use crate::command::print::{Output, say};

#[derive(Debug, Args)]
pub(in crate::command) struct Demo {
    /// What the video or image shows.
    prompt: String,
    /// A model of `GET /v1/models`.
    #[arg(long, default_value = "veo-3.1-fast")]
    model: String,
    /// A start image, if the model supports one: a file, which is uploaded, or an https URL. Default for a model
    /// that requires one: a placeholder URL, which simulated providers do not fetch.
    #[arg(long, value_name = "FILE|URL")]
    image: Option<String>,
    /// The output file. Default: the job's id with the extension of the media type.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also receive the job's end at a callback URL on this machine, verify it and print it.
    #[arg(long)]
    callback: bool,
}

/// The default start image of a model that requires one.
const IMAGE: &str = "https://images.example/boat.png";

/// How long after the job's end its callback may take.
const CALLBACK_WITHIN: Duration = Duration::from_secs(15);
const HELP: &str = "the demo key is revoked or not in this table: stop the stack, delete `demo-key` in its data \
                    folder, and start it again";
/// How often the bar moves, in seconds.
const POLL_S: u64 = 2;
/// The longest wait for the job.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// Uses the stack that runs on the data folder, or starts one for the duration of the command.
pub(in crate::command) async fn run(args: Demo, local: &Local, as_json: bool) -> Result<Output> {
    let start = Start::for_callers(local, 0)?;
    check_out(args.out.as_deref())?;
    match Folder::make(&local.data)? {
        None => {
            ensure!(
                !(local.no_webhooks || local.port.is_some() || local.names_providers()),
                "a stack already runs on {} with its own port and providers: stop it first, or omit \
                 --port, --real, --simulate and --no-webhooks",
                local.data.display()
            );
            let (url, key) = api(local)?;
            make(&Client::new(&url, key, HELP)?, &args, as_json).await
        }
        Some(folder) => {
            let stack = folder.start(start).await?;
            let key = folder.demo_key(&stack.operator).await?;
            let client = Client::new(&stack.api_url, key, HELP)?;
            let stopper = stack.stopper();
            let running = tokio::spawn(stack.run());
            let made = make(&client, &args, as_json).await;
            stopper.cancel();
            running.await??;
            made
        }
    }
}

async fn make(client: &Client, args: &Demo, as_json: bool) -> Result<Output> {
    // With `--json`, the result alone is printed.
    let show = |line: &str| {
        if !as_json {
            say!("{line}");
        }
    };
    let image = match &args.image {
        Some(image) => Some(image.as_str()),
        None => needs_image(&client.get("/v1/models", "models").await?, &args.model).then_some(IMAGE),
    };
    let image = match image {
        Some(image) => Some(client.image(&Given::read(image).await?).await?),
        None => None,
    };
    let key = base32(&Random::System.bytes::<10>());
    let mut callback = match args.callback {
        true => Some(listen::start(0, Some(&callback_secret(client).await?), 204).await?),
        false => None,
    };
    let url = callback.as_ref().map(|(url, _)| url.as_str());
    let body = json!({"model": args.model, "prompt": args.prompt, "image": image, "callback_url": url});
    let (id, _) = client.submit(&body, &key).await?;
    show(&format!("job {id} on {}", args.model));
    let job = wait(client, &id).await?;
    let lines = ledger(&client.get("/v1/account", "ledger").await?, id.as_str());
    for line in timeline(&job).iter().chain(&lines) {
        show(line);
    }
    if let Some((_, received)) = &mut callback {
        let event = listen::next(received, CALLBACK_WITHIN).await;
        let event = event.context("no callback has come: is the stack on this machine?")?;
        ensure!(event.genuine == Some(true), "the callback is not genuine");
        show(&event.to_string());
    }
    let (file, bytes) = save(&id, &job, args.out.as_deref()).await?;
    let saved = format!("saved {} ({bytes} bytes)", file.display());
    Ok(Output::new(saved, json!({"job": job, "file": file, "bytes": bytes})))
}

/// What signs the events of callback URLs.
async fn callback_secret(client: &Client) -> Result<String> {
    let secret = client.get("/v1/endpoints/ep_callback/secret", "secret").await?;
    Ok(text(&secret, "secret").to_owned())
}

/// Whether every route of a model requires an image.
fn needs_image(catalog: &Value, name: &str) -> bool {
    let models = catalog.get("models").and_then(Value::as_array).into_iter().flatten();
    let of_name = models.filter(|model| text(model, "name") == name);
    let mut routes = of_name.filter_map(|model| model.get("routes")?.as_array()).flatten().peekable();
    routes.peek().is_some() && routes.all(|route| route.get("from_text") == Some(&Value::Bool(false)))
}

/// Shows a bar until the job has ended.
async fn wait(client: &Client, id: &JobId) -> Result<Value> {
    let style = ProgressStyle::with_template("{bar:32} {percent:>3}% {elapsed} {msg}")?;
    let bar = ProgressBar::new(100).with_style(style);
    let job = client.wait(id, POLL_S, WAIT_MAX, |job, _elapsed| {
        bar.set_position(job.get("progress").and_then(Value::as_u64).unwrap_or(0));
        bar.set_message(text(job, "status").to_owned());
    });
    let job = job.await?;
    bar.finish_with_message(text(&job, "status").to_owned());
    Ok(job)
}

fn timeline(job: &Value) -> Vec<String> {
    let mut lines = vec![format!("{}  created", text(job, "created_at"))];
    for attempt in job.get("attempts").and_then(Value::as_array).into_iter().flatten() {
        let number = attempt.get("number").unwrap_or(&Value::Null);
        let simulated = attempt.get("simulated") == Some(&Value::Bool(true));
        let simulated = if simulated { " (simulated)" } else { "" };
        lines.push(format!(
            "{}  attempt {number} sent to {}{simulated}",
            text(attempt, "started_at"),
            text(attempt, "route")
        ));
        if attempt.get("ended_at").is_some() {
            let error = attempt.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
            let ended = (text(attempt, "ended_at"), text(attempt, "status"));
            lines.push(format!("{}  attempt {number} {} {error}", ended.0, ended.1).trim_end().to_owned());
        }
    }
    lines.push(format!("{}  {}", text(job, "updated_at"), text(job, "status")));
    lines
}

/// The ledger's lines of a job, oldest first.
fn ledger(account: &Value, id: &str) -> Vec<String> {
    let lines = account.get("ledger").and_then(Value::as_array).into_iter().flatten();
    let of_job: Vec<_> = lines.filter(|line| text(line, "job") == id).collect();
    let line = |line: &Value| {
        let amount = line.get("micro_credits").and_then(Value::as_u64).unwrap_or(0);
        let credits = domain::credit::Credits::from_micros(amount);
        format!("{}  {} {credits} credits", text(line, "at"), text(line, "kind"))
    };
    of_job.into_iter().rev().map(line).collect()
}
