//! Uploads of callers: in the bucket for a day after they were stored or last used, long enough for every attempt
//! of a job.

mod form;

use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use bytes::Bytes;
use domain::time::Timestamp;
use domain::upload::Upload;
use futures_util::future::{try_join, try_join_all};

use super::{Error, S3};
pub use form::{Form, Signer};

/// How long a caller waits for the bucket.
pub const BUCKET_WITHIN: Duration = Duration::from_secs(6);

/// No browser shows an upload: it was checked for its first bytes alone.
const DISPOSITION: &str = "attachment";
/// The part of a file that tells its kind.
const START: &str = "bytes=0-63";

/// The uploads of the bucket.
#[derive(Debug, Clone)]
pub struct Uploads {
    client: S3,
    bucket: String,
}

/// What became of an upload that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept for a day from now.
    Kept,
    /// The account has no such upload, or has it no more.
    Missing,
    /// It is no image that providers know.
    OfUnknownKind,
    /// It is not the file that was announced.
    OfOtherContent,
}

impl Uploads {
    /// The folder of all uploads, whose files the bucket deletes.
    pub const PREFIX: &str = "uploads/";

    pub fn new(client: S3, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// A form by which a caller stores an upload: see [`Form`].
    pub async fn form(
        &self,
        signer: &Signer,
        upload: &Upload,
        content_type: &str,
        bytes: u64,
        now: Timestamp,
    ) -> Result<Form, Error> {
        let link = self.link(upload, now, form::VALID_FOR).await?;
        let url = link.split('?').next().unwrap_or_default();
        let url = url.strip_suffix(&upload.key()).unwrap_or(url);
        let fields = [
            ("key", upload.key()),
            ("Content-Type", content_type.to_owned()),
            ("Content-Disposition", DISPOSITION.to_owned()),
            ("x-amz-checksum-sha256", upload.sha256_base64()),
        ];
        signer.sign(url, &self.bucket, fields, bytes, now).await
    }

    /// Stores the images that came with a request, and has those that it names kept for a day from now; in the
    /// time that a caller waits. `kind` is the media type by the first bytes, if providers know it.
    pub async fn keep(
        &self,
        brought: &[(Upload, &str, Bytes)],
        named: &[Upload],
        kind: fn(Bytes) -> Option<&'static str>,
    ) -> Result<Vec<Kept>, Error> {
        let puts = try_join_all(
            brought.iter().map(|(upload, content_type, bytes)| self.put(upload, content_type, bytes.clone())),
        );
        let renewals = try_join_all(named.iter().map(|upload| self.renew(upload, kind)));
        within("keep uploads", try_join(puts, renewals)).await.map(|(_, kept)| kept)
    }

    async fn put(&self, upload: &Upload, content_type: &str, bytes: Bytes) -> Result<(), Error> {
        let put = self.client.put_object().bucket(&self.bucket).key(upload.key());
        let put = put.content_type(content_type).content_disposition(DISPOSITION);
        let sent = put.body(ByteStream::from(bytes)).send().await;
        sent.map(|_| ()).map_err(|source| Error::sdk("store an upload", source))
    }

    /// Begins the day of an upload anew, by a copy to its own place, for which the bucket computes the SHA-256: the
    /// check does not rest on the form alone. The content is fixed by its name, so that nothing can change between
    /// the checks.
    async fn renew(&self, upload: &Upload, kind: fn(Bytes) -> Option<&'static str>) -> Result<Kept, Error> {
        let doing = "look at an upload";
        let get = self.client.get_object().bucket(&self.bucket).key(upload.key()).range(START);
        let start = match get.send().await {
            Ok(found) => found.body.collect().await.map_err(|source| Error::failed(doing, source))?,
            Err(error) if is_missing(&error) => return Ok(Kept::Missing),
            Err(error) => return Err(Error::sdk(doing, error)),
        };
        let Some(content_type) = kind(start.into_bytes()) else { return Ok(Kept::OfUnknownKind) };
        let copy = self.client.copy_object().bucket(&self.bucket).key(upload.key());
        let copy = copy.copy_source(format!("{}/{}", self.bucket, upload.key()));
        let copy = copy.metadata_directive(MetadataDirective::Replace).content_disposition(DISPOSITION);
        let copy = copy.content_type(content_type).checksum_algorithm(ChecksumAlgorithm::Sha256);
        let doing = "keep an upload";
        let copied = match copy.send().await {
            Ok(copied) => copied,
            Err(error) if is_missing(&error) => return Ok(Kept::Missing),
            Err(error) => return Err(Error::sdk(doing, error)),
        };
        match copied.copy_object_result().and_then(|copy| copy.checksum_sha256()) {
            Some(sha256) if sha256 == upload.sha256_base64() => Ok(Kept::Kept),
            Some(_) => Ok(Kept::OfOtherContent),
            None => Err(Error::failed(doing, "the bucket computed no SHA-256")),
        }
    }

    /// A presigned link to an image.
    pub async fn link(&self, upload: &Upload, now: Timestamp, valid_for: Duration) -> Result<String, Error> {
        let config = presigning("sign a link to an upload", now, valid_for)?;
        let get = self.client.get_object().bucket(&self.bucket).key(upload.key()).presigned(config).await;
        let request = get.map_err(|source| Error::sdk("sign a link to an upload", source))?;
        Ok(request.uri().to_owned())
    }
}

fn is_missing<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|response| response.status().as_u16() == 404)
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
    let config = PresigningConfig::builder().start_time(system_time(now)).expires_in(valid_for).build();
    config.map_err(|source| Error::corrupt(doing, source))
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.as_secs()).unwrap_or(0))
}
