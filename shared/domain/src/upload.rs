//! An image that a caller gave us: kept in the bucket under the name of its content.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::id::AccountId;
use super::public_url::PublicUrl;

/// The largest image, in bytes: what every provider takes that needs bytes.
pub const BYTES_MAX: u64 = 10 << 20;
/// The kinds of images that providers know, as media types.
pub const TYPES: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];
/// How long the bucket keeps an upload, at least. A job stores its uploads again, and so has this time for all
/// its attempts.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The beginning of what stands for an upload where a request has a URL.
const SCHEME: &str = "upload:";

/// An upload, named by account and content. The same bytes of one account are one upload, so that a repeat of
/// a request is the same request, and what was checked once cannot change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    account: AccountId,
    sha256: String,
}

impl Upload {
    pub fn new(account: &AccountId, bytes: &[u8]) -> Self {
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        Self { account: account.clone(), sha256 }
    }

    /// The upload of this id: the SHA-256 of its content in hex, in either case.
    pub fn of_id(account: &AccountId, id: &str) -> Option<Self> {
        let digest = data_encoding::HEXLOWER_PERMISSIVE.decode(id.as_bytes()).ok()?;
        let sha256 = (digest.len() == 32).then(|| data_encoding::HEXLOWER.encode(&digest))?;
        Some(Self { account: account.clone(), sha256 })
    }

    /// The upload that stands in the place of a URL. Callers cannot name one: theirs begin with `https`.
    pub fn named(url: &str) -> Option<Self> {
        let (account, sha256) = url.strip_prefix(SCHEME)?.split_once('/')?;
        Some(Self { account: account.parse().ok()?, sha256: sha256.to_owned() })
    }

    /// What callers name it by.
    pub fn id(&self) -> &str {
        &self.sha256
    }

    /// Its SHA-256 as S3 takes it.
    pub fn sha256_base64(&self) -> String {
        let digest = data_encoding::HEXLOWER.decode(self.sha256.as_bytes()).unwrap_or_default();
        data_encoding::BASE64.encode(&digest)
    }

    /// What stands for it in a stored request.
    pub fn url(&self) -> PublicUrl {
        PublicUrl::of_upload(self.to_string())
    }

    /// Its key in the bucket.
    pub fn key(&self) -> String {
        format!("uploads/{}/{}", self.account, self.sha256)
    }

    /// Whether a URL is a link to it, whoever signed the link and when.
    pub fn is_at(&self, url: &str) -> bool {
        url.split('?').next().unwrap_or_default().ends_with(&format!("/{}", self.key()))
    }
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.account, self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{ATTEMPTS_MAX, QUEUED_MAX, RUNNING_MAX, UNCLEAR_MAX};
    use crate::public_url::Reach;

    fn account() -> AccountId {
        "acct_anna".parse().unwrap()
    }

    fn upload() -> Upload {
        Upload::new(&account(), b"boat")
    }

    #[test]
    fn an_upload_is_named_by_account_and_content() {
        let upload = upload();
        assert_eq!(Upload::named(upload.url().as_str()), Some(upload.clone()));
        assert_ne!(Upload::new(&"acct_bert".parse().unwrap(), b"boat").url(), upload.url());
        assert_ne!(Upload::new(&account(), b"goat").url(), upload.url());
        for text in ["https://a.example/x", "upload:", "upload:acct_anna", "upload:anna/x"] {
            assert_eq!(Upload::named(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_64_hex_digits() {
        let upload = upload();
        assert_eq!(Upload::of_id(&account(), upload.id()), Some(upload.clone()));
        assert_eq!(Upload::of_id(&account(), &upload.id().to_uppercase()), Some(upload.clone()));
        let long = format!("{}00", upload.id());
        for id in
            ["", "..", "é", &upload.id()[2..], &long, &upload.id().replace('a', "g"), "../../etc/passwd"]
        {
            assert_eq!(Upload::of_id(&account(), id), None, "{id}");
        }
    }

    #[test]
    fn a_caller_cannot_name_an_upload() {
        assert!(PublicUrl::parse(upload().url().as_str(), Reach::Loopback).is_err());
    }

    #[test]
    fn a_link_is_known_by_its_path() {
        let upload = upload();
        assert!(upload.is_at(&format!("https://bucket.s3.example/{}?X-Amz-Signature=1", upload.key())));
        assert!(!upload.is_at(&format!("https://a.example/?{}", upload.key())));
        assert!(!upload.is_at("https://a.example/b.png"));
    }

    /// Another attempt is made only while nothing was billed: none waits for a cancel or a file before it.
    #[test]
    fn an_upload_is_kept_for_every_attempt_of_its_job() {
        let attempts = u32::try_from(ATTEMPTS_MAX).unwrap();
        assert!((QUEUED_MAX + UNCLEAR_MAX + RUNNING_MAX) * attempts < KEPT_FOR);
    }
}
