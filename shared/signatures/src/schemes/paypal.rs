//! PayPal: RSA by a certificate that a public authority gave to PayPal.
//!
//! **Weaker than it looks.** Of the body, only a CRC-32 is signed: the holder of one delivery can
//! forge another body for it. Use a verified body only as a notification, and read amounts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use http::HeaderMap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use url::Url;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, aws_lc_rs as algorithms};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::headers::only;
use crate::{BadKey, TOLERANCE_S, VerifyError};

const URL: &str = "paypal-cert-url";
/// Certificates that are read of one file; the rest are ignored.
const CHAIN_MAX: usize = 8;

/// PayPal, by the id of one's own webhook and the certificates at hand.
#[derive(Debug, Clone)]
pub struct PayPal {
    webhook_id: String,
    anchors: Arc<[TrustAnchor<'static>]>,
    chains: BTreeMap<Url, Vec<CertificateDer<'static>>>,
}

impl PayPal {
    /// `authorities`: the certificates in PEM that a chain may end at.
    pub fn new(webhook_id: &str, authorities: &[&str]) -> Result<Self, BadKey> {
        Self::by_authorities(webhook_id, authorities.iter().flat_map(|pem| certificates(pem)))
    }

    /// The same with certificates that were read already.
    pub fn by_authorities(
        webhook_id: &str,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, BadKey> {
        let anchors: Arc<[_]> = authorities.into_iter().filter_map(|der| anchor(&der)).collect();
        if webhook_id.is_empty() || anchors.is_empty() {
            return Err(BadKey);
        }
        Ok(Self { webhook_id: webhook_id.to_owned(), anchors, chains: BTreeMap::new() })
    }

    /// Where the certificate of this delivery is to be fetched: by https, of PayPal alone.
    pub fn certificate_url(headers: &HeaderMap) -> Result<Url, VerifyError> {
        let text = std::str::from_utf8(only(headers, URL)?).ok();
        let url = text.and_then(|text| Url::parse(text).ok()).ok_or(VerifyError::Malformed(URL))?;
        let theirs = url.host_str().is_some_and(is_paypals)
            && url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if theirs { Ok(url) } else { Err(VerifyError::Malformed(URL)) }
    }

    /// Keeps what was fetched from there: certificates in PEM, that of the signer first. Whether
    /// they are any good is seen when a delivery is proved by them.
    pub fn add_certificates(&mut self, url: Url, pem: &str) {
        self.chains.insert(url, certificates(pem));
    }

    /// Fails with [`VerifyError::NoKeys`] while the certificate is not at hand.
    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        const ID: &str = "paypal-transmission-id";
        const TIME: &str = "paypal-transmission-time";
        const SIGNATURE: &str = "paypal-transmission-sig";
        const ALGORITHM: &str = "paypal-auth-algo";
        let (id, time) = (only(headers, ID)?, only(headers, TIME)?);
        let signature = BASE64.decode(only(headers, SIGNATURE)?).ok();
        let signature = signature.ok_or(VerifyError::Malformed(SIGNATURE))?;
        if only(headers, ALGORITHM)? != b"SHA256withRSA" {
            return Err(VerifyError::Malformed(ALGORITHM));
        }
        if id.contains(&b'|') {
            return Err(VerifyError::Malformed(ID));
        }
        let sent = std::str::from_utf8(time).ok().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let sent = sent.ok_or(VerifyError::Malformed(TIME))?;
        if now_s.abs_diff(sent.as_second()) > TOLERANCE_S {
            return Err(VerifyError::Stale);
        }
        let chain = self.chains.get(&Self::certificate_url(headers)?).ok_or(VerifyError::NoKeys)?;
        let crc = crc32fast::hash(body).to_string();
        let text = [id, time, self.webhook_id.as_bytes(), crc.as_bytes()].join(&b'|');
        self.is_signed(chain, &text, &signature, now_s).ok_or(VerifyError::BadSignature)
    }

    fn is_signed(
        &self,
        chain: &[CertificateDer<'_>],
        text: &[u8],
        signature: &[u8],
        now_s: i64,
    ) -> Option<()> {
        let (first, others) = chain.split_first()?;
        let signer = EndEntityCert::try_from(first).ok()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now_s.try_into().ok()?));
        let usage = KeyUsage::server_auth();
        signer.verify_for_usage(CHAIN, &self.anchors, others, time, usage, None, None).ok()?;
        let named = signer.valid_dns_names().any(is_paypals)
            || common_name(first).is_some_and(|name| is_paypals(&name));
        if !named {
            return None;
        }
        signer.verify_signature(algorithms::RSA_PKCS1_2048_8192_SHA256, text, signature).ok()
    }
}

/// What authorities sign certificates with.
const CHAIN: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm] = &[
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P384_SHA384,
];

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).take(CHAIN_MAX).map_while(Result::ok).collect()
}

fn anchor(der: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    anchor_from_trusted_cert(der).ok().map(|anchor| anchor.to_owned())
}

/// The older certificates have their name nowhere else.
fn common_name(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let name = certificate.tbs_certificate().subject().common_name().ok()??;
    Some(name.value().into_owned())
}

fn is_paypals(name: &str) -> bool {
    name.ends_with(".paypal.com")
}
