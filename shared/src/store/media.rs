//! The bucket: streams media in with constant memory, and presigns links.

mod details;
mod ebml;
mod format;
mod whole;

use std::pin::pin;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures_util::stream::Fuse;
use futures_util::{Stream, StreamExt, join, stream};
use sha2::{Digest, Sha256};

use super::uploads::{presigning, within};
use super::{Error, S3};
use domain::catalog::Kind;
use domain::id::{AccountId, JobId};
use domain::job::Job;
use domain::media::Media;
use domain::time::Timestamp;
use format::{Format, disposition, served_type};
use whole::{Judgement, Whole};

/// A file up to this size is one `PutObject`; a larger one is a multipart upload. At most two parts
/// are in memory.
pub const PART_BYTES: usize = 16 * 1024 * 1024;
/// Maximum size of a file.
pub const MEDIA_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// The media bucket.
#[derive(Debug, Clone)]
pub struct MediaStore {
    client: S3,
    bucket: String,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source was interrupted, or its length was wrong.
    #[error("the source did not give the whole file")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is certainly the wrong file.
    #[error("the source is not the file that was sold: {0}")]
    NotMedia(&'static str),
    #[error(transparent)]
    Store(#[from] Error),
}

/// The key of the media of a job's current attempt.
pub fn media_key(job: &Job, kind: Kind) -> String {
    attempt_media_key(job.account(), job.id(), job.current_number(), kind)
}

/// The key of an attempt's media. A repeated copy has the same key.
pub fn attempt_media_key(account: &AccountId, job: &JobId, attempt: u8, kind: Kind) -> String {
    let name = match kind {
        Kind::Video => "video.mp4",
        Kind::Image => "image",
    };
    format!("media/{account}/{job}/{attempt}/{name}")
}

impl MediaStore {
    pub fn new(client: S3, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// Copies a stream of the requested kind of media to `key`. `length` is the announced length, if
    /// any. A file of another length or with an incomplete structure is rejected and never visible. An
    /// existing object is kept and returned.
    pub async fn copy<S, E>(
        &self,
        key: &str,
        kind: Kind,
        length: Option<u64>,
        source: S,
    ) -> Result<Media, CopyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        if length.is_some_and(|length| length > MEDIA_BYTES_MAX) {
            return Err(CopyError::NotMedia("it is larger than 5 GiB"));
        }
        let mut source = Parts::new(source, length);
        let first = source.next_part().await?;
        let format = match Format::of(&first) {
            Some(format) if format.kind() == kind => format,
            Some(_) => return Err(CopyError::NotMedia("it is of the other kind")),
            None => return Err(CopyError::NotMedia("its first bytes are of no video or image")),
        };
        if first.len() < PART_BYTES {
            let media = source.finish(key, format)?;
            return if self.put(key, first, &media).await? { Ok(media) } else { self.existing(key).await };
        }
        let upload = self.start(key, format.content_type()).await?;
        let sent = self.send_parts(key, &upload, first, &mut source).await;
        let whole = sent.and_then(|parts| Ok((parts, source.finish(key, format)?)));
        let done = match whole {
            Ok((parts, media)) => {
                let is_first = self.complete(key, &upload, parts).await.map_err(CopyError::from);
                is_first.map(|is_first| is_first.then_some(media))
            }
            Err(error) => Err(error),
        };
        if let Ok(Some(media)) = done {
            return Ok(media);
        }
        self.abort(key, &upload).await;
        match done {
            Err(error) => Err(error),
            Ok(_) => self.existing(key).await,
        }
    }

    /// The file of a concurrent copy that won.
    async fn existing(&self, key: &str) -> Result<Media, CopyError> {
        let found = self.find(key).await?;
        found.ok_or_else(|| {
            CopyError::Store(Error::failed(format!("find {key}"), "a write of it found it present"))
        })
    }

    /// A presigned link to a file.
    pub async fn link(&self, media: &Media, now: Timestamp, valid_for: Duration) -> Result<String, Error> {
        let doing = "sign a media link";
        let config = presigning(doing, now, valid_for)?;
        let get = self.client.get_object().bucket(&self.bucket).key(&media.key);
        let get = get.response_content_disposition(disposition(&media.content_type));
        let get = get.response_content_type(served_type(&media.content_type));
        let request = get.presigned(config).await.map_err(|source| Error::sdk(doing, source))?;
        Ok(request.uri().to_owned())
    }

    /// Scheme, host and port of all links, for the policy of a page that shows files. Calls nothing.
    pub async fn origin(&self, now: Timestamp) -> Result<String, Error> {
        let doing = "sign a media link";
        let get = self.client.get_object().bucket(&self.bucket).key("media/");
        let signed = get.presigned(presigning(doing, now, Duration::from_secs(60))?).await;
        let signed = signed.map_err(|source| Error::sdk(doing, source))?;
        Ok(signed.uri().split('/').take(3).collect::<Vec<_>>().join("/"))
    }

    /// A presigned link for a HEAD request: the method is signed, too.
    pub async fn head_link(
        &self,
        media: &Media,
        now: Timestamp,
        valid_for: Duration,
    ) -> Result<String, Error> {
        let doing = "sign a media link";
        let head = self.client.head_object().bucket(&self.bucket).key(&media.key);
        let signed = head.presigned(presigning(doing, now, valid_for)?).await;
        Ok(signed.map_err(|source| Error::sdk(doing, source))?.uri().to_owned())
    }

    /// Deletes a file; one that does not exist is deleted.
    pub async fn delete(&self, media: &Media) -> Result<(), Error> {
        let doing = format!("delete {}", media.key);
        within(&doing, async {
            let sent = self.client.delete_object().bucket(&self.bucket).key(&media.key).send().await;
            sent.map(|_| ()).map_err(|source| Error::sdk(&doing, source))
        })
        .await
    }

    /// The stored file at `key`, with its metadata read again.
    pub async fn find(&self, key: &str) -> Result<Option<Media>, Error> {
        let doing = format!("look for {key}");
        let object = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::sdk(doing, error)),
        };
        let Some(content_type) = object.content_type else {
            return Err(Error::failed(doing, "its type is missing"));
        };
        let source = pin!(stream::unfold(object.body, async |mut body| Some((body.next().await?, body))));
        let mut source = Parts::new(source, None);
        while !source.next_part().await.map_err(|source| Error::failed(&doing, source))?.is_empty() {}
        Ok(Some(source.media(key, &content_type)))
    }

