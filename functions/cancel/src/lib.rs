//! `cancel`: requests the cancel of a job. `poll` sends it to the provider; the refund follows the
//! provider's verdict.

use std::convert::Infallible;

use domain::catalog::Catalog;
use domain::decide::Event;
use domain::id::JobId;
use domain::job::{CHECK_EVERY, CancelRefund, Job, State};
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::http::{Problem, answer, check_version};
use shared::edge::note_job;
use shared::edge::view::{JobView, job_response};
use shared::store::jobs::{Advance, JobStore};
use shared::store::keystore::{KeyStore, Scope};
use shared::store::outbox::Outbox;
use shared::store::polls::Polls;

/// Everything `cancel` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub jobs: JobStore,
    /// When attempts were last polled.
    pub polls: Polls,
    pub outbox: Outbox,
    /// The refund policy.
    pub refund: CancelRefund,
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            jobs: config::jobs(process, &mut read, &table),
            polls: Polls::new(table),
            outbox: Outbox {
                dispatch: None,
                poll: Some(config::queue(process, &mut read, "POLL_QUEUE_URL")),
            },
            refund: read.optional("CANCEL_REFUND", "less_cost or full").unwrap_or_default(),
            catalog: config::catalog(&mut read),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, cancel(app, &request))).await)
}

/// Whether the messages of an earlier call may be lost, so that a repeat sends them again: nothing has
/// changed for one interval of `reconcile`.
async fn is_stalled(app: &App, job: &Job, now: Timestamp) -> Result<bool, Problem> {
    if now.since(job.updated_at()) < CHECK_EVERY {
        return Ok(false);
    }
    let last = app.polls.last(job.id(), job.current_number()).await?;
    Ok(last.is_none_or(|last| now.since(last) >= CHECK_EVERY))
}

async fn cancel(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let account = app.callers.account(request.headers(), Scope::Write, now).await?;
    let id = request.path_parameters().first("id").and_then(|id| id.parse::<JobId>().ok());
    let id = id.ok_or_else(Problem::not_found)?;
    note_job(&id);
    // Jobs of other accounts are reported as not found.
    let job =
        app.jobs.get(&id).await?.filter(|job| *job.account() == account).ok_or_else(Problem::not_found)?;

    let advance = app.jobs.advance_from(job, &Event::CancelRequested(app.refund), now).await?;
    let job = advance.job();
    match job.state() {
        State::Settling | State::Succeeded | State::Failed => {
            let detail = format!("The job is {}: it can no longer be canceled.", job.state().name());
            return Err(Problem::new(StatusCode::CONFLICT, "too_late_to_cancel", detail));
        }
        State::Queued | State::Dispatching | State::Running | State::Canceled | State::Other(_) => {}
    }
    if matches!(advance, Advance::Moved(_)) || is_stalled(app, job, now).await? {
        app.outbox.send_all(job).await;
    }
    Ok(job_response(StatusCode::ACCEPTED, job, &JobView::new(job, None, None), &app.catalog, now))
}
