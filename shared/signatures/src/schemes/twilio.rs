//! Twilio: an HMAC over the URL and the form, or over a URL that carries the body's digest.
//!
//! It has neither timestamp nor id: a delivery can be replayed, so callers must deduplicate by content.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, header};
use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::headers::only;
use crate::mac::{Hash, MacKeys};
use crate::{BadKey, Secret, VerifyError};

const SIGNATURE: &str = "x-twilio-signature";
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// Twilio, by the tokens of an account or by keys shared with it.
#[derive(Debug, Clone)]
pub struct Twilio {
    keys: MacKeys,
    hash: Hash,
}

impl Twilio {
    /// Signatures with SHA-1, by auth tokens.
    pub fn new(auth_tokens: &[Secret]) -> Result<Self, BadKey> {
        Ok(Self { keys: MacKeys::text(auth_tokens)?, hash: Hash::Sha1 })
    }

    /// Signatures with SHA-256, by shared keys. What the delivery names as its algorithm must
    /// be that, and chooses nothing.
    pub fn shared_key(secrets: &[Secret]) -> Result<Self, BadKey> {
        Ok(Self { keys: MacKeys::text(secrets)?, hash: Hash::Sha256 })
    }

    /// `url` is the address that the sender called, as it wrote it, query and all.
    pub(super) fn check(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), VerifyError> {
        let signature = only(headers, SIGNATURE)?;
        let signature = BASE64.decode(signature).ok().ok_or(VerifyError::Malformed(SIGNATURE))?;
        if self.hash == Hash::Sha256 {
            let settings = only(headers, SETTINGS)?;
            let named = |element: &[u8]| element == b"algorithm=HMAC_SHA256";
            if !settings.split(|byte| *byte == b',').any(named) {
                return Err(VerifyError::Malformed(SETTINGS));
            }
        }
        let form = if is_form(headers)? { form(body) } else { Vec::new() };
        if form.is_empty() {
            check_digest(url, body)?;
        }
        let signatures = [signature];
        let genuine =
            spellings(url).iter().any(|url| self.keys.made(self.hash, &[url.as_bytes(), &form], &signatures));
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }
}

fn is_form(headers: &HeaderMap) -> Result<bool, VerifyError> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(false);
    }
    let kind = only(headers, "content-type")?;
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    Ok(kind.trim_ascii().eq_ignore_ascii_case(FORM))
}

/// Keys and values without anything between them: sorted by key, each value of a key once.
fn form(body: &[u8]) -> Vec<u8> {
    let decode = |text: &[u8]| {
        let spaced: Vec<_> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>()
    };
    let mut fields = BTreeMap::<_, BTreeSet<_>>::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut next = || decode(halves.next().unwrap_or_default());
        let (key, value) = (next(), next());
        fields.entry(key).or_default().insert(value);
    }
    let texts = fields.iter().flat_map(|(key, values)| values.iter().flat_map(move |value| [key, value]));
    texts.flatten().copied().collect()
}

/// A body that is no form is proved by its SHA-256 in the signed URL.
fn check_digest(url: &str, body: &[u8]) -> Result<(), VerifyError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut digests = query.split('&').filter_map(|pair| pair.strip_prefix("bodySHA256="));
    match (digests.next(), digests.next()) {
        (None, _) if body.is_empty() => Ok(()),
        (Some(digest), None) => {
            let ours = HEXLOWER.encode(&Sha256::digest(body));
            let same = bool::from(ours.as_bytes().ct_eq(digest.as_bytes()));
            if same { Ok(()) } else { Err(VerifyError::BadSignature) }
        }
        _ => Err(VerifyError::BadUrl),
    }
}

/// The URL as it is, without its port, and with the port that its scheme implies: Twilio signs
/// any of them. A port that it did not call is never made up.
fn spellings(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return all };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let address_end = authority.rfind(']').unwrap_or(host_at);
    let start = format!("{scheme}://{authority}");
    match (authority[address_end..].find(':'), scheme) {
        (Some(colon), _) => all.push(format!("{scheme}://{}{path}", &authority[..address_end + colon])),
        (None, "https") => all.push(format!("{start}:443{path}")),
        (None, "http") => all.push(format!("{start}:80{path}")),
        (None, _) => {}
    }
    all
}
