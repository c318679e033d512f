//! Signed headers: sent once, not empty, and times close to now.

use http::header::GetAll;
use http::{HeaderMap, HeaderValue};

use super::{TOLERANCE_S, VerifyError};

/// The value of a header that is sent exactly once and not empty.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a [u8], VerifyError> {
    one(headers.get_all(name), name)
}

pub(crate) fn one<'a>(values: GetAll<'a, HeaderValue>, name: &'static str) -> Result<&'a [u8], VerifyError> {
    let mut values = values.iter();
    let value = values.next().ok_or(VerifyError::MissingHeader(name))?.as_bytes();
    if value.is_empty() || values.next().is_some() {
        return Err(VerifyError::Malformed(name));
    }
    Ok(value)
}

/// The text of a header that holds Unix seconds close enough to now.
pub(crate) fn fresh<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    now_s: i64,
) -> Result<&'a [u8], VerifyError> {
    fresh_text(only(headers, name)?, name, now_s).map(str::as_bytes)
}

pub(crate) fn fresh_text<'a>(text: &'a [u8], name: &'static str, now_s: i64) -> Result<&'a str, VerifyError> {
    let sent_s = digits(text).ok_or(VerifyError::Malformed(name))?;
    if now_s.abs_diff(sent_s) > TOLERANCE_S {
        return Err(VerifyError::Stale);
    }
    std::str::from_utf8(text).ok().ok_or(VerifyError::Malformed(name))
}

/// A number written in ASCII digits alone, so that its text has one reading.
pub(crate) fn digits(text: &[u8]) -> Option<i64> {
    let plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}
