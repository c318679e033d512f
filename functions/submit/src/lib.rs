//! `submit`: validate, price, charge, create the job, queue its dispatch.

use std::convert::Infallible;
use std::time::Duration;

use domain::catalog::Catalog;
use domain::credit::{Credits, MicroUsd};
use domain::id::{AccountId, JobId};
use domain::job::{CHECK_EVERY, Job, Notifies};
use domain::price;
use domain::public_url::Reach;
use domain::request::{JobRequest, Order};
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{HeaderValue, LOCATION};
use lambda_http::{Body, Request, Response};
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::http::{Limit, Problem, answer, body_digest, check_version, parse};
use shared::edge::recent::Recent;
use shared::edge::view::{JobView, job_response};
use shared::edge::{idempotency, note_job};
use shared::store;
use shared::store::accounts::{Accounts, Policy};
use shared::store::jobs::{Created, JobStore};
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Limits;
use shared::store::outbox::Outbox;

/// Maximum length of an idempotency key, in characters.
/// `Retry-After` at the limit of active jobs: one of them may have ended by then.
const LIVE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Everything `submit` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub accounts: Accounts,
    pub policies: Recent<AccountId, Policy>,
    /// Which events each account's last job had.
    pub events: Recent<AccountId, Notifies>,
    pub jobs: JobStore,
    pub outbox: Outbox,
    pub catalog: Catalog,
    /// Allowed hosts of URLs in requests.
    pub reach: Reach,
    /// Default limit of active jobs of an account.
    pub live_max: u32,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            accounts: Accounts::new(table.clone()),
            policies: Recent::default(),
            events: Recent::default(),
            jobs: JobStore::new(table),
            outbox: Outbox {
                dispatch: Some(config::queue(process, &mut read, "DISPATCH_QUEUE_URL")),
                poll: None,
            },
            catalog: config::catalog(&mut read).only(&config::providers(&mut read)),
            reach: config::reach(&mut read),
            live_max: config::live_jobs_max(&mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, submit(app, &request))).await)
}

async fn submit(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let account = app.callers.account(request.headers(), Scope::Write, now).await?;
    let key = idempotency::key(request.headers())?;
    let body_digest = body_digest(request);
    let id = match &key {
        Some(key) => JobId::for_key(&account, key),
        None => JobId::from_bytes(app.random.bytes()),
    };
    let (mut order, price) = match parse_order(app, request, now) {
        Ok(parsed) => parsed,
        // A repeat of a request that an earlier release accepted.
        Err(problem) if key.is_some() && body_digest.is_some() => {
            let earlier = app.jobs.get_with_request(&id).await?;
            let earlier = earlier.filter(|(job, _)| job.body_digest() == body_digest.as_deref());
            return earlier.map(|(job, order)| replayed(&job, &order, &app.catalog, now)).ok_or(problem);
        }
        Err(problem) => return Err(problem),
    };
    // Before the policy is applied, so that a policy change does not alter the digest of a repeat.
    let digest = order.digest();
    let policy = policy(app, &account, now).await?;
    order.prefer = order.prefer.or(policy.prefer);
    let limits = Limits {
        live_jobs: policy.live_jobs_max.unwrap_or(app.live_max),
        loss_per_day: policy.loss_per_day,
        low_below: policy.low_below,
    };

    note_job(&id);
    let notifies = notifies(app, &account, &order, now);
    let job = Job::new(id, account, order.model.clone(), price, digest, now)
        .with_body_digest(body_digest)
        .with_events(notifies);
    match app.jobs.create(&job, &order, now + CHECK_EVERY, limits).await? {
        Created::New(job) => {
            // The job is charged and durable: `reconcile` sends a lost message again.
            app.outbox.send_all(&job).await;
            if job.notifies() > notifies {
                app.events.put(job.account().clone(), job.notifies(), now);
            }
            tracing::info!(job = %job.id(), model = job.model(), price_micros = price.micros(), "job.created");
            Ok(accepted(&job, &order, &app.catalog, now))
        }
        Created::Existing(job) => Ok(replayed(&job, &order, &app.catalog, now)),
        Created::KeyReused => Err(idempotency::key_reused()),
        Created::NoCredit { balance } => {
            let detail =
                format!("This costs {price} credits and the balance is {balance}. Nothing was charged.");
            Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "insufficient_credits", detail))
        }
        Created::TooMany { live } => Err(too_many(live, limits.live_jobs)),
        Created::TooMuchLost { lost } => Err(too_much_lost(lost, now)),
    }
}

/// Which moves are events, as far as this instance knows; the table knows better.
fn notifies(app: &App, account: &AccountId, order: &JobRequest, now: Timestamp) -> Notifies {
    let of_callback = if order.callback_url.is_some() { Notifies::Ends } else { Notifies::Nothing };
    app.events.get(account, now).unwrap_or_default().max(of_callback)
}

async fn policy(app: &App, account: &AccountId, now: Timestamp) -> Result<Policy, store::Error> {
    if let Some(policy) = app.policies.get(account, now) {
        return Ok(policy);
    }
    let policy = app.accounts.policy(account).await?;
    app.policies.put(account.clone(), policy, now);
    Ok(policy)
}

/// The validated request and its price.
fn parse_order(app: &App, request: &Request, now: Timestamp) -> Result<(JobRequest, Credits), Problem> {
    let order = JobRequest::within(parse::<Order>(request)?, &app.catalog, app.reach, now)
        .map_err(Problem::invalid)?;
    let price = price::quote(&order, &app.catalog).ok_or_else(unpriced)?;
    Ok((order, price))
}

fn replayed(job: &Job, order: &JobRequest, catalog: &Catalog, now: Timestamp) -> Response<Body> {
    idempotency::replayed(accepted(job, order, catalog, now))
}

fn accepted(job: &Job, order: &JobRequest, catalog: &Catalog, now: Timestamp) -> Response<Body> {
    let view = JobView::new(job, Some(order), None);
    let mut response = job_response(StatusCode::ACCEPTED, job, &view, catalog, now);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The account is at its limit of active jobs.
fn too_many(live: u32, live_max: u32) -> Problem {
    let detail = format!("This account has {live} live jobs and may have {live_max}. Nothing was charged.");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_live_jobs", detail);
    let limit = Limit { name: "live-jobs", quota: live_max, left: live_max.saturating_sub(live) };
    Problem { retry_after: Some(LIVE_RETRY_AFTER), limit: Some(limit), ..problem }
}

/// The account is at its daily limit of possibly billed refunds.
fn too_much_lost(lost: MicroUsd, now: Timestamp) -> Problem {
    let detail = format!(
        "Canceled and failed jobs of this account may have cost {lost} today, which is its limit. \
         Nothing was charged. It may order again tomorrow (UTC)."
    );
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
