//! Our own dialect: jobs as JSON, errors as problem documents (RFC 9457).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;
use serde_json::Value;

use crate::edge::http::{Problem, json};
use crate::operate::read::Link;
use domain::attempt::Attempt;
use domain::catalog::{Catalog, Model};
use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::job::{Job, State, Stop};
use domain::progress::{expected_s, progress};
use domain::provider::Provider;
use domain::request::{FieldError, JobRequest};
use domain::time::Timestamp;
use domain::upload::Upload;
use domain::verdict::{ErrorClass, Fault};

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    /// Whether the same request may succeed later.
    retryable: bool,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Value>,
}

/// A problem document.
pub(crate) fn problem(problem: &Problem, request_id: &str) -> Response<Body> {
    let document = Document {
        r#type: format!("urn:genmux:problem:{}", problem.code),
        title: problem.status.canonical_reason().unwrap_or("Error"),
        status: problem.status.as_u16(),
        code: problem.code,
        detail: &problem.detail,
        retryable: problem.is_retryable(),
        request_id,
        errors: &problem.errors,
        budget: problem.budget.as_ref().map(|budget| budget.json()),
    };
    let mut response = json(problem.status, &document);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// `GET /v1/jobs/{id}`. Times are RFC 3339; money is in micro-credits.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    id: &'a JobId,
    account: &'a AccountId,
    status: &'static str,
    model: &'a str,
    price_micro_credits: u64,
    /// The same in credits, as a decimal text: `104`, `2.5`.
    price_credits: String,
    created_at: String,
    updated_at: String,
    cancel_requested: bool,
    /// In percent. This and the next are only in answers about a job, and the next only while its model is sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    /// How long the model usually takes, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_s: Option<u32>,
    /// The refund of a job that ended without a result; while a cancellation is pending, the refund
    /// unless the job succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_micro_credits: Option<u64>,
    attempts: Vec<AttemptView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    media: Vec<MediaView<'a>>,
    /// When the files of the job were deleted at its account's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView<'a>>,
    /// The request with every default filled in. Absent from lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestView<'a>>,
}

/// A request as its caller may send it again: an upload is named by its id.
#[derive(Debug, Serialize)]
pub struct RequestView<'a> {
    #[serde(flatten)]
    request: Cow<'a, JobRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<UploadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_frame: Option<UploadView>,
}

#[derive(Debug, Serialize)]
struct UploadView {
    upload: String,
}

impl<'a> RequestView<'a> {
    pub fn new(request: &'a JobRequest) -> Self {
        let upload = |url: Option<&str>| {
            Upload::named(url?).map(|upload| UploadView { upload: upload.id().to_owned() })
        };
        let image = upload(request.image_url.as_deref());
        let last_frame = upload(request.last_frame_url.as_deref());
        let mut request = Cow::Borrowed(request);
        if image.is_some() {
            request.to_mut().image_url = None;
        }
        if last_frame.is_some() {
            request.to_mut().last_frame_url = None;
        }
        Self { request, image, last_frame }
    }
}

#[derive(Debug, Serialize)]
struct AttemptView<'a> {
    number: u8,
    provider: Provider,
    route: &'a str,
    status: &'static str,
    /// Only present if true: the media is not real.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView<'a>>,
}

/// Why a job or an attempt failed.
#[derive(Debug, Serialize)]
pub struct ErrorView<'a> {
    pub code: &'static str,
    /// Human-readable: the provider's message or a default sentence.
    pub message: &'a str,
    /// The provider's own error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct MediaView<'a> {
    /// Presigned; valid until `url_expires_at`.
    url: String,
    url_expires_at: String,
    content_type: &'a str,
    bytes: u64,
    sha256: &'a str,
    /// This and the next three are absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
    /// URLs of other forms of it, if the operator has any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variants: BTreeMap<String, String>,
}

impl<'a> JobView<'a> {
    /// `link` is the link to the job's media, if it has any and the response includes it.
    pub fn new(job: &'a Job, request: Option<&'a JobRequest>, link: Option<Link>) -> Self {
        let cancel_requested = job.stop() == Some(Stop::Caller);
        let refund = job.refund_for_cancel().filter(|_| cancel_requested || job.state().is_terminal());
        let media = job.media().zip(link).map(|(media, link)| MediaView {
            url: link.url,
            url_expires_at: link.expires_at.to_string(),
            content_type: &media.content_type,
            bytes: media.bytes,
            sha256: &media.sha256,
            width: media.details.width,
            height: media.details.height,
            duration_s: media.details.duration_ms.map(thousandths),
            fps: media.details.frames_per_1000_s.map(|frames| thousandths(frames.into())),
            variants: link.variants,
        });
        Self {
            id: job.id(),
            account: job.account(),
            status: job.state().name(),
            model: job.model(),
            price_micro_credits: job.price().micros(),
            price_credits: job.price().to_string(),
            created_at: job.created_at().to_string(),
            updated_at: job.updated_at().to_string(),
            cancel_requested,
            progress: None,
            expected_s: None,
            refund_micro_credits: refund.map(Credits::micros),
            attempts: job.attempts().iter().map(AttemptView::new).collect(),
            media: media.into_iter().collect(),
            media_deleted_at: job.deleted_at().map(|at| at.to_string()),
            error: job.fault().map(ErrorView::new),
            request: request.map(RequestView::new),
        }
    }

