//! Recorded deliveries of other platforms, with the keys that verify them.
//!
//! A line of a vector file is one delivery as JSON: key material, headers, body and clock, and in `gate`
//! what a verifier must say to it.

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use signatures::{
    AbacatePay, BadKey, Encoding, Hash, HmacHeader, HmacRules, Jwks, PayPal, Secret, SendGrid, Signing,
    StandardWebhooks, Stripe, Twilio,
};

/// One delivery.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub id: String,
    pub scheme: String,
    pub now_unix: i64,
    pub url: String,
    headers: Map<String, Value>,
    body_b64: String,
    pub reason: String,
    pub gate: String,
    pub tolerance_s: Option<i64>,
    config: Option<Config>,
    /// The key material, under a name that depends on the scheme.
    #[serde(flatten)]
    keys: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Config {
    signature_header: String,
    prefix: String,
    encoding: String,
    timestamp_header: Option<String>,
    signed_template: String,
    algorithm: String,
}

impl Case {
    fn key(&self, name: &str) -> &str {
        self.keys[name].as_str().expect("a vector")
    }

    fn secrets(&self, name: &str) -> [Secret; 1] {
        [Secret::new(self.key(name))]
    }

    /// The verifier.
    ///
    /// # Errors
    ///
    /// Its keys are not fit to be used.
    pub fn signing(&self) -> Result<Signing, BadKey> {
        Ok(match self.scheme.as_str() {
            "fal" => Signing::Fal(Jwks::parse(self.keys["jwks"].to_string().as_bytes()).ok_or(BadKey)?),
            "standard_webhooks" | "replicate" => {
                Signing::StandardWebhooks(StandardWebhooks::new(&self.secrets("secret"))?)
            }
            "svix" => Signing::StandardWebhooks(StandardWebhooks::svix(&self.secrets("secret"))?),
            "openai" => Signing::StandardWebhooks(StandardWebhooks::openai(&self.secrets("secret"))?),
            "standard_webhooks_ed25519" => {
                Signing::StandardWebhooks(StandardWebhooks::ed25519(&[self.key("public_key")])?)
            }
            "generic_hmac" => Signing::Hmac(HmacHeader::new(self.rules(), &self.secrets("secret"))?),
            "github" => Signing::Hmac(HmacHeader::github(&self.secrets("secret"))?),
            "shopify" => Signing::Hmac(HmacHeader::shopify(&self.secrets("secret"))?),
            "slack" => Signing::Hmac(HmacHeader::slack(&self.secrets("secret"))?),
            "stripe" => Signing::Stripe(Stripe::new(&self.secrets("secret"))?),
            "twilio" => Signing::Twilio(Twilio::new(&self.secrets("auth_token"))?),
            "twilio_shared_key" => Signing::Twilio(Twilio::shared_key(&self.secrets("shared_key_secret"))?),
            "sendgrid" => Signing::SendGrid(SendGrid::new(&[self.key("public_key")])?),
            "abacatepay" => Signing::AbacatePay(AbacatePay::new(
                &self.secrets("webhook_secret"),
                &self.secrets("hmac_key"),
            )?),
            "paypal" => Signing::PayPal(self.paypal()?),
            unknown => panic!("{}: nothing is known of the scheme {unknown}", self.id),
        })
    }

    /// What a fetch of each address would return is in the case.
    fn paypal(&self) -> Result<PayPal, BadKey> {
        let anchors = self.keys["trust_anchors_pem"].as_array().expect("a vector");
        let anchors: Vec<_> = anchors.iter().map(|pem| pem.as_str().expect("a vector")).collect();
        let mut paypal = PayPal::new(self.key("webhook_id"), &anchors)?;
        for (url, pem) in self.keys["cert_by_url"].as_object().expect("a vector") {
            paypal.add_certificates(url.parse().expect("a vector"), pem.as_str().expect("a vector"));
        }
        Ok(paypal)
    }

    fn rules(&self) -> HmacRules {
        let config = self.config.as_ref().expect("a vector");
        HmacRules {
            signature_headers: vec![config.signature_header.parse().expect("a vector")],
            prefix: config.prefix.clone(),
            encoding: match config.encoding.as_str() {
                "hex" => Encoding::Hex,
                "b64" | "base64" => Encoding::Base64,
                other => panic!("{}: encoding {other}", self.id),
            },
            hash: match config.algorithm.as_str() {
                "sha256" => Hash::Sha256,
                "sha512" => Hash::Sha512,
                other => panic!("{}: algorithm {other}", self.id),
            },
            timestamp_header: config.timestamp_header.as_ref().map(|name| name.parse().expect("a vector")),
            template: config.signed_template.clone(),
        }
    }

    /// The headers as they arrive; `None` if they cannot, and so are refused before us.
    pub fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let name: HeaderName = name.parse().ok()?;
            for value in values.as_array().unwrap_or(&vec![values.clone()]) {
                // HTTP parsers take the blanks around a value away.
                let value = value.as_str().expect("a vector").trim_matches([' ', '\t']);
                headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?);
            }
        }
        Some(headers)
    }

    pub fn body(&self) -> Bytes {
        Bytes::from(BASE64.decode(self.body_b64.as_bytes()).expect("a body in Base64"))
    }
}
