//! Amazon SNS: RSA over parts of the message, by a certificate that SNS publishes.
//!
//! **Anyone** can have SNS sign a message of a topic of their own: only the listed topics are taken. The signed
//! time is not checked, because SNS sends for an hour what was not taken: callers must deduplicate.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::{BadKey, VerifyError};

/// Amazon SNS, by the ARNs of one's own topics and the certificates at hand.
#[derive(Debug, Clone)]
pub struct Sns {
    /// With the host that signs for each.
    topics: BTreeMap<String, String>,
    certificates: BTreeMap<Url, String>,
}

/// A message as it comes over HTTP.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    r#type: String,
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

impl Sns {
    /// By the ARNs of topics.
    pub fn new(topics: &[&str]) -> Result<Self, BadKey> {
        let with_host = |topic: &&str| Some(((*topic).to_owned(), host(topic)?));
        let topics: BTreeMap<_, _> = topics.iter().map(with_host).collect::<Option<_>>().ok_or(BadKey)?;
        if topics.is_empty() { Err(BadKey) } else { Ok(Self { topics, certificates: BTreeMap::new() }) }
    }

    /// Where the certificate of this message is to be fetched: by https, of SNS in the topic's own region.
    pub fn certificate_url(&self, body: &[u8]) -> Result<Url, VerifyError> {
        self.url_of(&parse(body)?)
    }

    /// Keeps what was fetched from there: a certificate in PEM.
    pub fn add_certificate(&mut self, url: Url, pem: &str) {
        self.certificates.insert(url, pem.to_owned());
    }

    /// Fails with [`VerifyError::NoKeys`] while the certificate is not at hand.
    pub(super) fn check(&self, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        let message = parse(body)?;
        let pem = self.certificates.get(&self.url_of(&message)?).ok_or(VerifyError::NoKeys)?;
        let algorithm = match message.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(VerifyError::BadBody),
        };
        let signature = BASE64.decode(message.signature.as_bytes()).ok();
        let signature = signature.ok_or(VerifyError::BadBody)?;
        let text = message.signed().ok_or(VerifyError::BadBody)?;
        is_signed(pem, algorithm, &text, &signature, now_s).ok_or(VerifyError::BadSignature)
    }

    fn url_of(&self, message: &Message) -> Result<Url, VerifyError> {
        let host = self.topics.get(&message.topic_arn).ok_or(VerifyError::BadSignature)?;
        let url = Url::parse(&message.signing_cert_url).ok();
        let is_theirs = |url: &Url| {
            let name = url.path().strip_prefix("/SimpleNotificationService-");
            let name = name.and_then(|name| name.strip_suffix(".pem")).unwrap_or_default();
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
            // Nothing but scheme, host and path.
            is_name && url.as_str() == format!("https://{host}{}", url.path())
        };
        url.filter(is_theirs).ok_or(VerifyError::BadBody)
    }
}

impl Message {
    /// By <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>: names and values,
    /// each on a line, in the order of the names.
    fn signed(&self) -> Option<String> {
        let more = match self.r#type.as_str() {
            "Notification" => {
                self.subject.as_deref().map(|subject| ("Subject", subject)).into_iter().collect()
            }
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
                vec![("SubscribeURL", self.subscribe_url.as_deref()?), ("Token", self.token.as_deref()?)]
            }
            _ => return None,
        };
        let mut fields = vec![
            ("Message", self.message.as_str()),
            ("MessageId", &self.message_id),
            ("Timestamp", &self.timestamp),
            ("TopicArn", &self.topic_arn),
            ("Type", &self.r#type),
        ];
        fields.extend(more);
        fields.sort_unstable();
        Some(fields.into_iter().map(|(name, value)| format!("{name}\n{value}\n")).collect())
    }
}

fn parse(body: &[u8]) -> Result<Message, VerifyError> {
    serde_json::from_slice(body).map_err(|_quotes| VerifyError::BadBody)
}

/// The host of a topic's region.
fn host(topic: &str) -> Option<String> {
    let ["arn", partition, "sns", region, account, name] = topic.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_number = account.bytes().all(|b| b.is_ascii_digit());
    let end = if partition == "aws-cn" { ".cn" } else { "" };
    (is_word(region) && is_number && !name.is_empty()).then(|| format!("sns.{region}.amazonaws.com{end}"))
}

/// The connection to its host, which was proved, is what vouches for a certificate.
fn is_signed(
    pem: &str,
    algorithm: &'static RsaParameters,
    text: &str,
    signature: &[u8],
    now_s: i64,
) -> Option<()> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = Certificate::from_der(&der).ok()?;
    let signed = certificate.tbs_certificate();
    let (from, until) = (signed.validity().not_before, signed.validity().not_after);
    let now_s = u64::try_from(now_s).ok()?;
    if now_s < from.to_unix_duration().as_secs() || now_s > until.to_unix_duration().as_secs() {
        return None;
    }
    let key = signed.subject_public_key_info().subject_public_key.raw_bytes();
    UnparsedPublicKey::new(algorithm, key).verify(text.as_bytes(), signature).ok()
}

#[cfg(test)]
mod tests;
