//! Downloads media from untrusted URLs, behind the SSRF guard. Credentials are never sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use url::Url;

use crate::outside::client;
use crate::outside::guard::{Guard, is_forbidden};
use crate::provider::outcome::busy;
use domain::public_url::Reach;
use domain::time::Timestamp;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The maximum time without data in the middle of a file.
pub(in crate::provider) const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 3;

/// Downloads media within its [`Reach`].
#[derive(Debug, Clone)]
pub struct Downloader {
    http: reqwest::Client,
    reach: Reach,
}

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// 404 or 410. A 403 may apply to this link only: [`Self::Later`].
    #[error("the file is not there: HTTP {0}")]
    Gone(u16),
    /// Server or connection error. A retry may succeed.
    #[error("the file could not be fetched now")]
    Later(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Rate limited or overloaded, with `Retry-After`.
    #[error("the server is busy for {0:?}")]
    Busy(Duration),
    #[error("the URL is not one that we fetch from: {0}")]
    Forbidden(&'static str),
    /// The answer is not a file.
    #[error("the answer is not the file")]
    NotTheFile,
}

/// The streamed bytes of a file.
pub type File = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// A started download.
pub struct Download<S> {
    /// In bytes, if announced by the server.
    pub length: Option<u64>,
    pub body: S,
}

impl<S> std::fmt::Debug for Download<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Downloader {
    /// A downloader that only reaches these hosts.
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        let follow = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX || reach.check(attempt.url()).is_err() {
                attempt.error("redirected to where we do not fetch from")
            } else {
                attempt.follow()
            }
        });
        let http = client::builder()
            .redirect(follow)
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .dns_resolver(Arc::new(Guard::new(reach)))
            .build()?;
        Ok(Self { http, reach })
    }

    /// Opens a file. The body is streamed.
    pub async fn open(&self, url: &str, now: Timestamp) -> Result<Download<File>, DownloadError> {
        let parsed = Url::parse(url);
        let Ok(url) = parsed else { return Err(DownloadError::Forbidden("it is not a URL")) };
        self.reach.check(&url).map_err(DownloadError::Forbidden)?;
        let sent = self.http.get(url).send().await.map_err(|error| match is_forbidden(&error) {
            Some(why) => DownloadError::Forbidden(why),
            // A presigned URL is a secret and must not be logged.
            None => later(error.without_url()),
        });
        Download::of(sent?, now)
    }
}

impl Download<File> {
    /// A file in memory.
    pub(in crate::provider) fn whole(bytes: Bytes) -> Self {
        let length = u64::try_from(bytes.len()).ok();
        Self { length, body: stream::iter([Ok(bytes)]).boxed() }
    }

    /// The file of an answer.
    pub(in crate::provider) fn of(
        response: reqwest::Response,
        now: Timestamp,
    ) -> Result<Self, DownloadError> {
        if let Some(wait) = busy(response.status().as_u16(), response.headers(), now) {
            return Err(DownloadError::Busy(wait));
        }
        match response.status() {
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
                Ok(Self { length: response.content_length(), body: response.bytes_stream().boxed() })
            }
            // Accepted if the range is the whole file.
            StatusCode::PARTIAL_CONTENT if whole_length(response.headers()).is_some() => {
                Ok(Self { length: whole_length(response.headers()), body: response.bytes_stream().boxed() })
            }
            gone @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(DownloadError::Gone(gone.as_u16())),
            status => Err(later(format!("HTTP {}", status.as_u16()))),
        }
    }
}

/// The file's length, if a 206 answer contains all of it.
fn whole_length(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().to_ascii_lowercase();
    let (part, length) = range.strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let length = number(length)?;
    (number(first)? == 0 && number(last)?.checked_add(1)? == length).then_some(length)
}

pub(in crate::provider) fn later(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DownloadError {
    DownloadError::Later(source.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(reach: Reach, url: &str) -> DownloadError {
        Downloader::new(reach).unwrap().open(url, Timestamp::from_secs(0)).await.expect_err(url)
    }

    /// The tests of [`Reach`] cover the allowed URLs; this one that the check is applied.
    #[tokio::test]
    async fn what_an_order_may_not_name_is_not_fetched_either() {
        for url in [
            "not a URL",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://[::ffff:7f00:1]/",
            "https://[::ffff:0:7f00:1]/",
            "https://[4000::1]/",
            "https://localhost/",
            "https://metadata.google.internal/",
            "https://user:pw@example.com/",
            "http://example.com/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert!(matches!(open(Reach::Public, url).await, DownloadError::Forbidden(_)), "{url}");
        }
        assert!(matches!(open(Reach::Loopback, "http://127.0.0.1:1/a").await, DownloadError::Later(_)));
        assert!(matches!(open(Reach::Loopback, "http://10.0.0.1/a").await, DownloadError::Forbidden(_)));
    }

    #[test]
    fn a_part_that_is_the_whole_file_is_the_file() {
        let whole =
            |range: &str| whole_length(&[(CONTENT_RANGE, range.parse().unwrap())].into_iter().collect());
        assert_eq!([whole("bytes 0-99/100"), whole("Bytes 0 - 99 / 100")], [Some(100); 2]);
        for part in ["bytes 1-99/100", "bytes 0-98/100", "bytes 0-99/*", "bytes */100", "0-99/100", ""] {
            assert_eq!(whole(part), None, "{part}");
        }
    }
}
