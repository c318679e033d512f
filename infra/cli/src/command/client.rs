//! A client of the HTTP API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{RequestBuilder, Response, StatusCode, multipart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::provider::fetch::Image;
use tokio::time::Instant;

/// How many calls in a row may fail while a job is awaited.
const FAILURES_MAX: u32 = 6;

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
    pub(super) fn new(url: &str, key: String, help: &'static str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key, help })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.send(self.http.get(self.at(path))).await?.json().await?)
    }

    pub(super) async fn quote(&self, body: &Value) -> Result<Value> {
        Ok(self.send(self.http.post(self.at("/v1/quotes")).json(body)).await?.json().await?)
    }

    pub(super) async fn submit(&self, body: &Value, idempotency_key: &str) -> Result<Value> {
        let post = self.http.post(self.at("/v1/jobs")).header("idempotency-key", idempotency_key);
        Ok(self.send(post.json(body)).await?.json().await?)
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<Value> {
        Ok(self.send(self.http.post(self.at(&format!("/v1/jobs/{id}/cancel")))).await?.json().await?)
    }

    /// The `image` of a request: a URL, or a file that is uploaded.
    pub(super) async fn image(&self, file_or_url: &str) -> Result<Value> {
        if file_or_url.starts_with("https://") || file_or_url.starts_with("http://") {
            return Ok(json!({"url": file_or_url}));
        }
        let read = tokio::fs::read(file_or_url).await;
        let bytes = Bytes::from(read.with_context(|| format!("{file_or_url} cannot be read"))?);
        let image =
            Image::of(bytes).with_context(|| format!("{file_or_url} is not a PNG, JPEG or WebP image"))?;
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&image.bytes));
        let announced = json!({"content_type": image.mime, "bytes": image.bytes.len(), "sha256": sha256});
        let form: Value =
            self.send(self.http.post(self.at("/v1/uploads")).json(&announced)).await?.json().await?;
        let fields = form.get("fields").and_then(Value::as_object).into_iter().flatten();
        let fields = fields.fold(multipart::Form::new(), |fields, (name, value)| {
            fields.text(name.clone(), value.as_str().unwrap_or_default().to_owned())
        });
        let file = multipart::Part::stream(image.bytes).file_name("image");
        // The form is a credential: its URL is not in an error, and the API key is not sent with it.
        let post = self.http.post(text(&form, "url")).multipart(fields.part("file", file)).send().await;
        let sent = post.map_err(reqwest::Error::without_url)?;
        ensure!(sent.status().is_success(), "the store refuses {file_or_url}: {}", sent.status());
        Ok(json!({"upload": text(&form, "id")}))
    }

    /// The job at its end. Asks every `poll_s` seconds, or as soon as something changes; `see` is called
    /// with each answer and the time since the start.
    pub(super) async fn wait(
        &self,
        id: &str,
        poll_s: u64,
        within: Duration,
        mut see: impl FnMut(&Value, Duration),
    ) -> Result<Value> {
        let (start, mut failures) = (Instant::now(), 0);
        let (mut job, mut tag) = (Value::Null, None);
        loop {
            match self.change(id, poll_s, tag.as_deref()).await {
                Ok(Some((newer_job, newer_tag))) => (job, tag, failures) = (newer_job, newer_tag, 0),
                Ok(None) => failures = 0,
                Err(Failure::Passing(_)) if failures < FAILURES_MAX => {
                    failures += 1;
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a command waits for the API; no message does"
                    )]
                    tokio::time::sleep(Duration::from_secs(1 << failures)).await;
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            }
            let status = text(&job, "status");
            if matches!(status, "succeeded" | "failed" | "canceled") {
                return Ok(job);
            }
            let elapsed = start.elapsed();
            ensure!(
                elapsed < within,
                "the job is still {status} after {} s; it continues without this command",
                within.as_secs()
            );
            see(&job, elapsed);
        }
    }

    /// The job and its tag, as soon as it differs from `tag`; `None` if that takes too long.
    async fn change(
        &self,
        id: &str,
        wait_s: u64,
        tag: Option<&str>,
    ) -> Result<Option<(Value, Option<String>)>, Failure> {
        let mut get = self.http.get(self.at(&format!("/v1/jobs/{id}")));
        get = get.header("prefer", format!("wait={wait_s}"));
        if let Some(tag) = tag {
            get = get.header(IF_NONE_MATCH, tag);
        }
        let sent = self.send(get).await?;
        if sent.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let tag = sent.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let job = sent.json().await.map_err(|error| Failure::Passing(error.without_url().to_string()))?;
        Ok(Some((job, tag)))
    }

    /// Saves the file of a succeeded job, and checks its size and SHA-256. Returns the path and the size.
    ///
    /// Nothing is left of a download that fails. The API key is not sent to the store.
    pub(super) async fn save(&self, job: &Value, out: Option<&Path>) -> Result<(PathBuf, u64)> {
        let Some(media) = job.pointer("/media/0") else {
            let code = job.pointer("/error/code").and_then(Value::as_str).unwrap_or("no error");
            bail!("there is no file: the job is {} ({code})", text(job, "status"));
        };
        let extension = text(media, "content_type").rsplit('/').next().unwrap_or_default();
        let file =
            out.map_or_else(|| PathBuf::from(format!("{}.{extension}", text(job, "id"))), PathBuf::from);
        let mut part = file.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let saved = self.download(media, &part).await;
        let bytes = match saved {
            Ok(bytes) => bytes,
            Err(error) => {
                let _absent = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
        };
        tokio::fs::rename(&part, &file).await.with_context(|| unwritable(&file))?;
        Ok((file, bytes))
    }

    async fn download(&self, media: &Value, file: &Path) -> Result<u64> {
        use tokio::io::AsyncWriteExt;
        // Its URL is a credential: not in an error.
        let get = self.http.get(text(media, "url")).send().await.map_err(reqwest::Error::without_url)?;
        let mut sent = get.error_for_status().map_err(reqwest::Error::without_url)?;
        let mut out = tokio::fs::File::create(file).await.with_context(|| unwritable(file))?;
        let (mut bytes, mut hash) = (0, Sha256::new());
        while let Some(chunk) = sent.chunk().await.map_err(reqwest::Error::without_url)? {
            bytes += chunk.len() as u64;
            hash.update(&chunk);
            out.write_all(&chunk).await.with_context(|| unwritable(file))?;
        }
        out.flush().await.with_context(|| unwritable(file))?;
        let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
        ensure!(hash == text(media, "sha256"), "the file is not the one that was stored: try again");
        Ok(bytes)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = request.bearer_auth(&self.key).send().await;
        let sent = sent.map_err(|error| Failure::Passing(error.without_url().to_string()))?;
        let status = sent.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return Ok(sent);
        }
        let problem: Value = sent.json().await.unwrap_or_default();
        let errors = problem.get("errors").map(|errors| format!(" {errors}")).unwrap_or_default();
        let words = format!("{status} {}: {}{errors}", text(&problem, "code"), text(&problem, "detail"));
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Rejected(self.help.to_owned()),
            StatusCode::TOO_MANY_REQUESTS => Failure::Passing(words),
            _ if status.is_server_error() => Failure::Passing(words),
            _ => Failure::Rejected(words),
        })
    }
}

/// A text in an object; empty if it has none of this name.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn unwritable(file: &Path) -> String {
    format!("{} cannot be written", file.display())
}
