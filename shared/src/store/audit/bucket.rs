//! The bucket: its files, its open uploads, and how long it keeps files.

use std::collections::BTreeMap;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::super::Error;
use super::super::own_catalog::OwnCatalog;
use super::super::uploads::Uploads;
use super::{LedgerSnapshot, Source};
use domain::time::Timestamp;

/// Concurrent requests.
const AT_ONCE: usize = 16;

/// A file in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    pub bytes: u64,
    /// The SHA-256 in its metadata, if requested and present.
    pub sha256: Option<String>,
    /// The SHA-256 of its content, in a deep audit.
    pub content: Option<String>,
}

impl Source {
    /// The media files with this key prefix: all but the owner's own catalogue and uploads.
    pub(super) async fn objects(&self, prefix: &str) -> Result<BTreeMap<String, Object>, Error> {
        let mut objects = BTreeMap::new();
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|source| Error::sdk("list the bucket", source))?;
            for object in page.contents.unwrap_or_default() {
                let (key, bytes) = (object.key.unwrap_or_default(), object.size.unwrap_or(0));
                if [OwnCatalog::PREFIX, Uploads::PREFIX].iter().any(|folder| key.starts_with(folder)) {
                    continue;
                }
                let bytes = u64::try_from(bytes).unwrap_or(0);
                objects.insert(key, Object { bytes, ..Object::default() });
            }
        }
        Ok(objects)
    }

    /// Reads the metadata of the file of each job that has one.
    pub(super) async fn describe_files(&self, snapshot: &mut LedgerSnapshot) -> Result<(), Error> {
        let files = snapshot.rows().filter_map(|row| Some(row.job.media()?.key.clone()));
        let files: Vec<String> = files.filter(|key| snapshot.objects.contains_key(key)).collect();
        let files = files.into_iter().map(|key| async move { Ok((self.describe(&key).await?, key)) });
        let described: Vec<_> = stream::iter(files).buffer_unordered(AT_ONCE).try_collect().await?;
        for (object, key) in described {
            match object {
                Some(object) => snapshot.objects.insert(key, object),
                None => snapshot.objects.remove(&key),
            };
        }
        Ok(())
    }

    /// A file with its checksums; `None` if missing.
    pub(super) async fn describe(&self, key: &str) -> Result<Option<Object>, Error> {
        let doing = format!("look for {key}");
        let head = match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => head,
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::sdk(doing, error)),
        };
        Ok(Some(Object {
            bytes: head.content_length.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            sha256: head.metadata.and_then(|mut metadata| metadata.remove("sha256")),
            content: if self.deep { Some(self.hash(key).await?) } else { None },
        }))
    }

    async fn hash(&self, key: &str) -> Result<String, Error> {
        let doing = format!("read {key}");
        let got = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        let mut body = got.map_err(|source| Error::sdk(&doing, source))?.body;
        let mut hash = Sha256::new();
        while let Some(chunk) = body.next().await {
            hash.update(&chunk.map_err(|source| Error::failed(&doing, source))?);
        }
        Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }

    /// The key of every open upload, and the start of its oldest one.
    pub(super) async fn uploads(&self) -> Result<BTreeMap<String, Timestamp>, Error> {
        let mut uploads = BTreeMap::new();
        let (mut key, mut id) = (None, None);
        loop {
            let list = self.s3.list_multipart_uploads().bucket(&self.bucket);
            let list = list.set_key_marker(key).set_upload_id_marker(id);
            let page = list.send().await.map_err(|source| Error::sdk("list the open uploads", source))?;
            for upload in page.uploads.unwrap_or_default() {
                let begun = upload.initiated.and_then(|at| at.to_millis().ok()).unwrap_or(0);
                let begun = Timestamp::from_millis(begun);
                let oldest = uploads.entry(upload.key.unwrap_or_default()).or_insert(begun);
                *oldest = begun.min(*oldest);
            }
            if page.is_truncated != Some(true) {
                return Ok(uploads);
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    /// After how many days the bucket deletes files; `None` if it keeps them.
    pub async fn media_days(&self) -> Result<Option<u32>, Error> {
        let asked = self.s3.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await;
        match asked {
            Ok(found) => Ok(found.rules.unwrap_or_default().iter().filter_map(days).min()),
            Err(error) if has_no_rules(&error) => Ok(None),
            Err(error) => Err(Error::sdk("read how long the bucket keeps files", error)),
        }
    }
}

/// After how many days a rule deletes media files.
fn days(rule: &LifecycleRule) -> Option<u32> {
    #[expect(deprecated, reason = "S3 answers with either")]
    let folder = rule.filter.as_ref().and_then(|filter| filter.prefix()).or(rule.prefix.as_deref());
    if folder == Some(Uploads::PREFIX) {
        return None;
    }
    let days = rule.expiration.as_ref()?.days?;
    u32::try_from(days).ok().filter(|_| rule.status == ExpirationStatus::Enabled)
}

fn has_no_rules<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(error.code(), Some("NoSuchLifecycleConfiguration" | "NotImplemented"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleFilter};

    use super::*;

    #[test]
    fn only_a_rule_that_is_on_and_deletes_files_says_how_long_they_are_kept() {
        let rule = |status, days| {
            let rule = LifecycleRule::builder().status(status);
            let expiration = LifecycleExpiration::builder().set_days(days).build();
            super::days(&rule.expiration(expiration).build().unwrap())
        };
        assert_eq!(rule(ExpirationStatus::Enabled, Some(30)), Some(30));
        assert_eq!(rule(ExpirationStatus::Disabled, Some(1)), None);
        assert_eq!(rule(ExpirationStatus::Enabled, None), None);
        let uploads = LifecycleRule::builder().status(ExpirationStatus::Enabled);
        let uploads = uploads.filter(LifecycleRuleFilter::builder().prefix("uploads/").build());
        let uploads = uploads.expiration(LifecycleExpiration::builder().days(1).build()).build().unwrap();
        assert_eq!(super::days(&uploads), None, "an upload is no media");
    }
}
