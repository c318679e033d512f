//! Images that came with requests: in the bucket for a day, long enough for every attempt of a job.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use domain::time::Timestamp;
use domain::upload::Upload;

use super::{Error, S3};

/// The uploads of the bucket.
#[derive(Debug, Clone)]
pub struct Uploads {
    client: S3,
    bucket: String,
}

impl Uploads {
    /// The folder of all uploads, whose files the bucket deletes.
    pub const PREFIX: &str = "uploads/";

    pub fn new(client: S3, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// Stores an image. The same image is stored again, so that its day begins anew.
    pub async fn put(&self, upload: &Upload, content_type: &str, bytes: Bytes) -> Result<(), Error> {
        let put = self.client.put_object().bucket(&self.bucket).key(upload.key()).content_type(content_type);
        let sent = put.body(ByteStream::from(bytes)).send().await;
        sent.map(|_| ()).map_err(|source| Error::sdk("store an upload", source))
    }

    /// A presigned link to an image.
    pub async fn link(&self, upload: &Upload, now: Timestamp, valid_for: Duration) -> Result<String, Error> {
        let config = presigning("sign a link to an upload", now, valid_for)?;
        let get = self.client.get_object().bucket(&self.bucket).key(upload.key()).presigned(config).await;
        let request = get.map_err(|source| Error::sdk("sign a link to an upload", source))?;
        Ok(request.uri().to_owned())
    }
}

/// When a presigned link begins and ends.
pub(super) fn presigning(
    doing: &str,
    now: Timestamp,
    valid_for: Duration,
) -> Result<PresigningConfig, Error> {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or(0));
    let config = PresigningConfig::builder().start_time(start).expires_in(valid_for).build();
    config.map_err(|source| Error::corrupt(doing, source))
}
