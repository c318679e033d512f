//! Calls of AWS: signed by Signature Version 4 and sent by the one client, since five calls are less than
//! five SDKs.

pub(super) mod push;
pub(super) mod ses;
pub(super) mod sockets;
pub(super) mod targets;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::{Client, RequestBuilder};

use super::client::{Answer, Channels};
use super::senders::{NO_SENDER, SenderRefused};

/// Our credentials at AWS, and the region that mails and texts are sent from.
#[derive(Debug, Clone)]
pub struct Aws {
    credentials: SharedCredentialsProvider,
    region: String,
}

impl Aws {
    /// `None` without credentials or region.
    pub fn new(config: &SdkConfig) -> Option<Self> {
        Some(Self { credentials: config.credentials_provider()?, region: config.region()?.to_string() })
    }
}

/// A call before it is signed.
struct Call<'a> {
    /// As it is signed: `sns`, `events`.
    service: &'a str,
    /// The first label of its host, which is not always the service.
    host: &'a str,
    /// `None`: our own.
    region: Option<&'a str>,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

async fn signed(channels: &Channels, call: Call<'_>, now: Timestamp) -> Result<RequestBuilder, &'static str> {
    let aws = channels.senders().aws.as_ref().ok_or(NO_SENDER)?;
    let region = call.region.unwrap_or(&aws.region);
    let url = channels.vendor(&format!("{}.{region}.amazonaws.com", call.host), &call.path);
    sign_call((channels.http(), aws), &url, call, now).await
}

/// By <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.
async fn sign_call(
    (http, aws): (&Client, &Aws),
    url: &str,
    call: Call<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let region = call.region.unwrap_or(&aws.region);
    let credentials = aws.credentials.provide_credentials().await.map_err(|_error| NO_SENDER)?;
    let identity = credentials.into();
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(call.service)
        .time(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_error| "not_signed")?
        .into();
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(call.body.as_bytes()))
        .map_err(|_error| "not_signed")?;
    let (instructions, _) = sign(request, &parameters).map_err(|_error| "not_signed")?.into_parts();
    let mut post = http.post(url);
    for (name, value) in call.headers {
        post = post.header(name, value);
    }
    for (name, value) in instructions.headers() {
        post = post.header(name, value);
    }
    Ok(post.body(call.body))
}

/// The error's code: in a header, in a JSON body or in an XML one.
fn code(answer: &Answer) -> String {
    let header = answer.headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
    let body = answer.json();
    let text = String::from_utf8_lossy(&answer.body);
    let of_xml = || Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0);
    let code = header.or_else(|| body["__type"].as_str()).or_else(of_xml).unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default().to_owned()
}

/// What the codes mean that all services have:
/// <https://docs.aws.amazon.com/awssupport/latest/user/CommonErrors.html>.
fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    of_code(answer.status.as_u16(), &code(answer), answer, now)
}

fn of_code(status: u16, code: &str, answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let later = Outcome::Later { wait: answer.retry_after(now) };
    let starts = |starts: &[&str]| starts.iter().any(|start| code.starts_with(start));
    Ok(match status {
        200..=299 if code.is_empty() => Outcome::Delivered,
        408 | 409 | 425 | 429 | 500.. => later,
        _ if code.contains("Throttl") || starts(&["TooManyRequests", "LimitExceeded", "Internal"]) => later,
        _ if starts(&["NotFound", "ResourceNotFound", "QueueDoesNotExist", "QueueDeletedRecently"]) => {
            Outcome::Gone
        }
        401 | 403 => return Err(SenderRefused),
        _ if starts(&[
            "AccessDenied",
            "AuthorizationError",
            "ExpiredToken",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "InvalidSignature",
            "KMS",
            "Kms",
            "MissingAuthentication",
            "NotAuthorized",
            "OptInRequired",
            "SignatureDoesNotMatch",
            "UnrecognizedClient",
        ]) =>
        {
            return Err(SenderRefused);
        }
        400..=499 => Outcome::Never,
        _ => later,
    })
}