    /// With how far the job is.
    #[must_use]
    pub fn at(self, now: Timestamp, job: &Job, catalog: &Catalog) -> Self {
        Self { progress: Some(progress(job, catalog, now)), expected_s: expected_s(job, catalog), ..self }
    }
}

impl<'a> AttemptView<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        Self {
            number: attempt.number,
            provider: attempt.provider,
            route: &attempt.route,
            status: attempt.phase.name(),
            simulated: attempt.simulated,
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.map(|at| at.to_string()),
            error: attempt.fault.as_ref().map(ErrorView::new),
        }
    }
}

impl<'a> ErrorView<'a> {
    pub fn new(fault: &'a Fault) -> Self {
        let (code, message) = reason(fault);
        Self { code, message, provider_code: fault.code.as_deref() }
    }
}

/// The code and the message of a fault.
pub(super) fn reason(fault: &Fault) -> (&'static str, &str) {
    let code = match fault.class {
        // Genmux's key at the provider, not the client's.
        ErrorClass::Auth => "provider_auth",
        class => class.name(),
    };
    (code, fault.words.as_deref().unwrap_or(sentence(fault.class)))
}

/// The default message of an error class, if the provider gives none.
const fn sentence(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::InvalidRequest => "The provider rejected this request.",
        ErrorClass::ContentPolicy => "The prompt, an image or the result was rejected for its content.",
        ErrorClass::Auth => "The provider rejected Genmux's own key.",
        ErrorClass::InsufficientFunds => "Genmux's own balance with the provider is used up.",
        ErrorClass::RateLimited => "The provider is at its rate or concurrency limit.",
        ErrorClass::ProviderUnavailable => "The provider is unavailable.",
        ErrorClass::Timeout => "The deadline passed.",
        ErrorClass::Expired => "The result could not be downloaded in time.",
        ErrorClass::Stopped => "The job was canceled.",
        ErrorClass::NoOutput => "The provider reported success but returned no file.",
        ErrorClass::RouteGone => "The provider no longer has this model.",
        ErrorClass::Unknown | ErrorClass::Other(_) => "It failed; the provider gave no reason.",
    }
}

#[expect(clippy::cast_precision_loss, reason = "no video lasts 285,000 years")]
fn thousandths(number: u64) -> f64 {
    number as f64 / 1_000.0
}

/// A job's entity tag: its version. Weak, because links differ between responses.
pub fn etag(job: &Job) -> String {
    format!("W/\"{}\"", job.version())
}

/// Whether `If-None-Match` matches this version of the job.
pub fn is_known(headers: &HeaderMap, job: &Job) -> bool {
    let tags = headers.get_all(http::header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tag = etag(job);
    // RFC 9110, 13.1.2: `*` matches any version; the comparison is weak.
    tags.flat_map(|tags| tags.split(',')).map(str::trim).any(|known| {
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag.trim_start_matches("W/")
    })
}

/// A job as a response: with its `ETag` and, while it is live, `Retry-After`. For request and link see
/// [`JobView::new`].
pub fn job_response(
    status: StatusCode,
    job: &Job,
    request: Option<&JobRequest>,
    link: Option<Link>,
    catalog: &Catalog,
    now: Timestamp,
) -> Response<Body> {
    let mut response = json(status, &JobView::new(job, request, link).at(now, job, catalog));
    tag(&mut response, job, catalog, now);
    response
}

/// A 304 response.
pub fn not_modified(job: &Job, catalog: &Catalog, now: Timestamp) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    tag(&mut response, job, catalog, now);
    response
}

pub(super) fn tag(response: &mut Response<Body>, job: &Job, catalog: &Catalog, now: Timestamp) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&etag(job)) {
        headers.insert(ETAG, tag);
    }
    if !job.state().is_terminal() {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s(job, catalog)));
    }
    warn_of_end(headers, catalog.model(job.model()), now);
}

/// `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) of a model that ends soon or has ended.
fn warn_of_end(headers: &mut HeaderMap, model: Option<&Model>, now: Timestamp) {
    let Some((warned, end)) = model.and_then(|model| model.retirement(now)) else { return };
    let sunset = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(end.as_secs()).unwrap_or(0));
    let values =
        [("deprecation", format!("@{}", warned.as_secs())), ("sunset", httpdate::fmt_http_date(sunset))];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// `Retry-After` of a live job, in seconds.
pub(super) fn retry_after_s(job: &Job, catalog: &Catalog) -> u32 {
    let expected_s = catalog.model(job.model()).map_or(30, |model| model.expected_s);
    match job.state() {
        State::Queued | State::Dispatching | State::Running => (expected_s / 12).clamp(2, 15),
        State::Settling | State::Succeeded | State::Failed | State::Canceled | State::Other(_) => 2,
    }
}
