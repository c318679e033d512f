//! `status`: reads.

use std::convert::Infallible;
use std::time::Duration;

use domain::catalog::Catalog;
use domain::id::AccountId;
use domain::job::Job;
use domain::provider::Provider;
use domain::variant::Variants;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use lambda_http::{Body, Request, Response};
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::dialect::gateway;
use shared::edge::dialect::native::{is_known, job_response, not_modified};
use shared::edge::http::{Problem, answer, check_version, json, route_key};
use shared::operate::prices::Prices;
use shared::operate::read;
use shared::store::accounts::Accounts;
use shared::store::admission::AdmissionStore;
use shared::store::budgets::BudgetStore;
use shared::store::jobs::JobStore;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Ledger;
use shared::store::media::MediaStore;
use shared::store::usage::UsageStore;

mod lists;
mod models;
mod prefer;
pub mod routes;
mod usage;
mod videos;

/// Maximum of `Prefer: wait`, below the API's limit of 30 s.
const WAIT_MAX: Duration = Duration::from_secs(25);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Everything `status` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub jobs: JobStore,
    pub ledger: Ledger,
    pub accounts: Accounts,
    pub budgets: BudgetStore,
    pub usage: UsageStore,
    pub prices: Prices,
    pub admission: AdmissionStore,
    pub media: MediaStore,
    /// Days after which files are deleted, if they are.
    pub media_days: Option<u32>,
    /// Other forms of a video, by the operator's CDN.
    pub variants: Variants,
    pub providers: Vec<Provider>,
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let providers = config::providers(&mut read);
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            jobs: JobStore::new(table.clone()),
            ledger: Ledger::new(table.clone()),
            accounts: Accounts::new(table.clone()),
            budgets: BudgetStore::new(table.clone()),
            usage: UsageStore::new(table.clone()),
            prices: Prices::new(table.clone()),
            admission: AdmissionStore::new(table),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            media_days: config::media_days(&mut read),
            variants: read
                .optional("MEDIA_VARIANTS", "like `poster=https://img.example.com/{url}`")
                .unwrap_or_default(),
            catalog: config::catalog(&mut read).only(&providers),
            providers,
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(answer(&request, route(app, &request)).await)
}

async fn route(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    // By route, not by path: a custom domain may add a base path.
    let route = route_key(request);
    if route == routes::OPENAPI {
        return Ok(openapi());
    }
    if !routes::READS.contains(&route) {
        return Err(routes::refuse(request));
    }
    let now = app.clock.now();
    check_version(request.headers())?;
    let caller = &app.callers.caller(request.headers(), Scope::Read, now).await?;
    let account = &caller.account;
    match route {
        routes::JOBS => lists::jobs(app, request, account).await,
        routes::MODELS | routes::VIDEO_MODELS => {
            let terms = &app.prices.of(account, now).await?;
            let sold = models::Sold { catalog: &app.catalog, terms, now };
            let is_ours = route == routes::MODELS;
            Ok(json(
                StatusCode::OK,
                &if is_ours { models::models(&sold) } else { models::video_models(&sold) },
            ))
        }
        routes::PROVIDERS => lists::providers(app).await,
        routes::ACCOUNT => lists::account(app, request, caller).await,
        routes::USAGE => usage::usage(app, request, account).await,
        routes::CONTENT | routes::CONTENT_HEAD | routes::VIDEO_CONTENT => {
            videos::content(app, request, account).await
        }
        routes::VIDEOS => videos::list(app, request, account).await,
        routes::VIDEO => videos::video(app, request, account).await,
        routes::OPERATION => videos::operation(app, request, account).await,
        routes::CONFIG => Ok(gateway::config(&app.catalog, now)),
        _ => job(app, request, account).await,
    }
}

async fn job(app: &App, request: &Request, account: &AccountId) -> Result<Response<Body>, Problem> {
    let id = videos::id_of(request)?;
    let waits_for = prefer::wait(request.headers()).map(|span| span.min(WAIT_MAX));
    let found = read::job_with_request(&app.jobs, account, &id).await?;
    let (mut job, order) = found.ok_or_else(Problem::not_found)?;
    if let Some(span) = waits_for {
        job = changed(app, request.headers(), job, span).await?;
    }
    let mut response = if is_known(request.headers(), &job) {
        not_modified(&job, &app.catalog, app.clock.now())
    } else {
        let mut link = read::link(&app.media, &job, app.clock.now()).await?;
        if let (Some(link), Some(file)) = (&mut link, job.media()) {
            link.variants = app.variants.of(file, &link.url);
        }
        job_response(StatusCode::OK, &job, Some(&order), link, &app.catalog, app.clock.now())
    };
    if let Some(span) = waits_for
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", span.as_secs()))
    {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(response)
}

/// Waits until the job differs from the caller's version (`If-None-Match`) or from its first version,
/// at most `span`.
async fn changed(app: &App, headers: &HeaderMap, first: Job, span: Duration) -> Result<Job, Problem> {
    let knows = headers.contains_key(lambda_http::http::header::IF_NONE_MATCH);
    let mut job = first.clone();
    for _ in 0..span.as_millis() / LOOK_EVERY.as_millis() {
        let is_changed = if knows { !is_known(headers, &job) } else { job.version() != first.version() };
        if is_changed || job.state().is_terminal() {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "the caller asked this very request to wait")]
        tokio::time::sleep(LOOK_EVERY).await;
        job = app.jobs.get(first.id()).await?.ok_or_else(Problem::not_found)?;
    }
    Ok(job)
}

fn openapi() -> Response<Body> {
    let mut response = Response::new(Body::from(include_str!(concat!(env!("OUT_DIR"), "/openapi.json"))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
