//! The commands that call the API as its callers do: `models`, `quote`, `submit`, `wait`, `download`, `cancel`.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use domain::credit::Credits;
use domain::id::{JobId, base32};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use shared::boot::Random;
use shared::edge::idempotency;

use super::Local;
use super::client::{Client, save, text};
use super::image::Given;
use super::print::{self, Output, plain, table};
use super::save::Place;

/// The longest wait of the API for a change, in seconds.
const POLL_S: u64 = 25;
/// The longest wait for a job: two days, more than any may take.
const TIMEOUT_MAX_S: u64 = 172_800;

/// The API: of the local stack that runs, or of a deployed one.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API")]
pub(super) struct Api {
    /// The URL of the API. Default: the local stack that runs on the data folder.
    #[arg(long, env = "GENMUX_API", requires = "key")]
    api: Option<String>,
    /// The API key. Default: the demo account's key of the local stack.
    #[arg(long, env = "GENMUX_KEY", hide_env_values = true)]
    key: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Models {
    #[command(flatten)]
    api: Api,
}

/// What is asked for.
#[derive(Debug, Args)]
struct Asked {
    /// What the video or image shows.
    prompt: String,
    /// A model of `genmux models`.
    #[arg(long, default_value = "veo-3.1-fast")]
    model: String,
    /// Length in seconds. Default: the model's.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    /// A start image: a file, which is uploaded, or an https URL.
    #[arg(long, value_name = "FILE|URL")]
    image: Option<String>,
    /// Any other field of the request, as `--set seed=7 --set resolution=1080p`. The value is JSON, or else text.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, Value)>,
}

impl Asked {
    /// The image that is given, if one is.
    async fn image(&self) -> Result<Option<Given>> {
        match &self.image {
            Some(image) => Given::read(image).await.map(Some),
            None => Ok(None),
        }
    }

    /// The body of a request with this image, and with each field once.
    fn body(self, image: Option<Value>) -> Result<Value> {
        let own = [
            ("model", Some(Value::from(self.model))),
            ("prompt", Some(self.prompt.into())),
            ("duration_s", self.duration.map(Value::from)),
            ("image", image),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut body: Map<String, Value> = own.collect();
        for (name, value) in self.set {
            ensure!(
                !body.contains_key(&name),
                "the field `{name}` is given twice: by an argument of its own and by --set, or by --set twice"
            );
            body.insert(name, value);
        }
        Ok(body.into())
    }
}

#[derive(Debug, Args)]
pub(super) struct Quote {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
pub(super) struct Submit {
    #[command(flatten)]
    asked: Asked,
    /// A repeat with the same key returns the same job. Default: random.
    #[arg(long, value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// Wait for the job's end, and save its file.
    #[arg(long)]
    wait: bool,
    /// The file to save. Default: the job's id with the extension of the media type.
    #[arg(long, value_name = "FILE", requires = "wait")]
    out: Option<PathBuf>,
    /// The longest wait, in seconds.
    #[arg(long, default_value_t = 3_600, value_parser = seconds())]
    timeout: u64,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    id: JobId,
    /// The longest wait, in seconds.
    #[arg(long, default_value_t = 3_600, value_parser = seconds())]
    timeout: u64,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
pub(super) struct Download {
    id: JobId,
    /// Default: the job's id with the extension of the media type.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
pub(super) struct Cancel {
    id: JobId,
    #[command(flatten)]
    api: Api,
}

impl Api {
    pub(super) fn client(&self, local: &Local) -> Result<Client> {
        const HELP: &str = "the API rejects the key: it is wrong or revoked, or of another stack";
        match (&self.api, &self.key) {
            (Some(url), Some(key)) => Client::new(url, key.clone(), HELP),
            (_, key) => {
                let (url, demo_key) = running(local)?;
                Client::new(&url, key.clone().unwrap_or(demo_key), HELP)
            }
        }
    }
}

#[cfg(feature = "local")]
fn running(local: &Local) -> Result<(String, String)> {
    super::local::api(local)
}

/// Without the local stack there is no data folder.
#[cfg(not(feature = "local"))]
fn running(_: &Local) -> Result<(String, String)> {
    anyhow::bail!("name the stack: --api URL and --key KEY, or GENMUX_API and GENMUX_KEY")
}

fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(1..=TIMEOUT_MAX_S)
}

/// A key that the API takes, as it is given.
fn idempotency_key(argument: &str) -> Result<String, String> {
    let value = HeaderValue::from_str(argument).map_err(|_control| "must be visible ASCII characters")?;
    let read = idempotency::key(&HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), value)]));
    read.map_err(|problem| problem.detail.into_string())?;
    Ok(argument.to_owned())
}

