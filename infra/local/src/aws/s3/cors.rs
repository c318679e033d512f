//! The bucket's rules for pages of other origins.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::host::BucketCors;
use crate::host::cors::{allowed, list};

/// The first rule for a method and the origin of a request, and for the headers that it asks for; and what it
/// answers to that.
fn rule<'a>(
    rules: &'a [BucketCors],
    method: &str,
    headers: &HeaderMap,
) -> Option<(&'a BucketCors, HeaderValue)> {
    let names = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names: Vec<_> = names.map(|names| String::from_utf8_lossy(names.as_bytes())).collect();
    let allows = |rule: &&BucketCors| {
        let mut names =
            names.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty());
        rule.allowed_methods.iter().any(|allowed| allowed == method)
            && names.all(|name| rule.allowed_headers.iter().any(|allowed| matches(allowed, name)))
    };
    rules.iter().filter(allows).find_map(|rule| Some((rule, allowed(&rule.allowed_origins, headers)?)))
}

/// Whether a header has this name, in which one `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match pattern.split_once('*') {
        Some((start, end)) => name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None => name == pattern,
    }
}

/// Answers a browser that asks whether a page may make a call.
pub(super) fn preflight(rules: &[BucketCors], asked: &HeaderMap) -> Response {
    let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD).and_then(|method| method.to_str().ok());
    let Some((rule, origin)) = rule(rules, method.unwrap_or_default(), asked) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    list(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(rule.max_age));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.into_response()
}

/// Lets a page read the answer to its call, if a rule does.
pub(super) fn mark(rules: &[BucketCors], method: &str, asked: &HeaderMap, response: &mut Response<Body>) {
    let Some((rule, origin)) = rule(rules, method, asked) else { return };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed_headers);
}