    /// Puts an object; `false` if the key exists.
    async fn put(&self, key: &str, body: Bytes, media: &Media) -> Result<bool, Error> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(&media.content_type)
            .content_disposition(disposition(&media.content_type))
            .metadata("sha256", &media.sha256)
            .if_none_match("*")
            .body(ByteStream::from(body));
        created(format!("store {key}"), put.send().await)
    }

    async fn start(&self, key: &str, content_type: &str) -> Result<String, Error> {
        let doing = format!("start the upload of {key}");
        let start = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let start = start.content_type(content_type).content_disposition(disposition(content_type));
        let started = start.send().await;
        let started = started.map_err(|source| Error::sdk(&doing, source))?;
        started.upload_id.ok_or_else(|| Error::failed(doing, "the answer names no upload"))
    }

    async fn send_parts<S, E>(
        &self,
        key: &str,
        upload: &str,
        first: Bytes,
        source: &mut Parts<S>,
    ) -> Result<Vec<CompletedPart>, CopyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut parts = Vec::new();
        let mut part = first;
        while !part.is_empty() {
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let send =
                self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload).part_number(number);
            // One part is downloaded while the other is uploaded. Neither is interrupted: a part that
            // arrives after the abort of its upload would remain.
            let (sent, next) = join!(send.body(ByteStream::from(part)).send(), source.next_part());
            let sent = sent.map_err(|source| Error::sdk(format!("store part {number} of {key}"), source))?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
            part = next?;
        }
        Ok(parts)
    }

    /// Completes an upload; `false` if the key exists.
    async fn complete(&self, key: &str, upload: &str, parts: Vec<CompletedPart>) -> Result<bool, Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete =
            self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        let sent = complete.multipart_upload(parts).if_none_match("*").send().await;
        created(format!("complete the upload of {key}"), sent)
    }

    async fn abort(&self, key: &str, upload: &str) {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        if let Err(error) = abort.send().await {
            // The bucket's lifecycle rule removes the rest.
            tracing::warn!(error = Error::sdk("abort an upload", error).with_causes(), "media.abort_failed");
        }
    }
}

