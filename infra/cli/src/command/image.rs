//! The image that a command is given.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use domain::upload::BYTES_MAX;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::provider::fetch::Image;
use tokio::io::AsyncReadExt;

/// An image of a request.
#[derive(Debug)]
pub(super) enum Given {
    Url(String),
    File(File),
}

/// An image that can be uploaded.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) image: Image,
    pub(super) sha256: String,
}

impl Given {
    /// Reads a file: only a regular one, and of a size that can be uploaded.
    pub(super) async fn read(file_or_url: &str) -> Result<Self> {
        let is_url = |scheme: &str| {
            file_or_url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if is_url("https://") || is_url("http://") {
            return Ok(Self::Url(file_or_url.to_owned()));
        }
        let bytes = bytes_of(file_or_url).await?;
        let image =
            Image::of(bytes).with_context(|| format!("{file_or_url} is not a PNG, JPEG or WebP image"))?;
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&image.bytes));
        Ok(Self::File(File { name: file_or_url.to_owned(), image, sha256 }))
    }

    /// The `image` of a request. A file is named as its upload, whether or not it has been uploaded.
    pub(super) fn named(&self) -> Value {
        match self {
            Self::Url(url) => json!({"url": url}),
            Self::File(file) => json!({"upload": file.sha256}),
        }
    }
}

async fn bytes_of(name: &str) -> Result<Bytes> {
    let unreadable = || format!("{name} cannot be read");
    // Before it is opened: a pipe would be waited for.
    let found = tokio::fs::metadata(name).await.with_context(unreadable)?;
    ensure!(found.is_file(), "{name} is not a regular file");
    let file = tokio::fs::File::open(name).await.with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).await.with_context(unreadable)?;
    ensure!(bytes.len() as u64 <= BYTES_MAX, "{name} is too large: an image may have {BYTES_MAX} bytes");
    Ok(bytes.into())
}
