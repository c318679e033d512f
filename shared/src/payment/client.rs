//! The one client of all processors. It makes no call twice: who asks again is the caller, under the same key.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64;
use domain::id::TopupId;
use domain::payment::purchase::{Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Mode, Processor, Reference};
use domain::time::Timestamp;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use signatures::Secret;
use url::Url;

use super::call::{Answer, Call, Content, form, unreadable};
use super::{Said, abacate, paypal, stripe};
use crate::outside::client;
use crate::outside::retry_after::retry_after;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For a whole call.
const CALL_MAX: Duration = Duration::from_secs(10);
/// For the session of a purchase, whose caller waits: an access token and one call.
pub const OPEN_MAX: Duration = Duration::from_secs(9);
/// Bytes of an answer: a page of a hundred events.
const ANSWER_MAX: usize = 8 << 20;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// How long before its end an access token is no longer used.
const SPARE: Duration = Duration::from_secs(120);

/// What the owner pays in with.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub stripe: Option<Secret>,
    /// Client id and secret.
    pub paypal: Option<(String, Secret)>,
    pub abacatepay: Option<Secret>,
}

/// The processors that are configured.
pub struct Processors {
    http: reqwest::Client,
    /// Another origin of all processors: the simulators are one server.
    base_url: Option<Url>,
    mode: Mode,
    credentials: Credentials,
    /// PayPal's access token and its end.
    token: Mutex<Option<(Secret, Timestamp)>>,
}

impl fmt::Debug for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processors").field("mode", &self.mode).field("on", &self.on()).finish_non_exhaustive()
    }
}

