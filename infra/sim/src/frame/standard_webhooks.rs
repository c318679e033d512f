//! Signing as the Standard Webhooks specification has it: HMAC-SHA256 over id, time and body.

use std::fmt;

use data_encoding::BASE64;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The key that signs the webhooks of one simulator.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a provider's console shows it, for the receiver's configuration.
    pub fn expose(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.0))
    }

    /// The three headers of a delivery.
    pub fn headers(&self, id: &str, sent_at: Timestamp, body: &str) -> Vec<(&'static str, String)> {
        let timestamp = sent_at.as_secs().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification, and the one that Kling prints.
    #[test]
    fn the_published_vectors_are_reproduced() {
        let kling = r#"{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}"#;
        for (secret, id, at, body, signature) in [
            (
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=",
                "9876543210",
                1_781_080_794,
                kling,
                "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
            ),
        ] {
            let key = WebhookSecret::new(BASE64.decode(secret.as_bytes()).unwrap());
            assert_eq!(key.expose(), format!("whsec_{secret}"));
            let headers = key.headers(id, Timestamp::from_secs(at), body);
            assert_eq!(headers[2], ("webhook-signature", signature.to_owned()));
            assert_eq!((headers[0].1.as_str(), headers[1].1.clone()), (id, at.to_string()));
        }
    }
}
