//! Other platforms as senders of webhooks: each signs as its documents say.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac::{self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64, HEXLOWER};
use domain::time::Timestamp;
use serde_json::{Value, json};
use signatures::AbacatePay;

/// The kinds of platforms.
pub const KINDS: [&str; 11] = [
    "stripe",
    "github",
    "shopify",
    "slack",
    "twilio",
    "sendgrid",
    "ses",
    "paypal",
    "abacatepay",
    "standard_webhooks",
    "hmac",
];
/// The private keys of the certificates that the simulators show.
const KEY_OF_SNS: &str = include_str!("../../shared/signatures/fixtures/sns/throw_away_test_key.pem");
const KEY_OF_PAYPAL: &str = include_str!("../../shared/signatures/fixtures/paypal/throw_away_test_key.pem");
/// Whom PayPal's certificate is from.
const AUTHORITY: &str = include_str!("../../shared/signatures/fixtures/paypal/authority.pem");

/// A platform with a secret of its own.
#[derive(Debug)]
pub struct Platform {
    pub kind: &'static str,
    secret: String,
    /// Of a platform that signs by ECDSA.
    pair: EcdsaKeyPair,
}

/// Headers of a request, by name.
pub type Headers = Vec<(&'static str, String)>;

impl Platform {
    /// A platform of this kind; another `number` has another secret.
    pub fn new(kind: &'static str, number: u8) -> Self {
        let secret = match kind {
            "standard_webhooks" => format!("whsec_{}", BASE64.encode(&[number; 32])),
            "ses" => format!("arn:aws:sns:us-east-1:000000000000:reports-{number}"),
            _ => format!("a secret of {kind}, number {number}"),
        };
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key pair");
        Self { kind, secret, pair }
    }

    /// What its owner is shown, and configures.
    pub fn secret(&self) -> String {
        if self.kind != "sendgrid" {
            return self.secret.clone();
        }
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("a public key");
        BASE64.encode(public.as_ref())
    }

    /// What it appends to the URL that its owner gives it.
    pub fn query(&self) -> String {
        match self.kind {
            "abacatepay" => format!("?webhookSecret={}", self.secret.replace(' ', "%20")),
            _ => String::new(),
        }
    }

    /// The body of its event with this id and type, as far as they are in the body.
    pub fn body(&self, id: &str, theirs: &str) -> String {
        let value = match self.kind {
            "github" => json!({"action": theirs, "number": 7}),
            "shopify" => json!({"id": 820_982_911_946_154_508_u64, "total": "10.00"}),
            "slack" => json!({"type": "event_callback", "event_id": id, "event": {"type": theirs}}),
            "twilio" => return format!("MessageSid={id}&MessageStatus={theirs}&To=%2B15550100"),
            "sendgrid" => {
                json!([{"sg_message_id": id, "event": theirs, "timestamp": 1, "email": "a@b.example"}])
            }
            "ses" => {
                let event = json!({"eventType": theirs, "mail": {"messageId": id}});
                return self.notification(&event);
            }
            "paypal" => json!({"id": id, "event_type": theirs, "resource": {"id": "obj_1"}}),
            "abacatepay" => json!({"id": id, "event": theirs, "devMode": false, "data": {}}),
            _ => json!({"id": id, "type": theirs, "data": {"object": {"id": "obj_1"}}}),
        };
        value.to_string()
    }

    /// What SNS sends for a message of the topic: its signature is in it.
    pub fn notification(&self, message: &Value) -> String {
        self.of_topic("Notification", &message.to_string())
    }

    /// What SNS sends to a new subscription.
    pub fn confirmation(&self) -> String {
        self.of_topic("SubscriptionConfirmation", "You have chosen to subscribe.")
    }

    fn of_topic(&self, kind: &str, message: &str) -> String {
        let host = "https://sns.us-east-1.amazonaws.com";
        let mut body = json!({"Message": message, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "Timestamp": "2026-11-29T10:00:00.000Z", "TopicArn": self.secret, "Type": kind});
        if kind == "SubscriptionConfirmation" {
            body["Token"] = "a-token".into();
            body["SubscribeURL"] = format!("{host}/?Action=ConfirmSubscription&Token=a-token").into();
        }
        // In the order of the names, as the object has them.
        let fields = body.as_object().into_iter().flatten();
        let text: String =
            fields.map(|(name, value)| format!("{name}\n{}\n", value.as_str().unwrap_or_default())).collect();
        body["SignatureVersion"] = "2".into();
        body["Signature"] = rsa(KEY_OF_SNS, &text).into();
        body["SigningCertURL"] = format!("{host}/SimpleNotificationService-simulated.pem").into();
        body.to_string()
    }

    /// The type of our event for a webhook of [`Platform::body`].
    pub fn event_type(&self, source: &str, theirs: &str) -> String {
        match self.kind {
            "github" => format!("inbound.{source}.issues.{theirs}"),
            "twilio" => format!("inbound.{source}.message.{theirs}"),
            _ => format!("inbound.{source}.{theirs}"),
        }
    }

    /// What it sends with this body to this URL at this time, in Unix seconds.
    pub fn headers(&self, url: &str, id: &str, theirs: &str, body: &str, at_s: i64) -> Headers {
        let mac = |text: String| self.mac(HMAC_SHA256, self.secret.as_bytes(), &text);
        let hex = |text: String| HEXLOWER.encode(&mac(text));
        let mut headers = match self.kind {
            "stripe" => {
                let v1 = hex(format!("{at_s}.{body}"));
                vec![("stripe-signature", format!("t={at_s},v1={v1},v0=00"))]
            }
            "github" => vec![
                ("x-hub-signature-256", format!("sha256={}", hex(body.to_owned()))),
                ("x-github-event", "issues".to_owned()),
                ("x-github-delivery", id.to_owned()),
            ],
            "shopify" => vec![
                ("x-shopify-hmac-sha256", BASE64.encode(&mac(body.to_owned()))),
                ("x-shopify-topic", theirs.to_owned()),
                ("x-shopify-webhook-id", id.to_owned()),
            ],
            "slack" => vec![
                ("x-slack-signature", format!("v0={}", hex(format!("v0:{at_s}:{body}")))),
                ("x-slack-request-timestamp", at_s.to_string()),
            ],
            "twilio" => vec![("x-twilio-signature", self.twilio(url, body))],
            "sendgrid" => vec![
                ("x-twilio-email-event-webhook-signature", self.sendgrid(body, at_s)),
                ("x-twilio-email-event-webhook-timestamp", at_s.to_string()),
            ],
            "abacatepay" => {
                let signature = self.mac(HMAC_SHA256, AbacatePay::PUBLISHED_KEY.as_bytes(), body);
                vec![("x-webhook-signature", BASE64.encode(&signature))]
            }
            "standard_webhooks" => {
                let key = self.secret.strip_prefix("whsec_").unwrap_or_default();
                let key = BASE64.decode(key.as_bytes()).expect("base64");
                let signature = self.mac(HMAC_SHA256, &key, &format!("{id}.{at_s}.{body}"));
                vec![
                    ("webhook-id", id.to_owned()),
                    ("webhook-timestamp", at_s.to_string()),
                    ("webhook-signature", format!("v1,{}", BASE64.encode(&signature))),
                ]
            }
            // Its signature is in the body.
            "ses" => vec![("x-amz-sns-message-type", "Notification".to_owned())],
            "paypal" => self.paypal(id, body, at_s),
            "hmac" => vec![
                ("x-genmux-signature", format!("sha256={}", hex(format!("{at_s}.{body}")))),
                ("x-genmux-timestamp", at_s.to_string()),
            ],
            other => panic!("there is no platform {other}"),
        };
        let content = match self.kind {
            "twilio" => "application/x-www-form-urlencoded",
            "ses" => "text/plain; charset=UTF-8",
            _ => "application/json",
        };
        headers.push(("content-type", content.to_owned()));
        headers
    }

    /// Whether it signs the time.
    pub fn signs_the_time(&self) -> bool {
        !["github", "shopify", "twilio", "ses", "abacatepay"].contains(&self.kind)
    }

    /// Whether it signs the bytes of the body, and not what they say.
    pub fn signs_the_bytes(&self) -> bool {
        self.kind != "ses"
    }

    #[expect(clippy::unused_self, reason = "it reads as what the platform does")]
    fn mac(&self, algorithm: Algorithm, key: &[u8], text: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes()).as_ref().to_vec()
    }

    /// The URL, and each field of the form, sorted by name.
    fn twilio(&self, url: &str, body: &str) -> String {
        let mut fields: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).collect();
        fields.sort();
        let text = fields.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
        BASE64.encode(&self.mac(HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.as_bytes(), &text))
    }

    fn paypal(&self, id: &str, body: &str, at_s: i64) -> Headers {
        let time = Timestamp::from_secs(at_s).to_string();
        let text = format!("{id}|{time}|{}|{}", self.secret, crc32fast::hash(body.as_bytes()));
        let certificate = "https://api.paypal.com/v1/notifications/certs/CERT-simulated";
        vec![
            ("paypal-transmission-id", id.to_owned()),
            ("paypal-transmission-time", time),
            ("paypal-transmission-sig", rsa(KEY_OF_PAYPAL, &text)),
            ("paypal-cert-url", certificate.to_owned()),
            ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ]
    }

    fn sendgrid(&self, body: &str, at_s: i64) -> String {
        let text = format!("{at_s}{body}");
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
        BASE64.encode(signature.as_ref())
    }
}

/// The configuration of a source of this name for each of these platforms' kinds.
pub fn source(account: &str, name: &str, platforms: &[&Platform]) -> Value {
    let secrets: Vec<_> = platforms.iter().map(|platform| platform.secret()).collect();
    let kind = platforms[0].kind;
    let mut source = json!({"source": name, "kind": kind, "account": account, "secrets": secrets});
    if kind == "paypal" {
        source["authorities"] = AUTHORITY.into();
    }
    source
}

/// A signature with SHA-256, in base64.
fn rsa(key: &str, text: &str) -> String {
    let lines: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64.decode(lines.as_bytes()).expect("a key in PEM");
    let pair = RsaKeyPair::from_pkcs8(&der).expect("a key in PKCS#8");
    let mut signature = vec![0; pair.public_modulus_len()];
    let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
    signed.expect("a signature");
    BASE64.encode(&signature)
}
