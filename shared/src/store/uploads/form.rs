//! Forms that store one upload: S3's POST policies
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>), which the SDK does not make.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use data_encoding::BASE64;
use domain::time::Timestamp;
use serde_json::json;

use super::{Error, system_time};

/// How long a form may be used. Another one costs a request and no call.
pub(super) const VALID_FOR: Duration = Duration::from_secs(15 * 60);

/// A form for one file: the bucket takes exactly the content that it was made for, of this size and type, and
/// stores it under one key. It is posted as `multipart/form-data`: the fields, and then the file as `file`.
#[derive(Debug, Clone)]
pub struct Form {
    pub url: String,
    pub fields: BTreeMap<&'static str, String>,
    pub expires_at: Timestamp,
}

/// Signs forms with our credentials; a form ends with them.
#[derive(Debug, Clone)]
pub struct Signer {
    credentials: Option<SharedCredentialsProvider>,
    region: String,
}

impl Signer {
    pub fn new(config: &SdkConfig) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { credentials: config.credentials_provider(), region }
    }

    /// A form with these fields, each of which must be sent as it is.
    pub(super) async fn sign<const N: usize>(
        &self,
        url: &str,
        bucket: &str,
        fields: [(&'static str, String); N],
        bytes: u64,
        now: Timestamp,
    ) -> Result<Form, Error> {
        let doing = "sign a form for an upload";
        let provider =
            self.credentials.as_ref().ok_or_else(|| Error::failed(doing, "there are no credentials"))?;
        let credentials =
            provider.provide_credentials().await.map_err(|source| Error::failed(doing, source))?;
        let mut fields = BTreeMap::from(fields);
        let expires_at = now + VALID_FOR;
        self.complete(&mut fields, bucket, bytes, &credentials, now, expires_at);
        Ok(Form { url: url.to_owned(), fields, expires_at })
    }

    /// Adds the fields of the signature.
    fn complete(
        &self,
        fields: &mut BTreeMap<&'static str, String>,
        bucket: &str,
        bytes: u64,
        credentials: &Credentials,
        now: Timestamp,
        expires_at: Timestamp,
    ) {
        let time = iso_8601_basic(now);
        let scope = format!("{}/{}/s3/aws4_request", &time[..8], self.region);
        fields.insert("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned());
        fields.insert("x-amz-credential", format!("{}/{scope}", credentials.access_key_id()));
        fields.insert("x-amz-date", time);
        fields.extend(credentials.session_token().map(|token| ("x-amz-security-token", token.to_owned())));
        let mut conditions = vec![json!({"bucket": bucket}), json!(["content-length-range", bytes, bytes])];
        conditions.extend(fields.iter().map(|(name, value)| json!({*name: value})));
        let policy = json!({"expiration": expires_at.to_string(), "conditions": conditions}).to_string();
        let policy = BASE64.encode(policy.as_bytes());
        let key = generate_signing_key(credentials.secret_access_key(), system_time(now), &self.region, "s3");
        fields.insert("x-amz-signature", calculate_signature(key, policy.as_bytes()));
        fields.insert("policy", policy);
    }
}

/// `20261130T080000Z`.
fn iso_8601_basic(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{}Z", seconds.replace(['-', ':'], ""))
}
