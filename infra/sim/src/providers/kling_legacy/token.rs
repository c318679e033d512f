//! The tokens that callers sign for themselves: JSON Web Tokens by HMAC-SHA256.

use data_encoding::BASE64URL_NOPAD;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use serde_json::Value;
use sha2::Sha256;

use crate::providers::kling::errors::{BAD_KEY, TOO_EARLY, TOO_LATE};

/// The secret half of every key of the simulated accounts.
const SECRET: &str = "simulated";

/// Whether a token is signed with the secret and good now.
pub(super) fn check(token: &str, now: Timestamp) -> Result<(), (StatusCode, u16, &'static str)> {
    let (signed, signature) = token.rsplit_once('.').ok_or(BAD_KEY)?;
    let (header, claims) = signed.split_once('.').ok_or(BAD_KEY)?;
    let (header, claims) = (read(header).ok_or(BAD_KEY)?, read(claims).ok_or(BAD_KEY)?);
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok().ok_or(BAD_KEY)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok().ok_or(BAD_KEY)?;
    mac.update(signed.as_bytes());
    let genuine = mac.verify_slice(&signature).is_ok();
    let named = claims["iss"].as_str().is_some_and(|key| !key.is_empty() && key != "invalid");
    if !genuine || !named || header["alg"] != "HS256" {
        return Err(BAD_KEY);
    }
    let time = |name: &str| claims[name].as_i64().ok_or(BAD_KEY);
    match now.as_secs() {
        now if now < time("nbf")? => Err(TOO_EARLY),
        now if now >= time("exp")? => Err(TOO_LATE),
        _ => Ok(()),
    }
}

fn read(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
}
