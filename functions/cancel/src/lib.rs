//! `cancel`: requests the cancel of a job, or deletes the files of one that has ended. `poll` sends a cancel
//! to the provider; the refund follows the provider's verdict.

use std::convert::Infallible;

use domain::catalog::{Catalog, Kind};
use domain::id::JobId;
use domain::job::Job;
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::dialect::native::job_response;
use shared::edge::dialect::openai;
use shared::edge::http::{Problem, answer, check_version, route_key};
use shared::edge::note_job;
use shared::operate::cancel::{Cancel, Canceled};
use shared::operate::delete::{self, Deleted};
use shared::operate::read;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::media::MediaStore;

const DELETE_MEDIA: &str = "DELETE /v1/jobs/{id}/media";
const DELETE_VIDEO: &str = "DELETE /v1/videos/{id}";

/// Everything `cancel` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub cancel: Cancel,
    pub media: MediaStore,
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            cancel: Cancel::new(
                config::jobs(process, &mut read, &table),
                table,
                config::queue(process, &mut read, "POLL_QUEUE_URL"),
                read.optional("CANCEL_REFUND", "less_cost or full").unwrap_or_default(),
            ),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            catalog: config::catalog(&mut read),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, end(app, &request))).await)
}

/// Cancels a job that runs, or deletes the files of one that has ended.
async fn end(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_version(request.headers())?;
    let account = app.callers.account(request.headers(), Scope::Write, now).await?;
    let id = request.path_parameters().first("id").and_then(|id| id.parse::<JobId>().ok());
    let id = id.ok_or_else(Problem::not_found)?;
    note_job(&id);
    let job = read::job(&app.cancel.jobs, &account, &id).await?.ok_or_else(Problem::not_found)?;
    match route_key(request) {
        DELETE_MEDIA => {
            let job = delete(app, job, now).await?;
            Ok(job_response(StatusCode::OK, &job, None, None, &app.catalog, now))
        }
        DELETE_VIDEO if is_image(app, &job) => Err(Problem::not_found()),
        DELETE_VIDEO => Ok(openai::deleted(&delete(app, job, now).await?)),
        _ => cancel(app, job, now).await,
    }
}

async fn cancel(app: &App, job: Job, now: Timestamp) -> Result<Response<Body>, Problem> {
    match app.cancel.request(job, now).await? {
        Canceled::Requested(job) => {
            Ok(job_response(StatusCode::ACCEPTED, &job, None, None, &app.catalog, now))
        }
        Canceled::TooLate(job) => Err(Problem::too_late_to_cancel(&job)),
    }
}

/// Images are not among the videos of OpenAI's dialect.
fn is_image(app: &App, job: &Job) -> bool {
    app.catalog.model(job.model()).is_some_and(|model| model.kind == Kind::Image)
}

/// The job, without its files.
async fn delete(app: &App, job: Job, now: Timestamp) -> Result<Job, Problem> {
    match delete::delete(&app.cancel.jobs, &app.media, job, now).await? {
        Deleted::Done(job) => Ok(job),
        Deleted::Live(job) => {
            let detail = format!("The job is {}: its file is deleted once it has ended.", job.state().name());
            Err(Problem::new(StatusCode::CONFLICT, "not_finished", detail))
        }
    }
}
