//! `submit`: validate, price, charge, create the job, queue its dispatch.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::id::JobId;
use domain::job::Job;
use domain::policy::live::LiveMax;
use domain::public_url::Reach;
use domain::request::{FieldError, JobRequest};
use domain::time::Timestamp;
use domain::upload::Upload;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{HeaderValue, LOCATION};
use lambda_http::{Body, Request, Response};
use serde_json::Value;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::dialect::native::job_response;
use shared::edge::dialect::openai::{self, Aliases, Sent, Show};
use shared::edge::dialect::{Asked, Dialect, gateway};
use shared::edge::http::{Limit, Problem, answer, body_digest, check_version, parse, route_key};
use shared::edge::{idempotency, note_created, note_id, note_job};
use shared::operate::prices::Terms;
use shared::operate::submit::{Submission, Submit, Submitted};
use shared::provider::fetch::Image;
use shared::store::jobs::Created;
use shared::store::keystore::{ApiKey, KeyStore, Scope};
use shared::store::ledger::Ledger;
use shared::store::uploads::{Signer, Uploads};

mod quote;
mod uploads;

/// `Retry-After` at the limit of active jobs: one of them may have ended by then.
const LIVE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Everything `submit` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub submit: Submit,
    /// Whether an account has credits.
    pub ledger: Ledger,
    pub catalog: Catalog,
    /// Allowed hosts of URLs in requests.
    pub reach: Reach,
    pub uploads: Uploads,
    /// Signs the forms of uploads.
    pub signer: Signer,
    /// Names of models in OpenAI's dialect.
    pub aliases: Aliases,
    /// Days after which files are deleted, if they are.
    pub media_days: Option<u32>,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let catalog = config::catalog(&mut read).only(&config::providers(&mut read));
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            submit: Submit::new(
                &table,
                config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
                config::live_jobs_max(&mut read),
            ),
            ledger: Ledger::new(table),
            aliases: config::openai_aliases(&mut read, &catalog),
            catalog,
            reach: config::reach(&mut read),
            uploads: Uploads::new(process.s3(), read.required("MEDIA_BUCKET")),
            signer: Signer::new(&process.aws),
            media_days: config::media_days(&mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, route(app, &request))).await)
}

async fn route(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    match route_key(request) {
        "POST /v1/quotes" => quote::quote(app, request).await,
        "POST /v1/uploads" => uploads::form(app, request).await,
        _ => submit(app, request).await,
    }
}

async fn submit(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let caller = app.callers.caller(request.headers(), Scope::Write, now).await?;
    let account = &caller.account;
    let mut door = Door { app, dialect: Dialect::of(request), warnings: Vec::new(), now };
    let sent = door.read(request).await;
    let in_body = sent.as_ref().ok().and_then(|sent| sent.key.clone());
    let key = idempotency::key(request.headers())?.or(in_body);
    let body_digest = door.body_digest(request, sent.as_ref().ok());
    let id = match &key {
        Some(key) => JobId::for_key(account, key),
        None => JobId::from_bytes(app.random.bytes()),
    };
    let Priced { order, price, terms, images } = match door.parse(request, sent, &caller).await {
        Ok(parsed) => parsed,
        Err(problem) if key.is_some() => return door.earlier(&id, body_digest.as_deref(), problem).await,
        Err(problem) => return Err(problem),
    };
    match uploads::keep(app, &order, &images).await {
        Ok(()) => {}
        // A repeat of a request whose uploads have been deleted since, or a reused key.
        Err(problem) if key.is_some() => {
            return match app.submit.jobs.get_with_request(&id).await? {
                Some((job, earlier)) if job.is_made_by(&order.digest(), body_digest.as_deref()) => {
                    door.replayed(&job, &earlier)
                }
                Some(_) => Err(idempotency::key_reused()),
                None => Err(problem),
            };
        }
        Err(problem) => return Err(problem),
    }
    note_id(&id);
    let counted = key.is_none() && door.dialect == Dialect::OpenAi;
    let retry_count = counted.then(|| openai::retry_count(request.headers())).flatten();
    let submission = Submission { id, key: caller, order, price, terms, body_digest, retry_count };
    let submitted = app.submit.place(submission, now).await?;
    let refused = submitted.refusal(price).unwrap_or_default();
    let Submitted { created, order, limits } = submitted;
    match created {
        Created::New(job) => {
            note_created(job.id(), request.headers());
            Ok(door.accepted(&job, &order))
        }
        Created::Existing(job) => door.replayed(&job, &order),
        Created::KeyReused => Err(idempotency::key_reused()),
        Created::NoCredit { .. } => {
            Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "insufficient_credits", refused))
        }
        Created::TooMany { live } => Err(too_many(refused, live, limits.live_jobs)),
        Created::TooMuchLost { .. } => Err(too_much_lost(refused, now)),
        Created::OverBudget(budget) => Err(Problem::budget_exhausted(budget, refused)),
    }
}

