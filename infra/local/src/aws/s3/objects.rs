//! Objects in a folder, with S3's own behaviour where `s3s-fs` differs from it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_stream::try_stream;
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;
use http::{HeaderMap, header};
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard};

type Answer<T> = S3Result<S3Response<T>>;

/// `s3s-fs`, made exact: see the guarantees of [`super::S3`].
pub(super) struct Objects {
    files: FileSystem,
    folder: PathBuf,
    /// Held by the one writer whose object is about to appear.
    appearing: Arc<Mutex<()>>,
}

impl Objects {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let files = FileSystem::new(folder)
            .map_err(|error| anyhow::anyhow!("objects could not be opened: {error:?}"))?;
        Ok(Self { files, folder: folder.to_owned(), appearing: Arc::default() })
    }

    async fn put(&self, mut request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = &mut request.input;
        self.require_bucket(&input.bucket)?;
        // Checked only here, after the last byte: a sender that is cut off in
        // the middle of its content would never read our answer.
        let create = input.if_none_match.take_if(|condition| condition.is_any()).is_some();
        let absent = create.then(|| self.folder.join(&input.bucket).join(&input.key));
        let sha256 = input.checksum_sha256.as_deref().map(sha256).transpose()?;
        let turn = Arc::new(OnceLock::new());
        if let Some(content) = input.body.take() {
            let appearing = Arc::clone(&self.appearing);
            let content = then_take_turn(content, sha256, appearing, absent, Arc::clone(&turn));
            input.body = Some(StreamingBlob::wrap(content));
        }
        match (self.files.put_object(request).await, turn.get()) {
            (Err(_), Some(Turn::Late)) => Err(s3_error!(PreconditionFailed, "The key exists")),
            (Err(_), Some(Turn::Damaged)) => {
                Err(s3_error!(BadDigest, "The SHA256 you specified did not match the calculated checksum."))
            }
            (answer, _) => answer,
        }
    }

    /// As S3, which copies an object to itself only to change what it says of it, and computes the SHA-256 of a copy
    /// if it is asked to.
    async fn copy(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let input = &request.input;
        let replaces =
            input.metadata_directive.as_ref().is_some_and(|it| it.as_str() == MetadataDirective::REPLACE);
        let is_itself = matches!(&input.copy_source, CopySource::Bucket { bucket, key, .. }
            if **bucket == *input.bucket && **key == *input.key);
        if is_itself && !replaces {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it changes nothing."
            ));
        }
        let hashes =
            input.checksum_algorithm.as_ref().is_some_and(|it| it.as_str() == ChecksumAlgorithm::SHA256);
        let file = hashes.then(|| self.folder.join(&input.bucket).join(&input.key));
        let mut copied = self.files.copy_object(request).await?;
        if let (Some(file), Some(copy)) = (file, &mut copied.output.copy_object_result) {
            let content = tokio::fs::read(file).await.map_err(S3Error::internal_error)?;
            copy.checksum_sha256 = Some(BASE64.encode(&Sha256::digest(content)));
        }
        Ok(copied)
    }

    async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let _turn = self.appearing.lock().await;
        let input = &request.input;
        self.require_upload(&input.upload_id)?;
        let create = input.if_none_match.as_ref().is_some_and(|condition| condition.is_any());
        if create && self.folder.join(&input.bucket).join(&input.key).exists() {
            return Err(s3_error!(PreconditionFailed, "The key exists"));
        }
        self.files.complete_multipart_upload(request).await
    }

    async fn begin_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.require_bucket(&request.input.bucket)?;
        self.files.create_multipart_upload(request).await
    }

    async fn get(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let known = request.input.if_none_match.clone();
        let found = self.files.get_object(request).await?;
        require_change(known, found.output.e_tag.as_ref())?;
        Ok(found)
    }

    async fn head(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let known = request.input.if_none_match.clone();
        let found = self.files.head_object(request).await?;
        require_change(known, found.output.e_tag.as_ref())?;
        Ok(found)
    }

    async fn delete_empty_bucket(&self, request: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        let list = request.clone().map_input(|input| ListObjectsV2Input {
            bucket: input.bucket,
            max_keys: Some(1),
            ..ListObjectsV2Input::default()
        });
        if self.files.list_objects_v2(list).await?.output.contents.is_some() {
            return Err(s3_error!(BucketNotEmpty));
        }
        self.files.delete_bucket(request).await
    }

    /// The uploads that were begun and neither completed nor aborted, by their keys.
    fn open_uploads(&self, bucket: &str) -> S3Result<ListMultipartUploadsOutput> {
        self.require_bucket(bucket)?;
        let mut uploads = Vec::new();
        for file in std::fs::read_dir(&self.folder).map_err(S3Error::internal_error)? {
            let file = file.map_err(S3Error::internal_error)?;
            let begun = file.metadata().and_then(|file| file.modified()).map_err(S3Error::internal_error)?;
            let name = file.file_name();
            let Some((key, id)) = name.to_str().and_then(|name| upload_of(bucket, name)) else { continue };
            if self.require_upload(&id).is_ok() {
                uploads.push(MultipartUpload {
                    key: Some(key),
                    upload_id: Some(id),
                    initiated: Some(begun.into()),
                    ..MultipartUpload::default()
                });
            }
        }
        uploads.sort_by(|one, other| one.key.cmp(&other.key));
        let bucket = Some(bucket.to_owned());
        Ok(ListMultipartUploadsOutput {
            bucket,
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        })
    }

    fn require_bucket(&self, name: &str) -> S3Result<()> {
        if self.folder.join(name).exists() { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    fn require_upload(&self, id: &str) -> S3Result<()> {
        // The file in which `s3s-fs` notes who began the upload.
        if self.folder.join(format!(".upload-{id}.json")).exists() {
            Ok(())
        } else {
            Err(s3_error!(NoSuchUpload))
        }
    }
}

/// The key and the id of the upload that a file of `s3s-fs` describes, if it is one of this bucket.
fn upload_of(bucket: &str, file: &str) -> Option<(String, String)> {
    let prefix = format!(".bucket-{}.object-", BASE64URL_NOPAD.encode(bucket.as_bytes()));
    let rest = file.strip_prefix(&prefix)?.strip_suffix(".metadata.json")?;
    let (key, id) = rest.split_once(".upload-")?;
    let key = String::from_utf8(BASE64URL_NOPAD.decode(key.as_bytes()).ok()?).ok()?;
    Some((key, id.to_owned()))
}

/// Whether a put may go on, once all its content is there.
enum Turn {
    Now {
        _until_dropped: OwnedMutexGuard<()>,
    },
    /// The key was to be created and exists.
    Late,
    /// The content has another checksum.
    Damaged,
}

/// A checksum as a caller gives it: 32 bytes in base64.
fn sha256(text: &str) -> S3Result<[u8; 32]> {
    let digest = BASE64.decode(text.as_bytes()).ok().and_then(|digest| digest.try_into().ok());
    digest.ok_or_else(|| s3_error!(InvalidRequest, "Value for x-amz-checksum-sha256 header is invalid."))
}

/// The content, whose end is held back until it is the writer's turn, and never comes if its checksum is not
/// the announced one. A slow sender delays no other request, because it takes the lock only after its last byte.
fn then_take_turn(
    content: StreamingBlob,
    sha256: Option<[u8; 32]>,
    appearing: Arc<Mutex<()>>,
    absent: Option<PathBuf>,
    turn: Arc<OnceLock<Turn>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    try_stream! {
        let mut announced = sha256.map(|sha256| (sha256, Sha256::new()));
        for await chunk in content {
            let chunk = chunk.map_err(io::Error::other)?;
            if let Some((_, hash)) = &mut announced {
                hash.update(&chunk);
            }
            yield chunk;
        }
        if announced.is_some_and(|(sha256, hash)| sha256 != *hash.finalize()) {
            let _ = turn.set(Turn::Damaged);
            Err(io::Error::other("the content is not the announced one"))?;
        }
        let guard = appearing.lock_owned().await;
        if absent.is_some_and(|path| path.exists()) {
            let _ = turn.set(Turn::Late);
            Err(io::Error::other("the key exists"))?;
        } else {
            let _ = turn.set(Turn::Now { _until_dropped: guard });
        }
    }
}

/// 304 if what the caller has is what is there.
fn require_change(known: Option<ETagCondition>, current: Option<&ETag>) -> S3Result<()> {
    let (Some(known), Some(current)) = (known, current) else { return Ok(()) };
    if known.as_etag().is_some_and(|known| !known.weak_cmp(current)) {
        return Ok(());
    }
    let mut unchanged = s3_error!(NotModified);
    let etag = current.to_http_header().map_err(|error| s3_error!(error, InternalError))?;
    unchanged.set_headers(HeaderMap::from_iter([(header::ETAG, etag)]));
    Err(unchanged)
}

/// Methods of the trait, in the form that its `async_trait` gives them.
macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident = |$objects:ident, $request:ident| $answer:expr;)*) => {$(
        fn $name<'s, 'f>(&'s self, $request: S3Request<$input>) -> BoxFuture<'f, Answer<$output>>
        where
            's: 'f,
            Self: 'f,
        {
            let $objects = self;
            Box::pin($answer)
        }
    )*};
}

