//! Apple's devices, over HTTP/2. A repeat replaces the notification that is shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use signatures::Secret;
use signatures::jwt::EcSigner;

use super::client::{Answer, Channels, Envelope};
use super::senders::{NO_SENDER, SENDER_REFUSED, SenderRefused};
use super::text::{TITLE, line};

/// A token is for this long, in seconds. Apple refuses one that is older than an hour, and a connection with more
/// than one in 20 minutes: all instances begin theirs at the same times.
const TOKEN_S: i64 = 1_800;
/// A notification that was not shown after this long is dropped: it is late news by then.
const VALID: Duration = Duration::from_secs(4 * 3_600);

/// A key of Apple's for one app.
#[derive(Clone)]
pub struct Apns {
    signer: EcSigner,
    key_id: String,
    team_id: String,
    /// The app's bundle id.
    topic: String,
    host: &'static str,
    /// With the time that it was made for.
    token: Arc<Mutex<Option<(i64, Secret)>>>,
}

impl Apns {
    /// By the key file (`.p8`), which is `None` for other text. The sandbox serves apps under development.
    pub fn new(key: &str, key_id: String, team_id: String, topic: String, sandbox: bool) -> Option<Self> {
        let host = if sandbox { "api.sandbox.push.apple.com" } else { "api.push.apple.com" };
        Some(Self { signer: EcSigner::from_pem(key)?, key_id, team_id, topic, host, token: Arc::default() })
    }

    /// By <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>.
    fn token(&self, now: Timestamp) -> Option<Secret> {
        let issued = now.as_secs().div_euclid(TOKEN_S) * TOKEN_S;
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, token)) = token.as_ref()
            && *at == issued
        {
            return Some(token.clone());
        }
        let signed = self.signer.sign(&self.key_id, &json!({"iss": self.team_id, "iat": issued}))?;
        Some(token.insert((issued, Secret::new(signed))).1.clone())
    }
}

impl fmt::Debug for Apns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apns({})", self.topic)
    }
}

/// By <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.
pub(super) fn request(
    channels: &Channels,
    device: &str,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let apns = channels.senders().apns.as_ref().ok_or(NO_SENDER)?;
    let token = apns.token(now).ok_or(SENDER_REFUSED)?;
    let http2 = channels.http2().ok_or(NO_SENDER)?;
    let post = http2.post(channels.vendor(apns.host, &format!("/3/device/{device}")));
    Ok(post
        .bearer_auth(token.expose())
        .header("apns-topic", &apns.topic)
        .header("apns-push-type", "alert")
        .header("apns-priority", "10")
        .header("apns-expiration", (now + VALID).as_secs())
        .header("apns-collapse-id", envelope.id)
        .json(&payload(envelope)))
}

fn payload(envelope: Envelope<'_>) -> Value {
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    let alert = json!({"title": TITLE, "body": line(envelope.body)});
    json!({"aps": {"alert": alert}, "id": envelope.id, "type": body["type"]})
}

/// By <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>: 403
/// and a bad topic are of the owner's key and app.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let body = answer.json();
    let reason = body["reason"].as_str().unwrap_or_default();
    Ok(match (answer.status.as_u16(), reason) {
        (200, _) => Outcome::Delivered,
        (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Outcome::Gone,
        (403, _) | (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => return Err(SenderRefused),
        (429, _) => Outcome::Later { wait: answer.retry_after(now) },
        (400..=499, _) => Outcome::Never,
        _ => Outcome::Later { wait: answer.retry_after(now) },
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, answer};
    use super::*;

    const KEY: &str = include_str!("../../signatures/fixtures/apns/throw_away_test_key.pem");

    #[test]
    fn a_token_is_the_same_for_half_an_hour_and_on_every_instance_of_one_time() {
        let apns = || Apns::new(KEY, "KEY".to_owned(), "TEAM".to_owned(), "a.b".to_owned(), false).unwrap();
        let one = apns();
        let at = |seconds: u64| one.token(NOW + Duration::from_secs(seconds)).unwrap().expose().to_owned();
        assert_eq!(NOW.as_secs() % TOKEN_S, 0);
        assert_eq!(at(0), at(1_799));
        assert_ne!(at(1_799), at(1_800));
        // All but the signature, which is another each time.
        let signed = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(
            signed(&at(1_800)),
            signed(apns().token(NOW + Duration::from_secs(3_599)).unwrap().expose())
        );
        assert!(Apns::new("a key", String::new(), String::new(), String::new(), false).is_none());
    }

    #[test]
    fn a_notification_is_a_line() {
        let body = r#"{"type": "job.failed", "data": {"id": "job_a", "model": "m", "request": {"prompt": "secret"}}}"#;
        let alert = json!({"title": "Genmux", "body": "Job job_a (m) has failed."});
        let expected = json!({"aps": {"alert": alert}, "id": "evt_a", "type": "job.failed"});
        assert_eq!(payload(Envelope { id: "evt_a", body }), expected);
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let later = Ok(Outcome::Later { wait: None });
        for (status, reason, outcome) in [
            (200, "", Ok(Outcome::Delivered)),
            (410, "Unregistered", Ok(Outcome::Gone)),
            (410, "ExpiredToken", Ok(Outcome::Gone)),
            (400, "BadDeviceToken", Ok(Outcome::Gone)),
            (400, "DeviceTokenNotForTopic", Ok(Outcome::Gone)),
            (400, "TopicDisallowed", Err(SenderRefused)),
            (400, "BadCollapseId", Ok(Outcome::Never)),
            (403, "ExpiredProviderToken", Err(SenderRefused)),
            (403, "InvalidProviderToken", Err(SenderRefused)),
            (413, "PayloadTooLarge", Ok(Outcome::Never)),
            (429, "TooManyRequests", later),
            (429, "TooManyProviderTokenUpdates", later),
            (500, "InternalServerError", later),
            (503, "Shutdown", later),
        ] {
            let body = format!(r#"{{"reason": "{reason}"}}"#);
            assert_eq!(super::outcome(&answer(status, &[], &body), NOW), outcome, "{status} {reason}");
        }
    }
}
