//! `Idempotency-Key`: a caller's name for a request that may be sent twice.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lambda_http::{Body, Response};

use super::http::Problem;

const CHARS_MAX: usize = 255;
pub(super) const SHAPE: &str = "one text of 1 to 255 visible ASCII characters, in quotes if it has a comma";

/// The key, quoted or bare: `"order-1"` and `order-1` are the same key.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    match checked(value.to_str().unwrap_or_default()) {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => {
            let detail = format!("`Idempotency-Key` is {SHAPE}, and is sent once.");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail))
        }
    }
}

/// A key as it came in a header or a body, without its quotes; `None` if it is none.
pub(super) fn checked(text: &str) -> Option<String> {
    let text = text.trim();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    // API Gateway joins repeated headers with a comma: a bare key with a comma may be two keys.
    let visible = key.chars().all(|c| match c {
        '"' | '\\' => false,
        ',' => quoted.is_some(),
        c => matches!(c, ' '..='~'),
    });
    let is_key = !key.is_empty() && key.len() <= CHARS_MAX && visible;
    is_key.then(|| key.to_owned())
}

/// Marks the answer to a request that was sent before.
pub fn replayed(mut response: Response<Body>) -> Response<Body> {
    let name = HeaderName::from_static("idempotent-replayed");
    response.headers_mut().insert(name, HeaderValue::from_static("true"));
    response
}

/// The answer to a key that named another request before.
pub fn key_reused() -> Problem {
    let detail = "This Idempotency-Key was used for another body. Nothing was changed.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", value.parse().unwrap());
        super::key(&headers)
    }

    #[test]
    fn a_quoted_key_and_a_bare_one_are_the_same() {
        assert_eq!(key("\"order-1\"").unwrap(), key("order-1").unwrap());
    }

    #[test]
    fn two_keys_are_refused_as_two_lines_and_as_the_one_that_api_gateway_makes_of_them() {
        let mut headers = HeaderMap::new();
        headers.append("idempotency-key", HeaderValue::from_static("order-1"));
        headers.append("idempotency-key", HeaderValue::from_static("order-1"));
        assert!(super::key(&headers).unwrap_err().detail.contains("`Idempotency-Key`"));
        for value in
            ["order-1,order-2", "order-1, order-1", "\"order-1\",\"order-2\"", "\"a\", b", "a, \"b\""]
        {
            assert_eq!(key(value).unwrap_err().code, "invalid_idempotency_key", "{value}");
        }
        assert_eq!(key("\"a, b\"").unwrap().as_deref(), Some("a, b"));
    }

    #[test]
    fn a_key_that_is_empty_too_long_or_broken_is_refused() {
        for value in ["", "\"\"", "a\"b", "a\\b", &"x".repeat(256)] {
            assert_eq!(key(value).unwrap_err().code, "invalid_idempotency_key", "{value}");
        }
    }
}