/// Parses `name=value`; the value is JSON, or else text.
fn field(argument: &str) -> Result<(String, Value), String> {
    let (name, value) = argument.split_once('=').ok_or("must be a field and its value, like seed=7")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_not_json| Value::from(value));
    Ok((name.to_owned(), value))
}

pub(super) async fn models(args: Models, local: &Local) -> Result<Output> {
    let models = args.api.client(local)?.get("/v1/models", "models").await?;
    let list = models.get("models").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<_> = list.iter().map(row).collect();
    let text = table(["NAME", "KIND", "LENGTHS", "RESOLUTIONS", "PROVIDERS", "USUAL"], &rows);
    Ok(Output::new(text, models))
}

/// What a model makes, over all its routes.
fn row(model: &Value) -> [String; 6] {
    let routes = model.get("routes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let all = |name: &str| {
        let values = routes.iter().filter_map(|route| route.get(name));
        let mut found: Vec<&Value> = Vec::new();
        for value in
            values.flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice))
        {
            if !value.is_null() && !found.contains(&value) {
                found.push(value);
            }
        }
        found
    };
    let mut lengths: Vec<_> = all("durations_s").into_iter().filter_map(Value::as_u64).collect();
    lengths.sort_unstable();
    let words = |name: &str| all(name).into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let usual = model.get("expected_s").and_then(Value::as_u64).map(|secs| format!("{secs} s"));
    [
        text(model, "name").to_owned(),
        text(model, "kind").to_owned(),
        ranges(&lengths),
        words("resolutions"),
        words("provider"),
        usual.unwrap_or_default(),
    ]
}

/// Sorted numbers, with runs as ranges: `4 6 8`, `2-10`.
fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, _, .., last] => format!("{first}-{last}"),
        run => run.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
    });
    runs.collect::<Vec<_>>().join(" ")
}

