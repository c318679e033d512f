//! A client of the HTTP API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use domain::id::JobId;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, RequestBuilder, Response, StatusCode, Url, multipart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::image::{File, Given};
use super::print::plain;
use super::save::Place;

/// How many calls in a row may fail while a job is awaited.
const FAILURES_MAX: u32 = 6;
/// How often a file is sent to the store, which takes the same file any number of times.
const STORE_TRIES: u32 = 5;
/// The shortest time between two polls: a server that does not wait is not polled in a hot loop.
const POLL_FLOOR: Duration = Duration::from_secs(1);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The longest call, which is longer than the API waits for a change.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// The longest time without a byte of a file.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// An API client with a key.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    /// What to do about a key that the API rejects.
    help: &'static str,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It is safe to repeat a read.
    #[error("the API is not available: {0}")]
    Passing(String),
    #[error("{0}")]
    Rejected(String),
}

impl Client {
    /// Fails at once if `url` cannot be the URL of an API.
    pub(super) fn new(url: &str, key: String, help: &'static str) -> Result<Self> {
        let wrong = "the URL of the API must be like https://api.example.com";
        let parsed = Url::parse(url).context(wrong)?;
        let is_base = matches!(parsed.scheme(), "http" | "https") && parsed.query().is_none();
        ensure!(is_base && parsed.fragment().is_none(), wrong);
        // The target of a redirect would get the key.
        let http = builder(&parsed).redirect(Policy::none()).timeout(CALL_WITHIN).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key, help })
    }

    /// An answer that has this member.
    pub(super) async fn get(&self, path: &str, member: &str) -> Result<Value> {
        Ok(object(self.send(self.http.get(self.at(path))).await?, &[member]).await?)
    }

    pub(super) async fn quote(&self, body: &Value) -> Result<Value> {
        let post = self.http.post(self.at("/v1/quotes")).json(body);
        Ok(object(self.send(post).await?, &["price_credits"]).await?)
    }

    /// The job that was made, and its id.
    pub(super) async fn submit(&self, body: &Value, idempotency_key: &str) -> Result<(JobId, Value)> {
        let post = self.http.post(self.at("/v1/jobs")).header("idempotency-key", idempotency_key);
        let job = object(self.send(post.json(body)).await?, &["id", "price_credits"]).await?;
        Ok((text(&job, "id").parse().context("the answer names no job")?, job))
    }

    /// The purchase of credits that was made.
    pub(super) async fn buy(&self, body: &Value, idempotency_key: &str) -> Result<Value> {
        let post = self.http.post(self.at("/v1/topups")).header("idempotency-key", idempotency_key);
        Ok(object(self.send(post.json(body)).await?, &["id", "status"]).await?)
    }

    pub(super) async fn cancel(&self, id: &JobId) -> Result<Value> {
        let post = self.http.post(self.at(&format!("/v1/jobs/{id}/cancel")));
        Ok(object(self.send(post).await?, &["status"]).await?)
    }

    /// Uploads an image if it is a file, and names it for a request.
    pub(super) async fn image(&self, given: &Given) -> Result<Value> {
        if let Given::File(file) = given {
            self.upload(file).await?;
        }
        Ok(given.named())
    }

    async fn upload(&self, file: &File) -> Result<()> {
        let (image, name) = (&file.image, &file.name);
        let announced =
            json!({"content_type": image.mime, "bytes": image.bytes.len(), "sha256": file.sha256});
        let post = self.http.post(self.at("/v1/uploads")).json(&announced);
        let form = object(self.send(post).await?, &["id", "url"]).await?;
        // The form is a credential: its URL is not in an error, and the API key is not sent with it.
        let url = Url::parse(text(&form, "url")).context("the answer has no URL of the store")?;
        let store = builder(&url).redirect(Policy::none()).read_timeout(IDLE_MAX).build()?;
        let mut tries = 1;
        loop {
            let fields = form.get("fields").and_then(Value::as_object).into_iter().flatten();
            let fields = fields.fold(multipart::Form::new(), |fields, (name, value)| {
                fields.text(name.clone(), value.as_str().unwrap_or_default().to_owned())
            });
            let part = multipart::Part::stream(image.bytes.clone()).file_name("image");
            let failure = match store.post(url.clone()).multipart(fields.part("file", part)).send().await {
                Ok(sent) if sent.status().is_success() => return Ok(()),
                Ok(sent) => {
                    let refused = format!("the store refuses {name}: {}", sent.status());
                    ensure!(is_passing(sent.status()), refused);
                    anyhow::Error::msg(refused)
                }
                Err(error) => {
                    anyhow::Error::new(error.without_url()).context(format!("{name} cannot be uploaded"))
                }
            };
            if tries == STORE_TRIES {
                return Err(failure);
            }
            sleep_until(Instant::now() + Duration::from_secs(1 << tries) / 2).await;
            tries += 1;
        }
    }

    /// The job at its end, which must be `within` this time. Asks at once, and then every `poll_s` seconds or as
    /// soon as something changes; `see` is called with the newest answer and the time since the start.
    pub(super) async fn wait(
        &self,
        id: &JobId,
        poll_s: u64,
        within: Duration,
        mut see: impl FnMut(&Value, Duration),
    ) -> Result<Value> {
        let (start, mut failures) = (Instant::now(), 0);
        let end = start + within;
        let (mut job, mut tag) = (Value::Null, None);
        // The last failure, while nothing has come since.
        let mut trouble = None;
        loop {
            let asked = Instant::now();
            let mut next = asked + POLL_FLOOR;
            let wait_s = (!job.is_null()).then(|| poll_s.min(end.duration_since(asked).as_secs()).max(1));
            match timeout_at(end, self.change(id, wait_s, tag.as_deref())).await {
                Ok(Ok(Some((newer_job, newer_tag)))) => {
                    (job, tag, failures, trouble) = (newer_job, newer_tag, 0, None);
                }
                Ok(Ok(None)) => (failures, trouble) = (0, None),
                Ok(Err(failure @ Failure::Passing(_))) if failures < FAILURES_MAX => {
                    failures += 1;
                    next = Instant::now() + Duration::from_secs(1 << failures);
                    trouble = Some(failure.to_string());
                }
                Ok(Err(failure)) => return Err(failure.into()),
                Err(_elapsed) if job.is_null() && trouble.is_none() => {
                    trouble = Some("the API did not answer".to_owned());
                }
                Err(_elapsed) => {}
            }
            let status = text(&job, "status");
            if matches!(status, "succeeded" | "failed" | "canceled") {
                return Ok(job);
            }
            see(&job, start.elapsed());
            sleep_until(next.min(end)).await;
            if Instant::now() >= end {
                let known = if job.is_null() { "of unknown status" } else { status };
                let why = trouble.map(|why| format!(" (the last call failed: {why})")).unwrap_or_default();
                let after = within.as_secs();
                bail!("the job is still {known} after {after} s; it continues without this command{why}");
            }
        }
    }

    /// The job and its tag, as soon as it differs from `tag`; `None` if that takes too long.
    async fn change(
        &self,
        id: &JobId,
        wait_s: Option<u64>,
        tag: Option<&str>,
    ) -> Result<Option<(Value, Option<String>)>, Failure> {
        let mut get = self.http.get(self.at(&format!("/v1/jobs/{id}")));
        if let Some(wait_s) = wait_s {
            get = get.header("prefer", format!("wait={wait_s}"));
        }
        if let Some(tag) = tag {
            get = get.header(IF_NONE_MATCH, tag);
        }
        let sent = self.send(get).await?;
        if sent.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let tag = sent.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Some((object(sent, &["status"]).await?, tag)))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = request.bearer_auth(&self.key).send().await.map_err(Failure::of)?;
        let status = sent.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(sent);
        }
        let problem: Value = sent.json().await.unwrap_or_default();
        let errors = problem.get("errors").map(|errors| format!(" {errors}")).unwrap_or_default();
        let words = match text(&problem, "code") {
            "" => format!("{status}, which is no answer of the API"),
            code => plain(&format!("{status} {code}: {}{errors}", text(&problem, "detail"))),
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Rejected(self.help.to_owned()),
            _ if is_passing(status) => Failure::Passing(words),
            _ if status.is_redirection() => Failure::Rejected(format!(
                "{status}: a redirect is not followed, because its target would get the key. Name the URL of the API itself"
            )),
            _ => Failure::Rejected(words),
        })
    }
}

