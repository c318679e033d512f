//! Pages of other origins, as API Gateway and S3 admit them by their CORS settings in the template.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

/// Of the API. None: pages of other origins read nothing, and a preflight request is one without a route.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ApiCors {
    pub allow_origins: Vec<String>,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age: u32,
}

/// One rule of the bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct BucketCors {
    pub allowed_origins: Vec<String>,
    pub allowed_methods: Vec<String>,
    pub allowed_headers: Vec<String>,
    #[serde(default)]
    pub exposed_headers: Vec<String>,
    pub max_age: u32,
}

/// What is answered to an origin: `*` if any is allowed, itself if it is, or nothing.
pub(crate) fn allowed(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// A list of a setting as a header.
pub(crate) fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::try_from(values.join(",")) {
        headers.insert(name, value);
    }
}

/// Answers preflight requests, whatever their path, and marks the other answers.
pub(super) async fn answer(State(cors): State<ApiCors>, request: Request, next: Next) -> Response {
    let origin = allowed(&cors.allow_origins, request.headers());
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let Some(origin) = origin else { return response };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
    if asks {
        list(headers, ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age));
    }
    response
}
