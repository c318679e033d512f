//! Pages of lists: limits, cursors, parameters of the query.

use data_encoding::BASE64URL_NOPAD;
use domain::request::FieldError;
use domain::time::Timestamp;
use lambda_http::{Request, RequestExt};

use super::http::Problem;

const LIMIT_DEFAULT: i32 = 20;
const LIMIT_MAX: i32 = 100;
/// The end of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;

pub fn bad_parameter(field: &'static str, detail: &str, allowed: Vec<String>) -> Problem {
    Problem::invalid(vec![FieldError { field: field.into(), detail: detail.to_owned(), allowed }])
}

pub fn parameter(request: &Request, name: &str) -> Option<String> {
    request.query_string_parameters().first(name).map(str::to_owned)
}

/// `limit`: 1 to 100; 20 by default.
pub fn limit(request: &Request) -> Result<i32, Problem> {
    let Some(text) = parameter(request, "limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad_parameter("limit", "is a whole number from 1 to 100", vec![]))
}

/// A cursor marks the position in a list. It is opaque, and cannot reach another account.
pub fn encode(at: Timestamp, name: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{}.{name}", at.as_millis()).as_bytes())
}

/// Accepts only the output of [`encode`].
pub fn decode<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<(Timestamp, T)> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (at, name) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
    let millis: i64 = at.parse().ok().filter(|millis| (0..=LATEST_MS).contains(millis))?;
    let at = Timestamp::from_millis(millis);
    let parsed = parse(name)?;
    (encode(at, name) == text).then_some((at, parsed))
}

/// `cursor`: the position that an earlier page ended at.
pub fn cursor<T>(
    request: &Request,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<(Timestamp, T)>, Problem> {
    let Some(text) = parameter(request, "cursor") else { return Ok(None) };
    decode(&text, parse)
        .map(Some)
        .ok_or_else(|| bad_parameter("cursor", "is not one that a list gave out", vec![]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::JobId;

    #[test]
    fn only_cursors_of_a_list_are_accepted() {
        let id = JobId::from_bytes([7; 16]);
        let at = Timestamp::from_millis(1_800_000_000_123);
        let job = |text: &str| decode(text, |name| name.parse::<JobId>().ok());
        assert_eq!(job(&encode(at, id.as_str())), Some((at, id.clone())));
        let raw = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        for at in ["+1", "-1", "01", "", "x", "253402300800000", "9223372036854775808", " 1"] {
            assert_eq!(job(&raw(format!("{at}.{id}"))), None, "{at}");
        }
        for text in [
            raw("1".to_owned()),
            raw(format!("1.{id}xxx")),
            format!("{}=", encode(at, id.as_str())),
            "?".to_owned(),
        ] {
            assert_eq!(job(&text), None, "{text}");
        }
    }
}