impl Processors {
    pub fn new(mode: Mode, credentials: Credentials, base_url: Option<Url>) -> Result<Self, reqwest::Error> {
        let http = client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent("Genmux")
            .connect_timeout(CONNECT_MAX)
            .timeout(CALL_MAX)
            .https_only(base_url.is_none())
            .build()?;
        Ok(Self { http, base_url, mode, credentials, token: Mutex::default() })
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The processors that have credentials.
    pub fn on(&self) -> Vec<Processor> {
        let Credentials { stripe, paypal, abacatepay } = &self.credentials;
        let is_on = |processor: &Processor| match processor {
            Processor::Stripe => stripe.is_some(),
            Processor::Paypal => paypal.is_some(),
            Processor::Abacatepay => abacatepay.is_some(),
        };
        Processor::ALL.into_iter().filter(is_on).collect()
    }

    /// Makes the session of a purchase; of the same purchase, the same session.
    pub async fn open(&self, purchase: &Purchase, now: Timestamp) -> Result<Session, Trouble> {
        let opened = tokio::time::timeout(OPEN_MAX, self.opened(purchase, now)).await;
        opened.unwrap_or_else(|_elapsed| Err(Trouble::new(Class::Unknown, "no_answer")))
    }

    async fn opened(&self, purchase: &Purchase, now: Timestamp) -> Result<Session, Trouble> {
        match purchase.processor() {
            Processor::Stripe => stripe::opened(&self.stripe(&stripe::open(purchase), now).await?),
            Processor::Paypal => paypal::opened(&self.paypal(&paypal::open(purchase), now).await?),
            Processor::Abacatepay => abacate::opened(self, purchase, now).await,
        }
    }

    /// Asks what became of a purchase, by its session or, while none is recorded, by an object that a report
    /// names.
    pub async fn ask(&self, purchase: &Purchase, object: &str, now: Timestamp) -> Result<Said, Trouble> {
        match purchase.processor() {
            Processor::Stripe => stripe::ask(self, object, now).await,
            Processor::Paypal => paypal::ask(self, purchase, object, now).await,
            Processor::Abacatepay => abacate::ask(self, purchase, object, now).await,
        }
    }

    /// The purchase that an object was made for, as the processor says; `None` if it is of something else.
    pub async fn find(
        &self,
        processor: Processor,
        object: &str,
        now: Timestamp,
    ) -> Result<Option<TopupId>, Trouble> {
        match processor {
            Processor::Stripe => stripe::find(self, object, now).await,
            Processor::Paypal => paypal::find(self, object, now).await,
            // Its reports name the purchase, or are not about one.
            Processor::Abacatepay => Ok(None),
        }
    }

    /// What the events of a span of time are about; `None` if there are more than `pages` pages of them, or the
    /// processor lists none.
    pub async fn events(
        &self,
        processor: Processor,
        span: (Timestamp, Timestamp),
        pages: usize,
        now: Timestamp,
    ) -> Result<Option<BTreeSet<Reference>>, Trouble> {
        match processor {
            Processor::Stripe => stripe::events(self, span, pages, now).await,
            Processor::Paypal => paypal::events(self, span, pages, now).await,
            Processor::Abacatepay => Ok(None),
        }
    }

    pub(super) async fn stripe(&self, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
        self.answered(Processor::Stripe, call, now).await
    }

    pub(super) async fn paypal(&self, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
        self.answered(Processor::Paypal, call, now).await
    }

    pub(super) async fn abacate(&self, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
        self.answered(Processor::Abacatepay, call, now).await
    }

    /// One call that succeeds. A success that is no JSON object says nothing.
    async fn answered(&self, processor: Processor, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
        let answer = self.call(processor, call, now).await?;
        match (answer.is_success(), processor) {
            (true, _) if answer.body.is_object() => Ok(answer),
            (true, _) => Err(unreadable()),
            (false, Processor::Stripe) => Err(stripe::trouble(&answer)),
            (false, Processor::Paypal) => Err(paypal::trouble(&answer)),
            (false, Processor::Abacatepay) => Err(abacate::trouble(&answer)),
        }
    }

    /// One call. Every answer is one, whatever its status.
    async fn call(&self, processor: Processor, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
        let request = self.http.request(call.method.clone(), self.url(processor, &call.path));
        let request = match &call.body {
            Content::Nothing => request,
            Content::Form(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(fields))
            }
            Content::Json(body) => request.json(body),
        };
        let request = self.signed(processor, call, request, now).await?;
        let answer = answer(request, now).await?;
        if processor == Processor::Paypal && answer.status == 401 {
            // Revoked before its end: the next call asks for another.
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let path = call.path.split('?').next().unwrap_or_default();
        let method = call.method.as_str();
        tracing::info!(
            processor = processor.name(),
            method,
            path,
            status = answer.status,
            "processor.called"
        );
        Ok(answer)
    }

    fn url(&self, processor: Processor, path: &str) -> String {
        let host = match processor {
            Processor::Stripe => stripe::HOST,
            Processor::Paypal => paypal::host(self.mode),
            Processor::Abacatepay => abacate::HOST,
        };
        match &self.base_url {
            Some(base) => format!("{}{path}", base.as_str().trim_end_matches('/')),
            None => format!("https://{host}{path}"),
        }
    }

    /// With credentials, the pinned version, and the idempotency key.
    async fn signed(
        &self,
        processor: Processor,
        call: &Call,
        request: RequestBuilder,
        now: Timestamp,
    ) -> Result<RequestBuilder, Trouble> {
        let off = || Trouble::new(Class::Unauthorized, "not_configured");
        let key =
            |name: &'static str| Some((HeaderName::from_static(name), call.idempotency_key.as_deref()?));
        let (request, key) = match processor {
            Processor::Stripe => {
                let secret = self.credentials.stripe.as_ref().ok_or_else(off)?;
                let request = request.bearer_auth(secret.expose()).header("stripe-version", stripe::VERSION);
                (request, key("idempotency-key"))
            }
            Processor::Paypal => {
                let token = self.token(now).await?;
                (request.bearer_auth(token.expose()), key("paypal-request-id"))
            }
            Processor::Abacatepay => {
                let secret = self.credentials.abacatepay.as_ref().ok_or_else(off)?;
                (request.bearer_auth(secret.expose()), None)
            }
        };
        Ok(match key {
            Some((name, key)) => request.header(name, key),
            None => request,
        })
    }

    /// PayPal's access token, of the cache or new.
    async fn token(&self, now: Timestamp) -> Result<Secret, Trouble> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, _)) = known.filter(|(_, until)| now < *until) {
            return Ok(token);
        }
        let off = || Trouble::new(Class::Unauthorized, "not_configured");
        let (id, secret) = self.credentials.paypal.as_ref().ok_or_else(off)?;
        let basic = BASE64.encode(format!("{id}:{}", secret.expose()).as_bytes());
        let request = self.http.post(self.url(Processor::Paypal, "/v1/oauth2/token"));
        let request = request
            .header(AUTHORIZATION, format!("Basic {basic}"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let given = answer(request, now).await?;
        let lasts = given.body["expires_in"].as_u64().map(Duration::from_secs);
        let (Some(token), Some(lasts)) = (given.text("/access_token"), lasts) else {
            return Err(paypal::trouble(&given));
        };
        let token = Secret::new(token);
        let until = now + lasts.saturating_sub(SPARE);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), until));
        Ok(token)
    }
}

/// The answer to a request. Without one, what was sent may have been carried out.
async fn answer(request: RequestBuilder, now: Timestamp) -> Result<Answer, Trouble> {
    let lost = |_error: reqwest::Error| Trouble::new(Class::Unknown, "no_answer");
    let response = request.send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let wait = retry_after(response.headers(), RETRY_AFTER_MAX, now);
    let body = whole(response).await?;
    Ok(Answer { status, retry_after: wait, body: serde_json::from_slice(&body).unwrap_or_default() })
}

async fn whole(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let broken = || Trouble::new(Class::Unknown, "broken_answer");
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_error| broken())? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(broken());
        }
    }
    Ok(body)
}
