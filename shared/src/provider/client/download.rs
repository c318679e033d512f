//! Authenticated downloads.

use http::HeaderValue;
use http::header::{CONTENT_TYPE, LOCATION};
use url::Url;

use super::transport::{Timer, read_body};
use super::{Credentials, ProviderClient};
use crate::provider::adapters::adapter;
use crate::provider::call::Answer;
use crate::provider::credential::CredentialId;
use crate::provider::fetch::download::{Download, DownloadError, Downloader, File, later};
use domain::time::Timestamp;

impl ProviderClient {
    /// Opens a finished job's file: with the key if the provider requires it, else without
    /// credentials. The key is not sent to a redirect target.
    pub async fn download(
        &self,
        downloads: &Downloader,
        credential: impl Into<CredentialId>,
        url: &str,
        now: Timestamp,
    ) -> Result<Download<File>, DownloadError> {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let call = Url::parse(url).ok().and_then(|url| adapter.download(&url));
        let Some(call) = call else { return downloads.open(url, now).await };
        let answer_max = call.answer_max;
        let timer = Timer::start(credential.provider, "download");
        let request = self.request(credential, call, Credentials::Key(now)).await;
        let sent = match request {
            Ok(request) => request.send().await.map_err(|error| later(error.without_url())),
            Err(lost) => Err(later(lost.cause())),
        };
        let asked = sent.as_ref().ok().map(|response| response.url().clone());
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        timer.log_status(status, (if sent.is_ok() { "answered" } else { "lost" }, ""));
        let response = sent?;
        if matches!(response.status().as_u16(), 401 | 403) {
            // The key was rejected; the file may exist.
            self.access_tokens.forget(credential);
            return Err(later("the key was not taken"));
        }
        let elsewhere = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
        match elsewhere.map(HeaderValue::to_str) {
            // It may be relative to the request URL (RFC 9110, 10.2.2).
            Some(Ok(location)) => match asked.and_then(|asked| asked.join(location).ok()) {
                Some(elsewhere) => downloads.open(elsewhere.as_str(), now).await,
                None => Err(later("redirected to nowhere")),
            },
            Some(Err(_)) => Err(later("redirected to nowhere")),
            None if is_json(&response) => {
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = read_body(response, answer_max).await.map_err(|lost| later(lost.cause()))?;
                let answer = Answer { status, headers, body };
                let file = adapter.read_download(&answer);
                file.map(Download::whole).ok_or(DownloadError::NotTheFile)
            }
            None => Download::of(response, now),
        }
    }
}

fn is_json(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status().is_success() && kind.is_some_and(|kind| kind.starts_with("application/json"))
}
