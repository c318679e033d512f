//! Identifiers: one type each, with a prefix.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An invalid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    kind: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rest = text.strip_prefix($prefix).ok_or(InvalidId { kind: stringify!($name) })?;
                let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                if rest.is_empty() || rest.len() > $max || !rest.chars().all(is_allowed) {
                    return Err(InvalidId { kind: stringify!($name) });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An account: `acct_` and up to 40 lower-case letters and digits.
    AccountId, "acct_", 40
}

id! {
    /// A job: `job_` and 26 base-32 characters (128 bits). Two more are accepted, for an id of another deployment.
    JobId, "job_", 28
}

id! {
    /// The public half of an API key: `key` letters and digits, as shown in lists.
    KeyId, "k", 24
}

id! {
    /// An event: `evt_` and 26 base-32 characters. It is the id of all tries to deliver it.
    EventId, "evt_", 26
}

id! {
    /// An endpoint: `ep_` and 26 base-32 characters, or [`EndpointId::callback`].
    EndpointId, "ep_", 26
}

id! {
    /// A purchase of credits: `top_` and 26 base-32 characters.
    TopupId, "top_", 26
}

impl AccountId {
    /// The operator's account: alerts are its events.
    pub fn operator() -> Self {
        Self(format!("{}operator", Self::PREFIX))
    }
}

/// What these texts name: the first bytes of a hash.
pub(crate) fn named<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.finalize()[..N]);
    bytes
}

impl EventId {
    /// The event of one version of a job: a job moves to each version once.
    pub fn of_job(job: &JobId, version: u64) -> Self {
        Self::of(&[job.as_str(), &version.to_string()])
    }

    /// The event that these texts name.
    pub fn of(texts: &[&str]) -> Self {
        Self::from_bytes(named(texts))
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(&bytes)))
    }
}

impl EndpointId {
    /// The endpoint that an account's request with this `Idempotency-Key` creates.
    pub fn of_key(account: &AccountId, key: &str) -> Self {
        Self::from_bytes(named(&["endpoint", account.as_str(), key]))
    }

    /// Stands for the callback URLs of an account's jobs.
    pub fn callback() -> Self {
        Self(format!("{}callback", Self::PREFIX))
    }

    pub fn is_callback(&self) -> bool {
        *self == Self::callback()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(&bytes)))
    }
}

impl TopupId {
    /// The purchase that an account's request with this `Idempotency-Key` makes.
    pub fn of_key(account: &AccountId, key: &str) -> Self {
        Self::from_bytes(named(&["topup", account.as_str(), key]))
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(&bytes)))
    }
}

impl JobId {
    /// The prefix of generated ids.
    pub const BYTES: usize = Self::PREFIX.len() + 26;

    /// The id of the job for an account's idempotency key. The same key gives the same id, so the
    /// job is its own idempotency record. Accounts never collide.
    pub fn for_key(account: &AccountId, idempotency_key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(account.as_str().as_bytes());
        hash.update([0]);
        hash.update(idempotency_key.as_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from_bytes(bytes)
    }

    /// The id from 16 random bytes, for a submit without an idempotency key.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(&bytes)))
    }
}

impl KeyId {
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(&bytes)))
    }
}

/// Lower-case base 32 without padding.
pub fn base32(bytes: &[u8]) -> String {
    const RFC_4648: Encoding = BASE32_NOPAD;
    RFC_4648.encode(bytes).to_ascii_lowercase()
}

/// A remote job: the provider's name for its work on one attempt.
///
/// `handle` is further data that the adapter needs (for fal, the path from the create answer).
/// Both are untrusted: bounded, and never used as a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteJob {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
}

impl RemoteJob {
    /// Maximum length of an id or handle, in bytes.
    pub const BYTES_MAX: usize = 200;

    /// `None` if either part is empty, too long, or has other than visible characters.
    pub fn new(id: &str, handle: Option<&str>) -> Option<Self> {
        let is_valid = |text: &str| {
            !text.is_empty()
                && text.len() <= Self::BYTES_MAX
                && !text.contains(|c: char| c.is_control() || c.is_whitespace())
        };
        (is_valid(id) && handle.is_none_or(is_valid))
            .then(|| Self { id: id.to_owned(), handle: handle.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_names_one_job_per_account() {
        let anna: AccountId = "acct_anna".parse().unwrap();
        let bert: AccountId = "acct_bert".parse().unwrap();
        assert_eq!(JobId::for_key(&anna, "order-1"), JobId::for_key(&anna, "order-1"));
        assert_ne!(JobId::for_key(&anna, "order-1"), JobId::for_key(&bert, "order-1"));
        assert_ne!(JobId::for_key(&anna, "order-1"), JobId::for_key(&anna, "order-2"));
    }

    #[test]
    fn a_generated_id_parses_and_other_text_does_not() {
        let id = JobId::from_bytes([7; 16]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for text in ["", "job_", "acct_1", "job_ABC", "job_a/b", "job_aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_remote_id_with_blanks_or_of_a_megabyte_is_not_kept() {
        assert!(RemoteJob::new("764cabcf-b745", None).is_some());
        for id in ["", "a b", "a\nb", &"x".repeat(1_000_000)] {
            assert!(RemoteJob::new(id, None).is_none());
        }
    }

    /// Otherwise a caller's repeat after a deployment would create another job.
    #[test]
    fn a_key_names_the_same_job_for_ever() {
        let anna: AccountId = "acct_anna".parse().unwrap();
        assert_eq!(JobId::for_key(&anna, "order-1").as_str(), "job_c6y4mwiwnfh2twpuc2iixr66qi");
    }

    #[test]
    fn accounts_and_keys_with_the_same_concatenation_name_two_jobs() {
        let (an, anna): (AccountId, AccountId) = ("acct_an".parse().unwrap(), "acct_anna".parse().unwrap());
        assert_ne!(JobId::for_key(&an, "na-1"), JobId::for_key(&anna, "-1"));
    }

    #[test]
    fn the_longest_ids_are_accepted_and_longer_ones_are_not() {
        let id = |chars| format!("job_{}", "a".repeat(chars)).parse::<JobId>();
        assert!(id(28).is_ok() && id(29).is_err());
        let remote = |bytes| RemoteJob::new("a", Some(&"x".repeat(bytes)));
        assert!(remote(200).is_some() && remote(201).is_none() && remote(0).is_none());
    }
}