/// A valid request with its price, and the images that came with it.
struct Priced {
    order: JobRequest,
    price: Credits,
    terms: Terms,
    images: Vec<(Upload, &'static str, Bytes)>,
}

/// The dialect that a request came in: how it is read and answered.
struct Door<'a> {
    app: &'a App,
    dialect: Dialect,
    warnings: Vec<Value>,
    now: Timestamp,
}

impl Door<'_> {
    /// The body of a dialect whose body may hold the idempotency key.
    async fn read(&self, request: &Request) -> Result<Sent, Problem> {
        match self.dialect {
            Dialect::OpenAi => openai::read(request).await,
            Dialect::Native | Dialect::Gateway => Ok(Sent::default()),
        }
    }

    /// What identifies the body. The gateway's is not the whole request: its model is in a header.
    fn body_digest(&self, request: &Request, sent: Option<&Sent>) -> Option<String> {
        match self.dialect {
            Dialect::Gateway => None,
            Dialect::Native => body_digest(request),
            Dialect::OpenAi => body_digest(request).or_else(|| Some(sent?.digest())),
        }
    }

    /// The answer to a request that is refused now: its job, if it repeats one that was accepted earlier.
    async fn earlier(
        &self,
        id: &JobId,
        body_digest: Option<&str>,
        problem: Problem,
    ) -> Result<Response<Body>, Problem> {
        if body_digest.is_none() {
            return Err(problem);
        }
        let earlier = self.app.submit.jobs.get_with_request(id).await?;
        let same = earlier.filter(|(job, _)| job.body_digest() == body_digest);
        same.map_or(Err(problem), |(job, order)| self.replayed(&job, &order))
    }

    async fn parse(
        &mut self,
        request: &Request,
        sent: Result<Sent, Problem>,
        caller: &ApiKey,
    ) -> Result<Priced, Problem> {
        let account = &caller.account;
        let Self { app, now, .. } = *self;
        let Asked { order, uploads } = match self.dialect {
            Dialect::Native => Asked { order: parse(request)?, uploads: Vec::new() },
            Dialect::OpenAi => openai::order(sent?, account, &app.aliases, &app.catalog, now)?,
            Dialect::Gateway => {
                let started = gateway::order(request, account, &app.catalog, now)?;
                self.warnings = started.warnings;
                started.asked
            }
        };
        let images = uploads.into_iter().map(|(upload, bytes)| {
            let image = image(bytes)?;
            Ok((upload, image.mime, image.bytes))
        });
        let images = images.collect::<Result<_, Problem>>()?;
        let order =
            JobRequest::within(order, account, &app.catalog, app.reach, now).map_err(Problem::invalid)?;
        caller.rules.allowed.check(&order, &app.catalog).map_err(Problem::not_allowed)?;
        let terms = app.submit.prices.of(account, now).await?;
        let price = terms.quote(&order, &app.catalog).ok_or_else(unpriced)?;
        Ok(Priced { order, price, terms, images })
    }

    /// In OpenAI's dialect a deleted video is none, and the same order makes no second one.
    fn replayed(&self, job: &Job, order: &JobRequest) -> Result<Response<Body>, Problem> {
        note_job(job.id());
        match self.dialect {
            Dialect::OpenAi if job.deleted_at().is_some() => Err(openai::was_deleted(job)),
            Dialect::Native | Dialect::OpenAi | Dialect::Gateway => {
                Ok(idempotency::replayed(self.accepted(job, order)))
            }
        }
    }

    fn accepted(&self, job: &Job, order: &JobRequest) -> Response<Body> {
        let Self { app: App { catalog, media_days, .. }, now, .. } = *self;
        match self.dialect {
            Dialect::Native => {
                let mut response = job_response(StatusCode::ACCEPTED, job, Some(order), None, catalog, now);
                if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id())) {
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
            Dialect::OpenAi => openai::video(job, order, Show { catalog, media_days: *media_days, now }),
            Dialect::Gateway => gateway::started(job, &self.warnings),
        }
    }
}

/// An uploaded image, if providers know its kind.
fn image(bytes: Bytes) -> Result<Image, Problem> {
    Image::of(bytes).ok_or_else(|| {
        let detail = "must be a PNG, JPEG or WebP image".to_owned();
        Problem::invalid(vec![FieldError { field: "image_url".into(), detail, allowed: Vec::new() }])
    })
}

/// The account is at its limit of active jobs.
fn too_many(detail: String, live: u32, live_max: LiveMax) -> Problem {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_live_jobs", detail);
    let limit = live_max
        .number()
        .map(|most| Box::new(Limit { name: "live-jobs", quota: most, left: most.saturating_sub(live) }));
    Problem { retry_after: Some(LIVE_RETRY_AFTER), limit, ..problem }
}

/// The account is at its daily limit of possibly billed refunds.
fn too_much_lost(detail: String, now: Timestamp) -> Problem {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "loss_limit", detail);
    let into_day = u64::try_from(now.as_secs().rem_euclid(24 * 3_600)).unwrap_or(0);
    Problem { retry_after: Some(Duration::from_secs(24 * 3_600 - into_day)), ..problem }
}

fn unpriced() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_request",
        "There is no price for this resolution.",
    )
}
