//! The caller's images, for providers that take bytes instead of URLs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures_util::StreamExt;

use super::download::Downloader;
use domain::time::Timestamp;
use domain::upload::{BYTES_MAX, TYPES};
use domain::verdict::{Billed, ErrorClass, Fault};

/// How long one may take to fetch.
pub const FETCH_MAX: Duration = Duration::from_secs(7);

/// A picture that a video begins or ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub bytes: Bytes,
    /// One of [`TYPES`], by what the bytes begin with.
    pub mime: &'static str,
}

impl Image {
    /// `None` for what is no PNG, JPEG or WebP.
    pub fn of(bytes: Bytes) -> Option<Self> {
        let mime = infer::get(&bytes)?.mime_type();
        TYPES.contains(&mime).then_some(Self { bytes, mime })
    }

    pub fn base64(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    /// The image itself, in the place of a URL.
    pub fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.mime, self.base64())
    }

    /// Fetches an image of at most 10 MB, as anybody would.
    ///
    /// # Errors
    ///
    /// `invalid_request`, whatever is wrong with it: the caller's image is the caller's.
    pub async fn fetch(downloads: &Downloader, url: &str, now: Timestamp) -> Result<Self, Fault> {
        let bytes = tokio::time::timeout(FETCH_MAX, read(downloads, url, now)).await;
        let bytes = bytes.unwrap_or(Err("image_unavailable")).map_err(unusable)?;
        Self::of(bytes).ok_or_else(|| unusable("image_of_unknown_kind"))
    }
}

fn unusable(code: &str) -> Fault {
    Fault::new(ErrorClass::InvalidRequest, Some(code), Billed::No)
}

async fn read(downloads: &Downloader, url: &str, now: Timestamp) -> Result<Bytes, &'static str> {
    let Ok(mut file) = downloads.open(url, now).await else { return Err("image_unavailable") };
    let mut bytes = BytesMut::new();
    while let Some(chunk) = file.body.next().await {
        let Ok(chunk) = chunk else { return Err("image_unavailable") };
        if (bytes.len() + chunk.len()) as u64 > BYTES_MAX {
            return Err("image_too_large");
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
