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

/// The first rule for a method and the origin of a request, and what it answers to that.
fn rule<'a>(
    rules: &'a [BucketCors],
    method: &str,
    headers: &HeaderMap,
) -> Option<(&'a BucketCors, HeaderValue)> {
    let mut of_method =
        rules.iter().filter(|rule| rule.allowed_methods.iter().any(|allowed| allowed == method));
    of_method.find_map(|rule| Some((rule, allowed(&rule.allowed_origins, headers)?)))
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
