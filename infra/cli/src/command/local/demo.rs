//! `genmux demo`: makes a video from a prompt through the HTTP API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use domain::id::base32;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use shared::boot::Random;
use tokio::time::Instant;

use super::client::Client;
use super::{Folder, Local, Start, listen, running, running_demo_key};
use crate::command::print::say;

#[derive(Debug, Args)]
pub(in crate::command) struct Demo {
    /// What the video or image shows.
    prompt: String,
    /// A model of `GET /v1/models`.
    #[arg(long, default_value = "veo-3.1-fast")]
    model: String,
    /// The https URL of a start image, if the model supports one. Default for a model that requires
    /// one: a placeholder URL, which simulated providers do not fetch.
    #[arg(long)]
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
/// The longest wait for the job.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// Uses the stack that runs on the data folder, or starts one for the duration of the command.
pub(in crate::command) async fn run(args: Demo, local: &Local) -> Result<()> {
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
            let url = running(&local.data)?.api_url;
            make(&Client::new(url, running_demo_key(&local.data)?)?, &args).await
        }
        Some(folder) => {
            let stack = folder.start(start).await?;
            let key = folder.demo_key(&stack.operator).await?;
            let client = Client::new(stack.api_url.clone(), key)?;
            let stopper = stack.stopper();
            let running = tokio::spawn(stack.run());
            let made = make(&client, &args).await;
            stopper.cancel();
            running.await??;
            made
        }
    }
}

/// Checks before the job is submitted that the file can be saved.
fn check_out(out: Option<&Path>) -> Result<()> {
    let Some(out) = out else { return Ok(()) };
    ensure!(!out.is_dir(), "{} is a folder: --out must be a file", out.display());
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "there is no folder {} for the output file", folder.display());
    }
    Ok(())
}

async fn make(client: &Client, args: &Demo) -> Result<()> {
    let image = match &args.image {
        Some(image) => Some(image.as_str()),
        None => needs_image(&client.models().await?, &args.model).then_some(IMAGE),
    };
    let key = base32(&Random::System.bytes::<10>());
    let mut callback = match args.callback {
        true => Some(listen::start(0, Some(&client.callback_secret().await?), 204).await?),
        false => None,
    };
    let url = callback.as_ref().map(|(url, _)| url.as_str());
    let job = client.submit(&args.model, &args.prompt, image, url, &key).await?;
    let id = text(&job, "id").to_owned();
    say!("job {id} on {}", args.model);
    let job = wait(client, &id).await?;
    print_timeline(&job);
    print_ledger(&client.account().await?, &id);
    if let Some((_, received)) = &mut callback {
        let event = listen::next(received, CALLBACK_WITHIN).await;
        let event = event.context("no callback has come: is the stack on this machine?")?;
        ensure!(event.genuine == Some(true), "the callback is not genuine");
        event.print();
    }
    let Some(link) = job.pointer("/media/0/url").and_then(Value::as_str) else {
        bail!("the job {}: {}", text(&job, "status"), job.pointer("/error/code").unwrap_or(&Value::Null));
    };
    let kind = job.pointer("/media/0/content_type").and_then(Value::as_str).unwrap_or_default();
    let extension = kind.rsplit('/').next().unwrap_or_default();
    let file = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.{extension}")));
    let bytes = client.save(link, &file).await?;
    say!("saved {} ({bytes} bytes)", file.display());
    Ok(())
}

/// Whether every route of a model requires an image.
fn needs_image(catalog: &Value, name: &str) -> bool {
    let models = catalog.get("models").and_then(Value::as_array).into_iter().flatten();
    let of_name = models.filter(|model| text(model, "name") == name);
    let mut routes = of_name.filter_map(|model| model.get("routes")?.as_array()).flatten().peekable();
    routes.peek().is_some() && routes.all(|route| route.get("from_text") == Some(&Value::Bool(false)))
}

/// Shows a bar until the job has ended.
async fn wait(client: &Client, id: &str) -> Result<Value> {
    let style = ProgressStyle::with_template("{bar:32} {percent:>3}% {elapsed} {msg}")?;
    let bar = ProgressBar::new(100).with_style(style);
    let start = Instant::now();
    let (mut job, mut tag) = client.watch(id, None).await?.context("the API returned no job")?;
    while !matches!(text(&job, "status"), "succeeded" | "failed" | "canceled") {
        let elapsed = start.elapsed();
        if elapsed > WAIT_MAX {
            bail!(
                "the job is still {} after {} s; it continues without this command",
                text(&job, "status"),
                WAIT_MAX.as_secs()
            );
        }
        bar.set_position(percent(text(&job, "status"), elapsed));
        bar.set_message(text(&job, "status").to_owned());
        if let Some((newer_job, newer_tag)) = client.watch(id, Some(&tag)).await? {
            (job, tag) = (newer_job, newer_tag);
        }
    }
    bar.finish_with_message(text(&job, "status").to_owned());
    Ok(job)
}

/// An estimate, because providers report no progress: the bar slows down with time.
fn percent(status: &str, elapsed: Duration) -> u64 {
    match status {
        "queued" => 5,
        "dispatching" => 10,
        "running" => 15 + 70 * elapsed.as_secs() / (elapsed.as_secs() + 10),
        _ => 95,
    }
}

fn print_timeline(job: &Value) {
    say!("{}  created", text(job, "created_at"));
    for attempt in job.get("attempts").and_then(Value::as_array).into_iter().flatten() {
        let number = attempt.get("number").unwrap_or(&Value::Null);
        let simulated = attempt.get("simulated") == Some(&Value::Bool(true));
        let simulated = if simulated { " (simulated)" } else { "" };
        say!(
            "{}  attempt {number} sent to {}{simulated}",
            text(attempt, "started_at"),
            text(attempt, "route")
        );
        if attempt.get("ended_at").is_some() {
            let error = attempt.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
            say!("{}  attempt {number} {} {error}", text(attempt, "ended_at"), text(attempt, "status"));
        }
    }
    say!("{}  {}", text(job, "updated_at"), text(job, "status"));
}

fn print_ledger(account: &Value, id: &str) {
    let lines = account.get("ledger").and_then(Value::as_array).into_iter().flatten();
    let of_job: Vec<_> = lines.filter(|line| text(line, "job") == id).collect();
    for line in of_job.into_iter().rev() {
        let amount = line.get("micro_credits").and_then(Value::as_u64).unwrap_or(0);
        let credits = domain::credit::Credits::from_micros(amount);
        say!("{}  {} {credits} credits", text(line, "at"), text(line, "kind"));
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