pub(super) async fn quote(args: Quote, local: &Local) -> Result<Output> {
    let client = args.api.client(local)?;
    // A quote stores nothing, and may be for a key that only reads.
    let image = args.asked.image().await?.map(|image| image.named());
    let quote = client.quote(&args.asked.body(image)?).await?;
    let routes = quote.get("routes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let usual = |value: &Value| value.get("expected_s").and_then(Value::as_u64).unwrap_or_default();
    let lines =
        routes.iter().map(|route| format!("\n  {}, usually {} s", plain(text(route, "name")), usual(route)));
    let shown = format!("{} credits, usually {} s", plain(text(&quote, "price_credits")), usual(&quote));
    Ok(Output::new(shown + &lines.collect::<String>(), quote))
}

pub(super) async fn submit(args: Submit, local: &Local) -> Result<Output> {
    if args.wait {
        check_out(args.out.as_deref())?;
    }
    let client = args.api.client(local)?;
    let image = args.asked.image().await?;
    let body = args.asked.body(image.as_ref().map(Given::named))?;
    if let Some(image) = &image {
        client.image(image).await?;
    }
    let key = args.idempotency_key.unwrap_or_else(|| base32(&Random::System.bytes::<10>()));
    // Before the call: a command that is stopped meanwhile can be repeated.
    print::notice(format_args!("idempotency key {key}"));
    let (id, job) = client.submit(&body, &key).await.with_context(|| {
        format!("no job was confirmed; the same command with `--idempotency-key {key}` makes at most one")
    })?;
    let price = plain(text(&job, "price_credits"));
    if !args.wait {
        return Ok(Output::new(format_args!("{id} for {price} credits: `genmux wait {id}`"), job));
    }
    note(&format!("{id} for {price} credits"));
    let ended = async {
        let job = client.wait(&id, POLL_S, Duration::from_secs(args.timeout), status_notes()).await?;
        saved(&id, job, args.out.as_deref()).await
    };
    ended.await.with_context(|| format!("{id} was made with the idempotency key {key}"))
}

pub(super) async fn wait(args: Wait, local: &Local) -> Result<Output> {
    let client = args.api.client(local)?;
    let within = Duration::from_secs(args.timeout);
    let job = client.wait(&args.id, POLL_S, within, status_notes()).await?;
    let status = text(&job, "status").to_owned();
    let error =
        job.get("error").map(|error| format!(": {} ({})", text(error, "message"), text(error, "code")));
    let shown = plain(&format!("{} {status}{}", args.id, error.unwrap_or_default()));
    Ok(Output { failed: status != "succeeded", ..Output::new(shown, job) })
}

pub(super) async fn download(args: Download, local: &Local) -> Result<Output> {
    check_out(args.out.as_deref())?;
    let client = args.api.client(local)?;
    let job = client.get(&format!("/v1/jobs/{}", args.id), "status").await?;
    saved(&args.id, job, args.out.as_deref()).await
}

pub(super) async fn cancel(args: Cancel, local: &Local) -> Result<Output> {
    let job = args.api.client(local)?.cancel(&args.id).await?;
    let refund = job.get("refund_micro_credits").and_then(Value::as_u64).map(Credits::from_micros);
    let refund = refund.map(|credits| format!(", refund {credits} credits")).unwrap_or_default();
    let shown = plain(&format!("{} {}{refund}", args.id, text(&job, "status")));
    Ok(Output::new(shown, job))
}

async fn saved(id: &JobId, job: Value, out: Option<&Path>) -> Result<Output> {
    let (file, bytes) = save(id, &job, out).await?;
    let shown = format!("saved {} ({bytes} bytes)", file.display());
    Ok(Output::new(shown, json!({"job": job, "file": file, "bytes": bytes})))
}

/// Checks before a job is submitted that its file can be saved: as `out`, or here under a job's name.
pub(super) fn check_out(out: Option<&Path>) -> Result<()> {
    let named = |id: JobId| PathBuf::from(format!("{id}.bin"));
    let out = out.map_or_else(|| named(JobId::from_bytes(Random::System.bytes())), Path::to_owned);
    Place::of(&out).map(drop)
}

/// Notes each new status.
fn status_notes() -> impl FnMut(&Value, Duration) {
    let mut last = String::new();
    move |job, elapsed| {
        let status = text(job, "status");
        if status != last {
            note(&plain(&format!("{status} after {} s", elapsed.as_secs())));
            status.clone_into(&mut last);
        }
    }
}

/// A line for a person at a terminal; what a program reads stays clean.
fn note(line: &str) {
    if stderr().is_terminal() {
        print::notice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_json_or_text() {
        for (argument, name, value) in [
            ("seed=7", "seed", json!(7)),
            ("audio=true", "audio", json!(true)),
            ("resolution=1080p", "resolution", json!("1080p")),
            ("negative_prompt=a=b", "negative_prompt", json!("a=b")),
            ("a=", "a", json!("")),
        ] {
            assert_eq!(field(argument), Ok((name.to_owned(), value)), "{argument}");
        }
        assert!(field("seed").is_err());
    }

    #[test]
    fn runs_of_numbers_are_ranges() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[5], "5"),
            (&[4, 6, 8], "4 6 8"),
            (&[2, 3], "2 3"),
            (&[1, 4, 5, 6, 7, 10], "1 4-7 10"),
        ] {
            assert_eq!(ranges(numbers), text);
        }
    }

    #[test]
    fn a_model_is_one_row_over_all_its_routes() {
        let route = |provider: &str, lengths: Value| json!({"provider": provider, "durations_s": lengths, "resolutions": ["720p"]});
        let routes = [route("fal", json!([8, 4])), route("runway", json!([4, 10]))];
        let model = json!({"name": "a", "kind": "video", "expected_s": 60, "routes": routes});
        assert_eq!(row(&model), ["a", "video", "4 8 10", "720p", "fal runway", "60 s"]);
    }
}
