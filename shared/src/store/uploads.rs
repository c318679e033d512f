//! Images that came with requests: in the bucket for a day, long enough for every attempt of a job.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use domain::time::Timestamp;
use domain::upload::Upload;
use futures_util::future::try_join_all;

use super::{Error, S3};

/// How long a caller waits for the bucket.
pub const BUCKET_WITHIN: Duration = Duration::from_secs(6);

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

    /// Stores images. The same image is stored again, so that its day begins anew.
    pub async fn put(&self, images: &[(Upload, &str, Bytes)]) -> Result<(), Error> {
        let puts = images.iter().map(async |(upload, content_type, bytes)| {
            let put = self.client.put_object().bucket(&self.bucket).key(upload.key());
            let sent = put.content_type(*content_type).body(ByteStream::from(bytes.clone())).send().await;
            sent.map(|_| ()).map_err(|source| Error::sdk("store an upload", source))
        });
        within("store an upload", try_join_all(puts)).await.map(|_| ())
    }

    /// A presigned link to an image.
    pub async fn link(&self, upload: &Upload, now: Timestamp, valid_for: Duration) -> Result<String, Error> {
        let config = presigning("sign a link to an upload", now, valid_for)?;
        let get = self.client.get_object().bucket(&self.bucket).key(upload.key()).presigned(config).await;
        let request = get.map_err(|source| Error::sdk("sign a link to an upload", source))?;
        Ok(request.uri().to_owned())
    }
}

/// A call of the bucket while a caller waits, in the time that there is for it.
pub(super) async fn within<T>(doing: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = tokio::time::timeout(BUCKET_WITHIN, call).await;
    done.unwrap_or_else(|_elapsed| Err(Error::failed(doing, "it took too long")))
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
