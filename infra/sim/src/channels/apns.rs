//! Apple's push service, for one app:
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>. It speaks HTTP/2
//! alone. A device that begins with `00` is gone, with `11` is another app's.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Method, StatusCode, Version};
use serde_json::{Value, json};

use super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

const KEY: &str = include_str!("../../../../shared/signatures/fixtures/apns/throw_away_test_key.pem");
const PUBLIC: &str = include_str!("../../../../shared/signatures/fixtures/apns/throw_away_test_key.public");
const KEY_ID: &str = "SIMULATED1";
const TEAM_ID: &str = "GENMUXTEAM";
const TOPIC: &str = "example.genmux.app";
const PAYLOAD_MAX: usize = 4_096;
const TOKEN_MAX_S: i64 = 3_600;
/// A new token comes at least this much later than the last one, in seconds.
const RENEWED_MIN_S: i64 = 1_200;

#[derive(Debug)]
pub(super) struct Apns;

impl Channel for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with("/3/device/")
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        if call.parts.version != Version::HTTP_2 {
            return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response().into());
        }
        if !call.is(&Method::POST) {
            return Err(failed(405, "MethodNotAllowed").into());
        }
        is_token(channels, call)?;
        match call.header("apns-topic") {
            Some(TOPIC) => {}
            Some(_) => return Err(failed(400, "TopicDisallowed").into()),
            None => return Err(failed(400, "MissingTopic").into()),
        }
        if call.header("apns-push-type").is_none_or(|kind| !["alert", "background"].contains(&kind)) {
            return Err(failed(400, "InvalidPushType").into());
        }
        if call.header("apns-collapse-id").is_some_and(|id| id.len() > 64) {
            return Err(failed(400, "BadCollapseId").into());
        }
        let is_number = |text: &str| text.parse::<i64>().is_ok();
        if !call.header("apns-expiration").is_none_or(is_number) {
            return Err(failed(400, "BadExpirationDate").into());
        }
        if call.body.len() > PAYLOAD_MAX {
            return Err(failed(413, "PayloadTooLarge").into());
        }
        let device = &call.path()["/3/device/".len()..];
        let is_device = device.len() == 64 && device.bytes().all(|b| b.is_ascii_hexdigit());
        match device.get(..2) {
            _ if !is_device => return Err(failed(400, "BadDeviceToken").into()),
            Some("00") => return Err(self.refusal(Refusal::Gone).into()),
            Some("11") => return Err(failed(400, "DeviceTokenNotForTopic").into()),
            _ => {}
        }
        let body: Value = call.object().map_err(|_none| failed(400, "PayloadEmpty"))?.into();
        let text = body["aps"]["alert"]["body"].as_str().or_else(|| body["aps"]["alert"].as_str());
        let text = text.unwrap_or_default().to_owned();
        let id = format!("00000000-0000-4000-8000-{:012x}", channels.next_number());
        let taken = Taken { channel: self.name(), to: device.to_owned(), text, body };
        Ok((Some(taken), (StatusCode::OK, [("apns-id", id)]).into_response()))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(_) => failed(429, "TooManyRequests"),
            Refusal::Gone => {
                answer(410, &json!({"reason": "Unregistered", "timestamp": 1_454_948_015_990_i64}))
            }
            Refusal::Unauthorized => failed(403, "InvalidProviderToken"),
            Refusal::Down => failed(503, "ServiceUnavailable"),
        }
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        [
            ("APNS_KEY", KEY),
            ("APNS_KEY_ID", KEY_ID),
            ("APNS_TEAM_ID", TEAM_ID),
            ("APNS_TOPIC", TOPIC),
            ("APNS_SANDBOX", "true"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }
}

fn failed(status: u16, reason: &str) -> Response {
    answer(status, &json!({"reason": reason}))
}

/// Checks the provider's token, which is signed with ES256, and not renewed too often.
fn is_token(channels: &Channels, call: &Inbound) -> Result<(), Box<Response>> {
    let token = call.header("authorization").and_then(|text| text.split_once(' '));
    let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(failed(403, "MissingProviderToken").into());
    };
    let Some((header, claims)) = proved(token) else {
        return Err(failed(403, "InvalidProviderToken").into());
    };
    if header["alg"] != "ES256" || header["kid"] != KEY_ID || claims["iss"] != TEAM_ID {
        return Err(failed(403, "InvalidProviderToken").into());
    }
    let (now, issued) = (channels.0.clock.now().as_secs(), claims["iat"].as_i64().unwrap_or(0));
    if !(-60..=TOKEN_MAX_S).contains(&(now - issued)) {
        return Err(failed(403, "ExpiredProviderToken").into());
    }
    let mut known = lock(&channels.0.provider_token);
    if known.is_some_and(|known| known != issued && (issued - known).abs() < RENEWED_MIN_S) {
        return Err(failed(429, "TooManyProviderTokenUpdates").into());
    }
    *known = Some(issued);
    Ok(())
}

/// The header and the claims of a token that the app's key signed.
fn proved(token: &str) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let public = BASE64.decode(PUBLIC.trim().as_bytes()).ok()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(signed.as_bytes(), &signature).ok()?;
    let part = |text: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok();
    let (header, claims) = signed.split_once('.')?;
    Some((part(header)?, part(claims)?))
}
