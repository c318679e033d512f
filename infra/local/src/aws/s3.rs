//! An AWS-compatible S3, embedded.

mod objects;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use sim::guard;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use objects::Objects;

/// The access key id, and the secret too, that signatures are checked against.
pub const CREDENTIAL: &str = "local";

/// An S3 on a loopback port, with path-style addresses.
///
/// # Guarantees
///
/// - Every call and every presigned URL must be signed with [`CREDENTIAL`] and
///   must not be expired, by the wall clock; anything else is 403.
/// - Of any number of writers that create one key on `If-None-Match: *`,
///   exactly one wins, whether by a put or by completing an upload.
/// - An object appears whole or not at all, and survives this process.
/// - Pages of any origin may get and head, as the bucket in an account lets them; a presigned URL
///   is needed for that. All else that a page asks for is refused.
///
/// A key cannot be another key's folder (`a` and `a/b`), and there are no
/// versions, no events and no expiry.
#[derive(Debug)]
pub struct S3 {
    folder: PathBuf,
    address: SocketAddr,
}

impl S3 {
    /// Serves `folder`, created where absent, on `listener` until `shutdown`.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub async fn start(
        listener: TcpListener,
        folder: &Path,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        tokio::fs::create_dir_all(folder)
            .await
            .with_context(|| format!("no folder for objects: {}", folder.display()))?;
        let mut builder = S3ServiceBuilder::new(Objects::open(folder)?);
        builder.set_auth(SimpleAuth::from_single(CREDENTIAL, CREDENTIAL));
        let router = Router::new().fallback(answer).with_state(builder.build());
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            // A failure only costs some milliseconds per answer.
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "the local S3 stopped");
            }
        });
        Ok(Self { folder: folder.to_owned(), address })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates the bucket if it is absent.
    ///
    /// # Errors
    ///
    /// If S3 would not take the name, or the folder cannot be written.
    pub async fn ensure_bucket(&self, name: &str) -> anyhow::Result<()> {
        ensure!(s3s::path::check_bucket_name(name), "not a bucket's name: {name}");
        tokio::fs::create_dir_all(self.folder.join(name))
            .await
            .with_context(|| format!("bucket {name} could not be created"))
    }
}

async fn answer(State(service): State<S3Service>, request: Request) -> Response {
    let headers = request.headers();
    // A link is good at the name that it was signed for, which is checked with the signature.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let refused = match reads {
        true => guard::is_by_a_foreign_name(headers, None),
        false => guard::is_foreign(headers, None),
    };
    if refused {
        return guard::refused();
    }
    if request.method() == Method::OPTIONS {
        return preflight(request.headers());
    }
    let from_a_page = request.headers().contains_key(ORIGIN);
    let mut response = match service.call(request.map(s3s::Body::http_body_unsync)).await {
        // The one error that has no document.
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => response.map(|_| Body::empty()),
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the local S3 could not answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if from_a_page {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("ETag, Content-Length, Content-Range, Accept-Ranges, x-amz-request-id"),
        );
    }
    response
}

/// Answers a browser that asks whether a page may make a call.
fn preflight(asked: &HeaderMap) -> Response {
    let allowed = asked
        .get(ACCESS_CONTROL_REQUEST_METHOD)
        .is_some_and(|method| matches!(method.as_bytes(), b"GET" | b"HEAD"));
    if !allowed || !asked.contains_key(ORIGIN) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3000"));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.into_response()
}
