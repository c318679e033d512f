//! JSON requests and responses, and the problem that every error is.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::edge::dialect::Dialect;
use crate::edge::{TRACEPARENT, invocation};
use crate::store;
use crate::trace::{self, Kind};
use domain::budget::Standing;
use domain::id::base32;
use domain::job::Job;
use domain::request::FieldError;

/// The supported API versions, newest last. `Genmux-Version` pins one.
pub const VERSIONS: [&str; 1] = ["2026-11-22"];
/// The maximum size of a request body, in bytes.
pub const BODY_BYTES_MAX: usize = 256_000;

/// Keeps clients of several vendors from a retry that their rules would make.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error as the API client sees it. Internal causes are logged and never part of it.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable: clients branch on it.
    pub code: &'static str,
    pub detail: Box<str>,
    pub errors: Vec<FieldError>,
    pub retry_after: Option<Duration>,
    /// The limit that was reached.
    pub limit: Option<Box<Limit>>,
    /// The budget that does not cover the price.
    pub budget: Option<Box<Standing>>,
    /// The allowed methods, for the `Allow` header.
    pub allow: Option<Box<str>>,
}

/// A concurrency limit for the headers `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers-11).
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub name: &'static str,
    pub quota: u32,
    pub left: u32,
}

impl Limit {
    fn headers(self) -> [(&'static str, String); 2] {
        let Self { name, quota, left } = self;
        [
            ("ratelimit-policy", format!("\"{name}\";q={quota};qu=\"concurrent-requests\"")),
            ("ratelimit", format!("\"{name}\";r={left}")),
        ]
    }
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into().into_boxed_str();
        let (errors, retry_after) = (Vec::new(), None);
        Self { status, code, detail, errors, retry_after, limit: None, budget: None, allow: None }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found.")
    }

    /// An unknown path, with or without a key.
    pub fn no_route() -> Self {
        let detail = "There is no such path. `GET /openapi.json` lists all paths.";
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "The request has unsupported values; `errors` lists each.";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail) }
    }

    /// The key may not order this; `errors` lists each field.
    pub fn not_allowed(errors: Vec<FieldError>) -> Self {
        let detail = "This key may not order this; `errors` lists each field.";
        Self { errors, ..Self::new(StatusCode::FORBIDDEN, "not_allowed", detail) }
    }

    /// A budget does not cover the price. A retry is refused until it begins again.
    pub fn budget_exhausted(budget: Standing, detail: String) -> Self {
        let problem = Self::new(StatusCode::PAYMENT_REQUIRED, "budget_exhausted", detail);
        Self { budget: Some(Box::new(budget)), ..problem }
    }

    pub fn too_late_to_cancel(job: &Job) -> Self {
        let detail = format!("The job is {}: it can no longer be canceled.", job.state().name());
        Self::new(StatusCode::CONFLICT, "too_late_to_cancel", detail)
    }

    /// Corrupt stored data: a retry fails again. The cause is logged here and not returned.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "http.internal");
        let detail = "Stored data cannot be read. A retry fails until the operator has repaired it.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A dependency is unavailable. The cause is logged here and not returned.
    pub fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "http.unavailable");
        let detail = "A dependency is unavailable. It is safe to retry.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { retry_after: Some(Duration::from_secs(2)), ..problem }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            error if error.is_corrupt() => Self::internal(&error),
            error if error.is_missing() => Self::not_found(),
            error => Self::unavailable(&error),
        }
    }
}

/// An error with all its causes, for the log.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Runs a handler and returns its response, or its problem as a response, with the common headers.
pub async fn answer(
    request: &Request,
    handle: impl Future<Output = Result<Response<Body>, Problem>>,
) -> Response<Body> {
    let context = request.lambda_context_ref();
    let request_id = context.map_or("", |context| &context.request_id);
    let span = invocation(request_id, context.map_or("", |context| &context.env_config.function_name));
    // On the heap: a handler's future is large, and each layer around it would hold it as well.
    let handled = Box::pin(handle.instrument(span.clone()));
    let (found, traceparent) = trace::unit(route_key(request), Kind::Server, [request_id, ""], async {
        let found = handled.await;
        if found.as_ref().is_err_and(|problem| problem.status.is_server_error()) {
            trace::note_failure();
        }
        (found, trace::current())
    })
    .await;
    let mut response = found.unwrap_or_else(|problem| {
        span.in_scope(|| {
            tracing::info!(status = problem.status.as_u16(), problem = problem.code, "http.refused");
        });
        with_headers(Dialect::of(request).problem(&problem, request_id), &problem)
    });
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::Empty;
        response.headers_mut().remove(CONTENT_TYPE);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    if let Some(value) = traceparent.and_then(|it| HeaderValue::from_str(&it.to_string()).ok()) {
        headers.insert(TRACEPARENT, value);
    }
    headers.insert(
        HeaderName::from_static("genmux-version"),
        HeaderValue::from_static(VERSIONS[VERSIONS.len() - 1]),
    );
    response
}

/// With the headers that a problem has beside its body.
fn with_headers(mut response: Response<Body>, problem: &Problem) -> Response<Body> {
    let headers = response.headers_mut();
    if let Some(pause) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs()));
    }
    if let Some(allow) = problem.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
        headers.insert(ALLOW, allow);
    }
    for (name, value) in problem.limit.iter().flat_map(|limit| limit.headers()) {
        let value = HeaderValue::from_str(&value).expect("a name and numbers are visible ASCII");
        headers.insert(HeaderName::from_static(name), value);
    }
    if problem.budget.is_some() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let text = serde_json::to_string(value).expect("answers are maps with string keys");
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The route of a request, as the template names it. A custom domain may add a base path to the URL.
pub fn route_key(request: &Request) -> &str {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.as_deref().unwrap_or_default(),
        _ => "",
    }
}