/// What `s3s-fs` does well.
macro_rules! of_the_files {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        operations! { $($name($input) -> $output = |objects, request| objects.files.$name(request);)* }
    };
}

/// What `s3s-fs` does well for an upload that it knows.
macro_rules! of_an_upload {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        operations! { $($name($input) -> $output = |objects, request| async move {
            objects.require_upload(&request.input.upload_id)?;
            objects.files.$name(request).await
        };)* }
    };
}

/// What an account's bucket is given once and nothing here depends on.
macro_rules! without_effect {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        operations! { $($name($input) -> $output = |_objects, _request| async {
            Ok(S3Response::new($output::default()))
        };)* }
    };
}

impl S3 for Objects {
    operations! {
        put_object(PutObjectInput) -> PutObjectOutput = |objects, request| objects.put(request);
        copy_object(CopyObjectInput) -> CopyObjectOutput = |objects, request| objects.copy(request);
        get_object(GetObjectInput) -> GetObjectOutput = |objects, request| objects.get(request);
        head_object(HeadObjectInput) -> HeadObjectOutput = |objects, request| objects.head(request);
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput =
            |objects, request| objects.begin_upload(request);
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput =
            |objects, request| objects.complete(request);
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = |objects, request| objects.delete_empty_bucket(request);
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = |objects, request| async move {
            objects.open_uploads(&request.input.bucket).map(S3Response::new)
        };
    }
    of_an_upload! {
        upload_part(UploadPartInput) -> UploadPartOutput;
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
        list_parts(ListPartsInput) -> ListPartsOutput;
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    }
    of_the_files! {
        create_bucket(CreateBucketInput) -> CreateBucketOutput;
        head_bucket(HeadBucketInput) -> HeadBucketOutput;
        list_buckets(ListBucketsInput) -> ListBucketsOutput;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
        list_objects(ListObjectsInput) -> ListObjectsOutput;
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    }
    without_effect! {
        put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput;
        put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput;
        put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput;
        put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput;
        put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput;
        put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
        put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput;
        put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
        put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput;
    }
}