/// Whether the same call may succeed later.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

impl Failure {
    /// A call without an answer. One that could not be built, as with a key that no header can hold, is a mistake.
    fn of(error: reqwest::Error) -> Self {
        let is_mistake = error.is_builder();
        let words = format!("{:#}", anyhow::Error::new(error.without_url()));
        if is_mistake { Self::Rejected(words) } else { Self::Passing(words) }
    }
}

/// The object in an answer, which must have these members, each a text or a list.
async fn object(sent: Response, members: &[&str]) -> Result<Value, Failure> {
    let body = sent.bytes().await.map_err(Failure::of)?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let lacks =
        |member: &&&str| !answer.get(**member).is_some_and(|found| found.is_string() || found.is_array());
    match members.iter().find(lacks) {
        None => Ok(answer),
        Some(member) => Err(Failure::Rejected(format!(
            "the answer is not one of the API, because it has no `{member}`: check its URL"
        ))),
    }
}

/// A client for this URL. Only a server on this machine is called without the proxy of the environment.
fn builder(url: &Url) -> ClientBuilder {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN);
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if is_here { builder.no_proxy() } else { builder }
}

/// Saves the file of a succeeded job, and checks its SHA-256. Returns the path and the size.
///
/// Nothing is left of a download that fails, except in a device or a pipe. The API key is not sent to the store.
pub(super) async fn save(id: &JobId, job: &Value, out: Option<&Path>) -> Result<(PathBuf, u64)> {
    let Some(media) = job.pointer("/media/0") else {
        if let Some(at) = job.get("media_deleted_at").and_then(Value::as_str) {
            bail!("there is no file: it was deleted at {at}");
        }
        let code = job.pointer("/error/code").and_then(Value::as_str).unwrap_or("no error");
        bail!("there is no file: the job is {} ({code})", text(job, "status"));
    };
    let extension = text(media, "content_type").rsplit('/').next().unwrap_or_default();
    let is_word = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let extension = if is_word { extension } else { "bin" };
    let file = out.map_or_else(|| PathBuf::from(format!("{id}.{extension}")), PathBuf::from);
    let place = Place::of(&file)?;
    let saved = async {
        let bytes = download(media, &place).await?;
        place.keep().await?;
        anyhow::Ok(bytes)
    };
    let saved = saved.await;
    if saved.is_err() {
        place.discard().await;
    }
    Ok((file, saved?))
}

/// Its URL is a credential: not in an error.
async fn download(media: &Value, place: &Place) -> Result<u64> {
    use tokio::io::AsyncWriteExt;
    let url = Url::parse(text(media, "url")).context("the answer has no link to the file")?;
    let get = builder(&url).read_timeout(IDLE_MAX).build()?.get(url).send().await;
    let sent = get.and_then(Response::error_for_status).map_err(reqwest::Error::without_url);
    let mut sent = sent.context("the file cannot be fetched")?;
    let mut out = place.open().await?;
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = sent.chunk().await.map_err(reqwest::Error::without_url)? {
        bytes += chunk.len() as u64;
        hash.update(&chunk);
        out.write_all(&chunk).await.with_context(|| place.unwritable())?;
    }
    out.flush().await.with_context(|| place.unwritable())?;
    let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
    ensure!(hash == text(media, "sha256"), "the file is not the one that was stored: try again");
    Ok(bytes)
}

/// A text in an object; empty if it has none of this name.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
