//! One HMAC in one header: GitHub, Shopify, Slack, and configured senders.

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderName};

use crate::headers::{fresh_text, one};
use crate::mac::{Hash, MacKeys};
use crate::{BadKey, Secret, VerifyError};

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower case only.
    Hex,
    /// The standard alphabet, padded.
    Base64,
}

/// Where the signature is and what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacRules {
    /// The first of these that a delivery has is the one that counts.
    pub signature_headers: Vec<HeaderName>,
    /// The exact prefix of the signature; may be empty.
    pub prefix: String,
    pub encoding: Encoding,
    pub hash: Hash,
    /// Unix seconds; a delivery more than 300 of them from now is refused.
    pub timestamp_header: Option<HeaderName>,
    /// The signed text: `{body}` once, and `{timestamp}` where there is a header for it.
    pub template: String,
}

/// A sender that puts one HMAC over its deliveries into a header.
#[derive(Debug, Clone)]
pub struct HmacHeader {
    rules: HmacRules,
    before: String,
    after: String,
    keys: MacKeys,
}

impl HmacHeader {
    /// Refuses, besides bad secrets, rules whose template leaves out the body or the timestamp:
    /// what is not signed proves nothing.
    pub fn new(rules: HmacRules, secrets: &[Secret]) -> Result<Self, BadKey> {
        let (before, after) = rules.template.split_once("{body}").ok_or(BadKey)?;
        let timed = rules.template.contains("{timestamp}");
        if after.contains("{body}")
            || timed != rules.timestamp_header.is_some()
            || rules.signature_headers.is_empty()
        {
            return Err(BadKey);
        }
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { rules, before, after, keys: MacKeys::text(secrets)? })
    }

    /// `X-Hub-Signature-256`. The older header with SHA-1 is never looked at.
    pub fn github(secrets: &[Secret]) -> Result<Self, BadKey> {
        let rules = HmacRules { prefix: "sha256=".to_owned(), ..rules(&["x-hub-signature-256"]) };
        Self::new(rules, secrets)
    }

    /// `Shopify-Hmac-SHA256` of the newer deliveries, or else `X-Shopify-Hmac-SHA256`.
    pub fn shopify(secrets: &[Secret]) -> Result<Self, BadKey> {
        let rules = rules(&["shopify-hmac-sha256", "x-shopify-hmac-sha256"]);
        Self::new(HmacRules { encoding: Encoding::Base64, ..rules }, secrets)
    }

    /// `X-Slack-Signature`, version `v0`.
    pub fn slack(secrets: &[Secret]) -> Result<Self, BadKey> {
        let rules = HmacRules {
            prefix: "v0=".to_owned(),
            timestamp_header: Some(HeaderName::from_static("x-slack-request-timestamp")),
            template: "v0:{timestamp}:{body}".to_owned(),
            ..rules(&["x-slack-signature"])
        };
        Self::new(rules, secrets)
    }

    /// Senders that one writes oneself: `X-Genmux-Signature: sha256=<hex>` of `{timestamp}.{body}`, and
    /// `X-Genmux-Timestamp` in Unix seconds.
    pub fn own(secrets: &[Secret]) -> Result<Self, BadKey> {
        let rules = HmacRules {
            prefix: "sha256=".to_owned(),
            timestamp_header: Some(HeaderName::from_static("x-genmux-timestamp")),
            template: "{timestamp}.{body}".to_owned(),
            ..rules(&["x-genmux-signature"])
        };
        Self::new(rules, secrets)
    }

    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        const SIGNATURE: &str = "of the signature";
        const TIMESTAMP: &str = "of the timestamp";
        let names = &self.rules.signature_headers;
        let name = names.iter().find(|name| headers.contains_key(*name)).unwrap_or(&names[0]);
        let signature = one(headers.get_all(name), SIGNATURE)?;
        let timestamp = match &self.rules.timestamp_header {
            Some(name) => fresh_text(one(headers.get_all(name), TIMESTAMP)?, TIMESTAMP, now_s)?,
            None => "",
        };
        let encoding = match self.rules.encoding {
            Encoding::Hex => HEXLOWER,
            Encoding::Base64 => BASE64,
        };
        let encoded = signature.strip_prefix(self.rules.prefix.as_bytes());
        let signature = encoded.and_then(|text| encoding.decode(text).ok());
        let signature = signature.ok_or(VerifyError::Malformed(SIGNATURE))?;
        let [before, after] = [&self.before, &self.after].map(|text| text.replace("{timestamp}", timestamp));
        let parts = [before.as_bytes(), body, after.as_bytes()];
        let genuine = self.keys.made(self.rules.hash, &parts, &[signature]);
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }
}

/// HMAC-SHA256 of the body in hexadecimal, and no timestamp.
fn rules(headers: &[&'static str]) -> HmacRules {
    HmacRules {
        signature_headers: headers.iter().map(|name| HeaderName::from_static(name)).collect(),
        prefix: String::new(),
        encoding: Encoding::Hex,
        hash: Hash::Sha256,
        timestamp_header: None,
        template: "{body}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(sender: &HmacHeader, headers: &[(&'static str, &str)], body: &[u8], now_s: i64) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        sender.check(&headers.collect(), body, now_s).is_ok()
    }

    /// What GitHub publishes: docs.github.com, "Validating webhook deliveries".
    #[test]
    fn githubs_published_example_is_accepted() {
        let sender =
            HmacHeader::github(&[Secret::new("old"), Secret::new("It's a Secret to Everybody")]).unwrap();
        let digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = [("x-hub-signature-256", &*format!("sha256={digest}"))];
        assert!(checked(&sender, &headers, b"Hello, World!", 0));
        assert!(!checked(&sender, &headers, b"Hello, World?", 0));
    }

    #[test]
    fn a_sender_of_ones_own_signs_time_and_body() {
        let sender = HmacHeader::own(&[Secret::new("It's a Secret to Everybody")]).unwrap();
        // Made by Python's hmac.
        let signature = "sha256=1f42a3d85e8a057147190bf3edb933daa92e18ef53ebba5cbab704d577fcec87";
        let body = br#"{"id":"1","type":"paid"}"#;
        let headers = [("x-genmux-signature", signature), ("x-genmux-timestamp", "1795342600")];
        for (now_s, is_accepted) in
            [(1_795_342_600, true), (1_795_342_900, true), (1_795_342_901, false), (1_795_342_299, false)]
        {
            assert_eq!(checked(&sender, &headers, body, now_s), is_accepted, "{now_s}");
        }
        let other = [("x-genmux-signature", signature), ("x-genmux-timestamp", "1795342601")];
        assert!(!checked(&sender, &other, body, 1_795_342_600));
        assert!(!checked(&sender, &headers[..1], body, 1_795_342_600));
        assert!(!checked(&sender, &headers, br#"{"id":"2","type":"paid"}"#, 1_795_342_600));
    }
}