/// Whether a call created an object; `false` if the key existed.
fn created<T, E>(doing: String, sent: Result<T, SdkError<E>>) -> Result<bool, Error>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(true),
        // The SDK repeats a call whose answer was lost: the upload is already complete.
        Err(error) if error.raw_response().is_some_and(|it| matches!(it.status().as_u16(), 404 | 412)) => {
            Ok(false)
        }
        Err(error) => Err(Error::sdk(doing, error)),
    }
}

/// Splits a stream into parts, counts, hashes and checks it.
struct Parts<S> {
    /// Polled once more after its end.
    source: Fuse<S>,
    /// Bytes of the next part.
    rest: Bytes,
    /// The detected format, if known.
    whole: Option<Whole>,
    is_first: bool,
    hash: Sha256,
    bytes: u64,
    length: Option<u64>,
}

impl<S, E> Parts<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    /// [`PART_BYTES`], or the rest; empty at the end.
    async fn next_part(&mut self) -> Result<Bytes, CopyError> {
        let mut part = BytesMut::with_capacity(PART_BYTES);
        while part.len() < PART_BYTES {
            let mut chunk = std::mem::take(&mut self.rest);
            if chunk.is_empty() {
                let Some(next) = self.source.next().await else { break };
                chunk = next.map_err(|error| CopyError::Source(Box::new(error)))?;
                self.bytes += chunk.len() as u64;
                if self.bytes > self.length.unwrap_or(MEDIA_BYTES_MAX) {
                    return Err(CopyError::NotMedia("it is longer than announced, or than 5 GiB"));
                }
                self.hash.update(&chunk);
            }
            self.rest = chunk.split_off(chunk.len().min(PART_BYTES - part.len()));
            part.extend_from_slice(&chunk);
        }
        if self.is_first {
            self.whole = Format::of(&part).map(Whole::new);
        }
        self.is_first = false;
        if let Some(whole) = &mut self.whole {
            whole.feed(&part);
        }
        Ok(part.freeze())
    }
}

impl<S: Stream> Parts<S> {
    fn new(source: S, length: Option<u64>) -> Self {
        let hash = Sha256::new();
        Self {
            source: source.fuse(),
            rest: Bytes::new(),
            whole: None,
            is_first: true,
            hash,
            bytes: 0,
            length,
        }
    }

    /// The complete file, if its structure is valid.
    fn finish(&self, key: &str, format: Format) -> Result<Media, CopyError> {
        if self.length.is_some_and(|length| length != self.bytes) {
            return Err(CopyError::Source("it was interrupted".into()));
        }
        let whole = self.whole.as_ref().ok_or(CopyError::NotMedia("it is empty"))?;
        match (whole.judge(), self.length) {
            (Judgement::Whole, _) => {}
            // Some players cannot use it, but its length is the announced one.
            (Judgement::WithoutCore, Some(_)) => tracing::warn!(key, "media.without_index"),
            (Judgement::WithoutCore | Judgement::CutOff, None) => {
                return Err(CopyError::Source("it was interrupted".into()));
            }
            (Judgement::CutOff, Some(_)) => {
                return Err(CopyError::NotMedia("by its own structure it is longer"));
            }
            (Judgement::Broken, _) => return Err(CopyError::NotMedia("only its beginning is of a file")),
        }
        if self.bytes < format.bytes_min() {
            return Err(CopyError::NotMedia("it is too small to show anything"));
        }
        if details::is_without_film(format, whole.described()) {
            return Err(CopyError::NotMedia("it has sound and no video"));
        }
        Ok(self.media(key, format.content_type()))
    }

    fn media(&self, key: &str, content_type: &str) -> Media {
        let details = |whole: &Whole| details::read(whole.format(), whole.described());
        Media {
            key: key.to_owned(),
            bytes: self.bytes,
            sha256: data_encoding::HEXLOWER.encode(&self.hash.clone().finalize()),
            content_type: content_type.to_owned(),
            details: self.whole.as_ref().map(details).unwrap_or_default(),
        }
    }
}
