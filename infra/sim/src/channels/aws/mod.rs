//! Services of AWS that take events. Each call must be signed by Signature Version 4 with the key of the
//! local stack: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

mod ses;
mod targets;

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Channels, Refusal, json as answer};
use crate::frame::wire::Inbound;

pub(super) use ses::Ses;
pub(super) use targets::{Eventbridge, Lambda, Sns, Sqs};

/// The secret access key of the local stack.
const SECRET: &str = "local";
/// How far the time of a call may be off.
const SKEW_MAX_S: i64 = 300;
/// What is not escaped in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Checks the signature of a call to a service.
fn check(channels: &Channels, call: &Inbound, service: &str) -> Result<(), Box<Response>> {
    match is_signed(channels.0.clock.now(), call, service) {
        Some(true) => Ok(()),
        Some(false) => Err(failed(403, "SignatureDoesNotMatch").into()),
        None => Err(failed(403, "MissingAuthenticationTokenException").into()),
    }
}

/// `None` if there is no signature.
pub(super) fn is_signed(now: Timestamp, call: &Inbound, service: &str) -> Option<bool> {
    let fields = call.authorization("AWS4-HMAC-SHA256 ")?.split(',').map(str::trim);
    let fields: BTreeMap<&str, &str> = fields.filter_map(|field| field.split_once('=')).collect();
    let (scope, signed) = (fields.get("Credential")?.split_once('/')?.1, fields.get("SignedHeaders")?);
    let [day, region, of, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else { return None };
    let time = call.header("x-amz-date")?;
    let headers: Vec<_> =
        signed.split(';').map(|name| Some((name, call.header(name)?.trim()))).collect::<Option<_>>()?;
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = [
        call.parts.method.as_str(),
        // What is escaped already is escaped once more.
        &utf8_percent_encode(call.path(), PATH).to_string(),
        "",
        &lines,
        signed,
        &HEXLOWER.encode(&Sha256::digest(&call.body)),
    ];
    let text =
        ["AWS4-HMAC-SHA256", time, scope, &HEXLOWER.encode(&Sha256::digest(canonical.join("\n")))].join("\n");
    let start = format!("AWS4{SECRET}").into_bytes();
    let key = [day, region, of, "aws4_request"].iter().fold(start, |key, part| mac(&key, part));
    let is_recent = parse(time).is_some_and(|at| (now.as_secs() - at.as_secs()).abs() <= SKEW_MAX_S);
    let is_whole = of == service && time.starts_with(day) && signed.split(';').any(|name| name == "host");
    Some(is_whole && is_recent && HEXLOWER.encode(&mac(&key, &text)) == *fields.get("Signature")?)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `20261129T100000Z`.
fn parse(time: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| time.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, part(13..15)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// An error, in the header and in the body.
fn failed(status: u16, code: &str) -> Response {
    let body = answer(status, &json!({"__type": code, "message": "simulated"}));
    ([("x-amzn-errortype", code.to_owned())], body).into_response()
}

/// What all services but the oldest refuse alike.
fn refusal(refusal: Refusal, gone: &str) -> Response {
    match refusal {
        Refusal::Busy(_) => failed(429, "TooManyRequestsException"),
        Refusal::Gone => failed(404, gone),
        Refusal::Unauthorized => failed(403, "AccessDeniedException"),
        Refusal::Down => failed(500, "InternalFailure"),
    }
}
