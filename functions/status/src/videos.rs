//! Videos in OpenAI's dialect and in that of the AI SDK's gateway; links to files in every dialect.

use std::iter;
use std::time::Duration;

use domain::catalog::Kind;
use domain::id::{AccountId, JobId};
use domain::job::Job;
use domain::media::Media;
use domain::request::JobRequest;
use domain::time::Timestamp;
use lambda_http::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::edge::dialect::gateway;
use shared::edge::dialect::openai::{self, Show, Video};
use shared::edge::http::{Problem, route_key};
use shared::edge::note_job;
use shared::edge::page::{bad_parameter, limit, parameter};
use shared::operate::read;
use shared::store::read::Age;

use super::{App, routes};

/// Validity of the link that a redirect leads to: it is followed at once.
const LINK_VALID_FOR: Duration = Duration::from_secs(15 * 60);
/// The variant that is the file itself, as their clients know it.
const VIDEO: &str = "video";
/// Pages that a list reads before it returns a partial result.
const PAGES_MAX: usize = 10;

/// The id in the path of a request.
pub(crate) fn id_of(request: &Request) -> Result<JobId, Problem> {
    let id = request.path_parameters().first("id").and_then(|id| id.parse::<JobId>().ok());
    let id = id.ok_or_else(Problem::not_found)?;
    note_job(&id);
    Ok(id)
}

fn is_video(job: &Job, request: &JobRequest) -> bool {
    request.kind() == Kind::Video && job.deleted_at().is_none()
}

/// The account's video of this id; one that was deleted is none.
async fn own(app: &App, request: &Request, account: &AccountId) -> Result<(Job, JobRequest), Problem> {
    let found = read::job_with_request(&app.jobs, account, &id_of(request)?).await?;
    found.filter(|(job, order)| is_video(job, order)).ok_or_else(Problem::not_found)
}

fn show(app: &App) -> Show<'_> {
    Show { catalog: &app.catalog, media_days: app.media_days, now: app.clock.now() }
}

/// `GET /v1/videos/{id}`.
pub(crate) async fn video(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let (job, order) = own(app, request, account).await?;
    Ok(openai::video(&job, &order, show(app)))
}

/// `GET /v1/videos?limit=&order=&after=`.
pub(crate) async fn list(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let wanted = usize::try_from(limit).unwrap_or(0);
    let age = order(request)?;
    let mut cursor = after(app, request, account).await?;
    let (mut found, mut more) = (Vec::new(), true);
    for _ in 0..PAGES_MAX {
        let page = app.jobs.list_by(age, account, limit, cursor.clone()).await?;
        more = page.len() == wanted;
        let ids: Vec<JobId> = page.iter().map(|job| job.id().clone()).collect();
        let mut requests = app.jobs.requests(&ids).await?;
        for job in page {
            if found.len() == wanted {
                more = true;
                break;
            }
            cursor = Some((job.created_at(), job.id().clone()));
            let order = requests.remove(job.id());
            found.extend(order.filter(|order| is_video(&job, order)).map(|order| (job, order)));
        }
        if !more || found.len() == wanted {
            break;
        }
    }
    let show = show(app);
    let videos: Vec<_> = found.iter().map(|(job, order)| Video::new(job, order, show)).collect();
    // Where the next page begins, also if the last job that was read is no video.
    let last = cursor.map(|(_, id)| id).filter(|_| more || !videos.is_empty());
    Ok(openai::page(&videos, last.as_ref(), more))
}

fn order(request: &Request) -> Result<Age, Problem> {
    match parameter(request, "order").as_deref() {
        None | Some("desc") => Ok(Age::NewestFirst),
        Some("asc") => Ok(Age::OldestFirst),
        Some(_) => {
            Err(bad_parameter("order", "is the order by age", vec!["asc".to_owned(), "desc".to_owned()]))
        }
    }
}

/// The place of the last video of an earlier page.
async fn after(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Option<(Timestamp, JobId)>, Problem> {
    let Some(id) = parameter(request, "after") else { return Ok(None) };
    let unknown = || bad_parameter("after", "is not the id of a video", vec![]);
    let id: JobId = id.parse().map_err(|_invalid| unknown())?;
    let job = read::job(&app.jobs, account, &id).await?.ok_or_else(unknown)?;
    Ok(Some((job.created_at(), id)))
}

/// `GET` and `HEAD /v1/jobs/{id}/content`, `GET /v1/videos/{id}/content`: a redirect to a fresh link.
pub(crate) async fn content(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let (job, variant) = if route_key(request) == routes::VIDEO_CONTENT {
        let variant = parameter(request, "variant").filter(|variant| variant != VIDEO);
        (own(app, request, account).await?.0, variant)
    } else {
        (read::job(&app.jobs, account, &id_of(request)?).await?.ok_or_else(Problem::not_found)?, None)
    };
    let file = file_of(&job)?;
    let now = app.clock.now();
    let link = match *request.method() {
        Method::HEAD => app.media.head_link(file, now, LINK_VALID_FOR).await?,
        _ => app.media.link(file, now, LINK_VALID_FOR).await?,
    };
    let link = match variant {
        Some(variant) => variant_of(app, file, &link, &variant)?,
        None => link,
    };
    let link = HeaderValue::try_from(link).expect("a presigned URL and a template are visible ASCII");
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, link);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The URL of a variant that the operator's CDN makes. A `thumbnail` is a `poster` by their name.
fn variant_of(app: &App, file: &Media, link: &str, name: &str) -> Result<String, Problem> {
    let mut variants = app.variants.of(file, link);
    if let Some(poster) = variants.get("poster").cloned() {
        variants.entry("thumbnail".to_owned()).or_insert(poster);
    }
    variants.remove(name).ok_or_else(|| {
        let allowed = iter::once(VIDEO.to_owned()).chain(variants.into_keys()).collect();
        bad_parameter("variant", "is not made of this video", allowed)
    })
}

fn file_of(job: &Job) -> Result<&Media, Problem> {
    if !job.state().is_terminal() {
        let detail = format!("The job is {}: it has no file yet.", job.state().name());
        return Err(Problem::new(StatusCode::CONFLICT, "not_finished", detail));
    }
    read::file(job).ok_or_else(|| match job.deleted_at() {
        Some(at) => Problem::new(StatusCode::GONE, "media_deleted", format!("The file was deleted at {at}.")),
        None => Problem::new(StatusCode::NOT_FOUND, "no_file", "The job has no file: it ended without one."),
    })
}

/// `POST /v1/ai/video-model/status`.
pub(crate) async fn operation(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let id = gateway::job_id(request)?;
    note_job(&id);
    let job = read::job(&app.jobs, account, &id).await?.ok_or_else(Problem::not_found)?;
    let link = read::link(&app.media, &job, app.clock.now()).await?;
    Ok(gateway::status(&job, link))
}
