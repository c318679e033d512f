//! An image that came with a request: kept in the bucket for a day, under a name made of its content.

use std::fmt;

use sha2::{Digest, Sha256};

use super::id::AccountId;
use super::public_url::PublicUrl;

/// The beginning of what stands for an uploaded image where a request has a URL.
const SCHEME: &str = "upload:";

/// An uploaded image. The same bytes of one account are one upload, so that a repeat of a request is the
/// same request.
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

    /// The upload that stands in the place of a URL. Callers cannot name one: theirs begin with `https`.
    pub fn named(url: &str) -> Option<Self> {
        let (account, sha256) = url.strip_prefix(SCHEME)?.split_once('/')?;
        Some(Self { account: account.parse().ok()?, sha256: sha256.to_owned() })
    }

    /// What stands for it in a request.
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
    use crate::public_url::Reach;

    fn upload() -> Upload {
        Upload::new(&"acct_anna".parse().unwrap(), b"boat")
    }

    #[test]
    fn an_upload_is_named_by_account_and_content() {
        let upload = upload();
        assert_eq!(Upload::named(upload.url().as_str()), Some(upload.clone()));
        assert_ne!(Upload::new(&"acct_bert".parse().unwrap(), b"boat").url(), upload.url());
        assert_ne!(Upload::new(&"acct_anna".parse().unwrap(), b"goat").url(), upload.url());
        for text in ["https://a.example/x", "upload:", "upload:acct_anna", "upload:anna/x"] {
            assert_eq!(Upload::named(text), None, "{text}");
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
}
