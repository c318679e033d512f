//! An AWS-compatible S3, embedded.

mod cors;
mod forms;
mod objects;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method, StatusCode};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use sim::guard;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::host::BucketCors;
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
/// - A form that is posted stores exactly what its signed policy allows, and is refused in S3's own words.
/// - Pages of other origins may do what [`S3::set_cors`] allows; a presigned URL or a signed form is
///   needed for that. All else that a page asks for is refused.
///
/// A key cannot be another key's folder (`a` and `a/b`), and there are no
/// versions, no events and no expiry.
#[derive(Debug)]
pub struct S3 {
    folder: PathBuf,
    address: SocketAddr,
    cors: Arc<OnceLock<Vec<BucketCors>>>,
}

/// What the server answers with.
#[derive(Clone)]
struct Served {
    service: S3Service,
    cors: Arc<OnceLock<Vec<BucketCors>>>,
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
        let cors = Arc::default();
        let served = Served { service: builder.build(), cors: Arc::clone(&cors) };
        let router = Router::new().fallback(answer).with_state(served);
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
        Ok(Self { folder: folder.to_owned(), address, cors })
    }

    /// Sets the rules for pages of other origins, once; until then there are none.
    pub fn set_cors(&self, rules: Vec<BucketCors>) {
        let _set_before = self.cors.set(rules);
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

async fn answer(State(Served { service, cors }): State<Served>, request: Request) -> Response {
    let rules = cors.get().map(Vec::as_slice).unwrap_or_default();
    let headers = request.headers();
    // A link is good at the name that it was signed for, which is checked with the signature; a form is signed, too.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_form = forms::is_one(request.method(), headers);
    let refused = match reads || is_form {
        true => guard::is_by_a_foreign_name(headers, None),
        false => guard::is_foreign(headers, None),
    };
    if refused {
        return guard::refused();
    }
    if request.method() == Method::OPTIONS {
        return cors::preflight(rules, request.headers());
    }
    let (method, asked) = (request.method().clone(), request.headers().clone());
    let mut response = match service.call(request.map(s3s::Body::http_body_unsync)).await {
        // The one error that has no document.
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => response.map(|_| Body::empty()),
        Ok(response) if is_form => forms::answer(response.map(Body::new)).await,
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the local S3 could not answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    cors::mark(rules, method.as_str(), &asked, &mut response);
    response
}
