//! Uploads: forms by which callers store images, and what a request needs of those that it names.

use bytes::Bytes;
use domain::request::{FieldError, JobRequest};
use domain::upload::{BYTES_MAX, TYPES, Upload};
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::json;
use shared::edge::http::{Problem, check_version, json as answer, parse};
use shared::edge::idempotency;
use shared::provider::fetch::Image;
use shared::store::keystore::Scope;
use shared::store::uploads::Kept;

use super::App;

/// The body of `POST /v1/uploads`: what is going to be stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    content_type: String,
    bytes: u64,
    sha256: String,
}

/// `POST /v1/uploads`: a form for one image, of an account that has credits to use it. It writes nothing, and the
/// same image is the same upload: a repeat is a fresh form for it, with or without a key.
pub(crate) async fn form(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let account = app.callers.account(request.headers(), Scope::Write, now).await?;
    idempotency::key(request.headers())?;
    let Announced { content_type, bytes, sha256 } = parse(request)?;
    let upload = Upload::of_id(&account, &sha256);
    let is_type = TYPES.contains(&content_type.as_str());
    let is_size = (1..=BYTES_MAX).contains(&bytes);
    let Some(upload) = upload.clone().filter(|_| is_type && is_size) else {
        let types = TYPES.map(str::to_owned).to_vec();
        let wrong = [
            (!is_type).then(|| wrong("content_type", "is not a type of image that providers know", types)),
            (!is_size).then(|| wrong("bytes", &format!("must be 1 to {BYTES_MAX}"), Vec::new())),
            upload
                .is_none()
                .then(|| wrong("sha256", "must be 64 hex digits, the SHA-256 of the file", Vec::new())),
        ];
        return Err(Problem::invalid(wrong.into_iter().flatten().collect()));
    };
    let balance = app.ledger.balance(&account).await?;
    if balance.micros() <= 0 {
        let detail = format!("Only an account with credits may upload: the balance is {balance}.");
        return Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "insufficient_credits", detail));
    }
    let form = app.uploads.form(&app.signer, &upload, &content_type, bytes, now).await?;
    let body = json!({
        "id": upload.id(),
        "method": Method::POST.as_str(),
        "url": form.url,
        "fields": form.fields,
        "expires_at": form.expires_at.to_string(),
    });
    Ok(answer(StatusCode::OK, &body))
}

/// Stores the images that came with a request, and keeps those that it names for its job.
pub(crate) async fn keep(
    app: &App,
    order: &JobRequest,
    brought: &[(Upload, &'static str, Bytes)],
) -> Result<(), Problem> {
    let is_brought = |upload: &Upload| brought.iter().any(|(other, ..)| other == upload);
    let (fields, named): (Vec<_>, Vec<_>) = order.uploads().filter(|(_, upload)| !is_brought(upload)).unzip();
    if brought.is_empty() && named.is_empty() {
        return Ok(());
    }
    let kept = app.uploads.keep(brought, &named, |start| Image::of(start).map(|image| image.mime)).await?;
    let refused = fields.into_iter().zip(kept).filter_map(|(field, kept)| {
        let detail = match kept {
            Kept::Kept => return None,
            Kept::Missing => {
                "names no upload: post the file of its form first. An unused one is deleted after a day"
            }
            Kept::OfUnknownKind => "must be a PNG, JPEG or WebP image",
            Kept::OfOtherContent => "is not the announced file: upload it again",
        };
        Some(wrong(field, detail, Vec::new()))
    });
    let refused: Vec<_> = refused.collect();
    if refused.is_empty() { Ok(()) } else { Err(Problem::invalid(refused)) }
}

fn wrong(field: &'static str, detail: &str, allowed: Vec<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.to_owned(), allowed }
}
