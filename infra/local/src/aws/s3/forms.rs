//! Forms that are posted to a bucket: `s3s` checks signature, policy and size, and this gives its refusals the
//! status and the code that S3 gives them.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};

/// More than any document of an error.
const DOCUMENT_BYTES_MAX: usize = 65_536;

/// Whether a request is a form.
pub(super) fn is_one(method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    method == Method::POST && kind.to_ascii_lowercase().starts_with("multipart/form-data")
}

/// The answer to a form. A form that breaks its policy, or is too old, has no access; only a policy that cannot be
/// read is malformed.
pub(super) async fn answer(response: Response) -> Response {
    if response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(document) = to_bytes(body, DOCUMENT_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&document);
    // Else the policy itself is malformed.
    let is_broken = ["Policy condition", "does not match"].iter().any(|part| text.contains(part));
    let code = match () {
        () if text.contains("<Code>RequestTimeTooSkewed</Code>") => "RequestTimeTooSkewed",
        () if is_broken && text.contains("<Code>InvalidPolicyDocument</Code>") => "InvalidPolicyDocument",
        () => return Response::from_parts(parts, Body::from(document)),
    };
    let text =
        text.replace(code, "AccessDenied").replace("<Message>", "<Message>Invalid according to Policy: ");
    parts.status = StatusCode::FORBIDDEN;
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}
