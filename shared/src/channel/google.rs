//! Google, by a service account of the owner's: access tokens for its APIs, and ID tokens for functions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::delivery::Outcome;
use domain::time::Timestamp;
use http::header::CONTENT_TYPE;
use signatures::Secret;
use url::form_urlencoded;

use super::client::{Answer, Channels, answer};
use super::senders::{NO_SENDER, NO_TOKEN, SENDER_REFUSED, SenderRefused};
use crate::outside::service_account::{Grant, ServiceAccount};

/// How long a token is used: Google gives it for an hour.
const USED_FOR: Duration = Duration::from_secs(3_000);
/// Tokens that are kept: one for each function that is called, and two.
const TOKENS_MAX: usize = 256;
/// A limit without a time: by <https://firebase.google.com/docs/cloud-messaging/scale-fcm>.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// A service account, with the tokens that were given for it.
#[derive(Clone)]
pub struct Google {
    account: Arc<ServiceAccount>,
    project: String,
    tokens: Arc<Mutex<BTreeMap<String, (Secret, Timestamp)>>>,
}

impl Google {
    /// By the whole key file; `None` if it is none, names no project, or its key does not sign.
    pub fn new(file: &Secret) -> Option<Self> {
        let account = ServiceAccount::parse(file)?;
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
        let project = account.project_id.clone().filter(|id| !id.is_empty() && id.bytes().all(is_allowed))?;
        account.assertion(Grant::Scope(""), Timestamp::from_secs(0))?;
        Some(Self { account: Arc::new(account), project, tokens: Arc::default() })
    }

    /// The account's own project.
    pub(super) fn project(&self) -> &str {
        &self.project
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, (Secret, Timestamp)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Google({})", self.project)
    }
}

/// The owner's account, if there is one.
pub(super) fn account(channels: &Channels) -> Result<&Google, &'static str> {
    channels.senders().google.as_ref().ok_or(NO_SENDER)
}

/// A token for a scope, or for an audience.
pub(super) async fn token(
    channels: &Channels,
    grant: Grant<'_>,
    now: Timestamp,
) -> Result<Secret, &'static str> {
    let google = account(channels)?;
    let known = google.tokens().get(grant.text()).cloned();
    if let Some((token, _)) = known.filter(|(_, at)| now.since(*at) < USED_FOR) {
        return Ok(token);
    }
    let assertion = google.account.assertion(grant, now).ok_or(SENDER_REFUSED)?;
    let post = channels.post("oauth2.googleapis.com", "/token");
    let post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&assertion));
    let given = answer(post).await.map_err(|_error| NO_TOKEN)?;
    let body = given.json();
    let member = if matches!(grant, Grant::Scope(_)) { "access_token" } else { "id_token" };
    match (given.status.as_u16(), body[member].as_str().filter(|token| !token.is_empty())) {
        (200, Some(token)) => {
            let mut tokens = google.tokens();
            if tokens.len() >= TOKENS_MAX {
                tokens.clear();
            }
            let token = Secret::new(token);
            tokens.insert(grant.text().to_owned(), (token.clone(), now));
            Ok(token)
        }
        (status @ (400..=428 | 430..=499), _) => {
            tracing::error!(kind = "google", status, "sender.refused");
            Err(SENDER_REFUSED)
        }
        _ => Err(NO_TOKEN),
    }
}

fn form(assertion: &str) -> String {
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    form_urlencoded::Serializer::new(String::new()).extend_pairs([grant, ("assertion", assertion)]).finish()
}

/// What the statuses mean that all of Google's APIs have.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    Ok(match answer.status.as_u16() {
        200..=299 => Outcome::Delivered,
        401 | 403 => return Err(SenderRefused),
        429 => Outcome::Later { wait: answer.retry_after(now).or(Some(PAUSE)) },
        400..=499 => Outcome::Never,
        _ => Outcome::Later { wait: answer.retry_after(now) },
    })
}
