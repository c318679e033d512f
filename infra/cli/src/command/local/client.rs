//! A client of the HTTP API.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// An API client with a key.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    pub(super) fn new(url: String, key: String) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { http, url, key })
    }

    pub(super) async fn models(&self) -> Result<Value> {
        Ok(self.send(self.http.get(format!("{}/v1/models", self.url))).await?.json().await?)
    }

    pub(super) async fn submit(
        &self,
        model: &str,
        prompt: &str,
        image: Option<&str>,
        callback: Option<&str>,
        idempotency_key: &str,
    ) -> Result<Value> {
        let body = json!({"model": model, "prompt": prompt, "image_url": image, "callback_url": callback});
        let post = self.http.post(format!("{}/v1/jobs", self.url));
        let sent = self.send(post.header("idempotency-key", idempotency_key).json(&body)).await?;
        Ok(sent.json().await?)
    }

    /// Waits up to 2 s until the job's version differs from `tag`; `None` if it does not.
    pub(super) async fn watch(&self, id: &str, tag: Option<&str>) -> Result<Option<(Value, String)>> {
        let mut get = self.http.get(format!("{}/v1/jobs/{id}", self.url)).header("prefer", "wait=2");
        if let Some(tag) = tag {
            get = get.header(IF_NONE_MATCH, tag);
        }
        let sent = self.send(get).await?;
        if sent.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let tag = sent.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Some((sent.json().await?, tag)))
    }

    pub(super) async fn account(&self) -> Result<Value> {
        Ok(self.send(self.http.get(format!("{}/v1/account", self.url))).await?.json().await?)
    }

    /// What signs the events of callback URLs.
    pub(super) async fn callback_secret(&self) -> Result<String> {
        let get = self.http.get(format!("{}/v1/endpoints/ep_callback/secret", self.url));
        let secret: Value = self.send(get).await?.json().await?;
        let secret = secret.get("secret").and_then(Value::as_str);
        Ok(secret.context("the API returned no secret")?.to_owned())
    }

    /// Downloads a presigned media link to a file; returns its size in bytes. The API key is not sent.
    pub(super) async fn save(&self, link: &str, file: &Path) -> Result<u64> {
        use tokio::io::AsyncWriteExt;
        let mut sent = self.http.get(link).send().await?.error_for_status()?;
        let mut out = tokio::fs::File::create(file)
            .await
            .with_context(|| format!("{} cannot be written", file.display()))?;
        let mut bytes = 0;
        while let Some(chunk) = sent.chunk().await? {
            bytes += chunk.len() as u64;
            out.write_all(&chunk).await?;
        }
        out.flush().await?;
        Ok(bytes)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let sent = request.bearer_auth(&self.key).send().await.context("the API is not reachable")?;
        if sent.status().is_client_error() || sent.status().is_server_error() {
            let status = sent.status();
            let problem: Value = sent.json().await.unwrap_or_default();
            if status == StatusCode::UNAUTHORIZED {
                bail!(
                    "the demo key is revoked or not in this table: stop the stack, delete `demo-key` in its \
                     data folder, and start it again"
                );
            }
            let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let errors = problem.get("errors").map(|errors| format!(" {errors}")).unwrap_or_default();
            bail!("{status} {}: {}{errors}", text("code"), text("detail"));
        }
        Ok(sent)
    }
}
