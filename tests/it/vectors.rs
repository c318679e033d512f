//! Every case of the vector files, against the verifiers.
//!
//! A file is lines of JSON: key material, headers, body and clock of one delivery, and in `gate`
//! what a verifier must say to it. Cases of the gate `info` are those on which senders' own
//! libraries differ; they are not judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use signatures::{
    AbacatePay, BadKey, Encoding, Hash, HmacHeader, HmacRules, Jwks, PayPal, Secret, SendGrid, Signing,
    StandardWebhooks, Stripe, Twilio, verify_signed,
};

#[derive(Deserialize)]
struct Case {
    id: String,
    scheme: String,
    now_unix: i64,
    url: String,
    headers: Map<String, Value>,
    body_b64: String,
    reason: String,
    gate: String,
    tolerance_s: Option<i64>,
    config: Option<Config>,
    /// The key material, under a name that depends on the scheme.
    #[serde(flatten)]
    keys: Map<String, Value>,
}

#[derive(Deserialize)]
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
        self.keys[name].as_str().unwrap()
    }

    fn secrets(&self, name: &str) -> [Secret; 1] {
        [Secret::new(self.key(name))]
    }

    /// The verifier, where its keys are fit to be used.
    fn signing(&self) -> Result<Signing, BadKey> {
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
        let anchors = self.keys["trust_anchors_pem"].as_array().unwrap();
        let anchors: Vec<_> = anchors.iter().map(|pem| pem.as_str().unwrap()).collect();
        let mut paypal = PayPal::new(self.key("webhook_id"), &anchors)?;
        for (url, pem) in self.keys["cert_by_url"].as_object().unwrap() {
            paypal.add_certificates(url.parse().unwrap(), pem.as_str().unwrap());
        }
        Ok(paypal)
    }

    fn rules(&self) -> HmacRules {
        let config = self.config.as_ref().unwrap();
        HmacRules {
            signature_headers: vec![config.signature_header.parse().unwrap()],
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
            timestamp_header: config.timestamp_header.as_ref().map(|name| name.parse().unwrap()),
            template: config.signed_template.clone(),
        }
    }

    /// The headers as they arrive; `None` if they cannot, and so are refused before us.
    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let name: HeaderName = name.parse().ok()?;
            for value in values.as_array().unwrap_or(&vec![values.clone()]) {
                // HTTP parsers take the blanks around a value away.
                let value = value.as_str().unwrap().trim_matches([' ', '\t']);
                headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?);
            }
        }
        Some(headers)
    }

    fn is_accepted(&self) -> bool {
        assert!(matches!(self.tolerance_s, None | Some(300)), "{}: our window is 300 seconds", self.id);
        let body = Bytes::from(BASE64.decode(self.body_b64.as_bytes()).unwrap());
        let (Ok(signing), Some(headers)) = (self.signing(), self.headers()) else { return false };
        let verified = verify_signed(&signing, &self.url, &headers, body.clone(), self.now_unix);
        verified.is_ok_and(|verified| *verified.get() == body)
    }
}

/// The folder that is named by `WEBHOOK_VECTORS`, or the one beside the repository, or the few
/// cases that come with it.
#[expect(clippy::disallowed_methods, reason = "the one variable of this test, not of the program")]
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Ok(named) = std::env::var("WEBHOOK_VECTORS") {
        return here.join("..").join(named);
    }
    let beside = here.join("../../shared/vectors");
    if beside.is_dir() { beside } else { here.join("fixtures") }
}

fn cases(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let read = |text: String| {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Case>>()
    };
    texts.flat_map(read).collect()
}

/// Right and all, of what must be accepted and of what must be refused.
#[derive(Default)]
struct Score {
    accept: [usize; 2],
    reject: [usize; 2],
}

#[test]
fn every_gated_vector_is_judged_right() {
    let folder = folder();
    let mut scores = BTreeMap::<String, Score>::new();
    let mut wrong = Vec::new();
    for case in cases(&folder) {
        let score = scores.entry(case.scheme.clone()).or_default();
        let must_accept = match case.gate.as_str() {
            "must_accept" => true,
            "must_reject" => false,
            "info" => continue,
            other => panic!("{}: gate {other}", case.id),
        };
        let right = case.is_accepted() == must_accept;
        let [right_ones, all] = if must_accept { &mut score.accept } else { &mut score.reject };
        *right_ones += usize::from(right);
        *all += 1;
        if !right {
            wrong.push(format!("{} {}: {}", case.id, case.gate, case.reason));
        }
    }
    println!("{}\n{:<28}{:>12}{:>12}", folder.display(), "scheme", "must_accept", "must_reject");
    for (scheme, Score { accept, reject }) in &scores {
        let [accept, reject] = [accept, reject].map(|[right, all]| format!("{right}/{all}"));
        println!("{scheme:<28}{accept:>12}{reject:>12}");
    }
    let judged: usize = scores.values().map(|score| score.accept[1] + score.reject[1]).sum();
    println!("{judged} judged, {} wrong", wrong.len());
    assert!(judged > 0, "no cases in {}", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