/// The unchanged bytes of a body.
pub fn body_bytes(request: &Request) -> &[u8] {
    request.body().as_ref()
}

/// The bytes of a JSON body, without the byte order mark that some tools put before it.
fn json_bytes(request: &Request) -> &[u8] {
    let bytes = body_bytes(request);
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Refuses a body that is too large.
pub(crate) fn check_length(bytes: &[u8], bytes_max: usize) -> Result<(), Problem> {
    if bytes.len() <= bytes_max {
        return Ok(());
    }
    let detail = format!("The body must not exceed {bytes_max} bytes.");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
}

/// The body as a `T`, or a problem that names the field.
pub fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, Problem> {
    parse_within(request, BODY_BYTES_MAX)
}

/// As [`parse`], with another maximum size.
pub(crate) fn parse_within<T: DeserializeOwned>(request: &Request, bytes_max: usize) -> Result<T, Problem> {
    let bytes = json_bytes(request);
    check_length(bytes, bytes_max)?;
    // Syntax first: a truncated document is not a wrong field.
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
    // A list would be read as the fields in their order.
    let is_text = std::str::from_utf8(bytes).is_ok();
    if is_text && bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong_field("body".to_owned(), "invalid type, expected an object".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        if !error.inner().is_data() {
            // `IgnoredAny` does not validate strings: one may still be invalid Unicode.
            return match serde_json::from_slice::<serde_json::Value>(bytes) {
                Err(error) => malformed(&error),
                // A word was expected, and is `null`, a number or a list.
                Ok(_) => wrong_field(field, "invalid type, expected a text".to_owned()),
            };
        }
        wrong_field(field, reason(error.inner()))
    })
}

/// A JSON value as a `T`, or a problem that names the field.
pub(crate) fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        wrong_field(field, reason(error.inner()))
    })
}

/// Why a field is wrong, without its place in the text.
fn reason(error: &serde_json::Error) -> String {
    let reason = error.to_string();
    reason.split(" at line ").next().unwrap_or_default().chars().take(600).collect()
}

/// A field that is absent or has a value: `null` is neither, unless `T` takes it.
pub fn set<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn wrong_field(field: String, detail: String) -> Problem {
    let summary = format!("{field}: {detail}");
    let errors = vec![FieldError { field: field.into(), detail, allowed: Vec::new() }];
    Problem { errors, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", summary) }
}

/// A digest of the JSON body, independent of the order of its members: it identifies a repeat of a
/// request even if defaults or models have changed since. `None` if the body is not JSON.
pub fn body_digest(request: &Request) -> Option<String> {
    Some(digest(&serde_json::from_slice(json_bytes(request)).ok()?))
}

/// The same of JSON that stands for a body.
pub(super) fn digest(body: &serde_json::Value) -> String {
    base32(&Sha256::digest(body.to_string())[..16])
}

fn malformed(error: &serde_json::Error) -> Problem {
    let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
}

/// Rejects an unknown API version.
pub fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("genmux-version") {
        Some(version) if !VERSIONS.iter().any(|known| version == known) => {
            let detail = format!("`Genmux-Version` must be one of: {}.", VERSIONS.join(", "));
            Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_version", detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::request::Order;

    fn problem(body: &str) -> Problem {
        parse::<Order>(&Request::new(Body::from(body))).unwrap_err()
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_body() {
        let request = |body: &str| Request::new(Body::from(body));
        let (plain, marked) =
            (r#"{"model": "a", "prompt": "b"}"#, "\u{feff}{\"model\": \"a\", \"prompt\": \"b\"}");
        assert_eq!(parse::<Order>(&request(marked)).unwrap().model, "a");
        assert_eq!(body_digest(&request(marked)), body_digest(&request(plain)));
        assert!(body_digest(&request(plain)).is_some());
        assert_eq!(problem("{\"model\": \"\u{feff}\"").code, "malformed_json");
        assert_eq!(problem("\u{feff}\u{feff}{}").code, "malformed_json", "one mark, not several");
    }

    #[test]
    fn each_kind_of_bad_body_has_its_own_problem() {
        let cases = [
            ("", "malformed_json", "line 1"),
            (r#"{"model": "veo-3.1", "pro"#, "malformed_json", "line 1"),
            (r#"{"model": "a", "prompt": "b", "colour": 1}"#, "invalid_request", "unknown field `colour`"),
            (
                r#"{"model": "a", "prompt": "b", "duration_s": "8"}"#,
                "invalid_request",
                "duration_s: invalid type",
            ),
            (
                r#"{"model": "a", "prompt": "b", "duration_s": -8}"#,
                "invalid_request",
                "duration_s: invalid value",
            ),
            (r#"{"prompt": "b"}"#, "invalid_request", "missing field `model`"),
            (
                r#"{"model": "a", "prompt": "b", "provider": "sora"}"#,
                "invalid_request",
                "provider: unknown variant",
            ),
            ("[]", "invalid_request", "body: invalid type, expected an object"),
            (r#" ["veo-3.1", "a boat"]"#, "invalid_request", "body: invalid type, expected an object"),
            ("null", "invalid_request", "body: invalid type, expected an object"),
        ];
        for (body, code, detail) in cases {
            let problem = problem(body);
            assert_eq!(problem.code, code, "{body}");
            assert!(problem.detail.contains(detail), "{body}: {}", problem.detail);
        }
        assert_eq!(problem(&" ".repeat(BODY_BYTES_MAX + 1)).status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
