//! `console`: pages for people. They read and change what the API does, by the same use cases.

use std::convert::Infallible;

use domain::catalog::Catalog;
use domain::id::{AccountId, JobId};
use domain::provider::Provider;
use domain::public_url::Reach;
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::payments::{self, Till};
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::auth::Authenticator;
use shared::edge::http::{Problem, answer, route_key};
use shared::edge::note_job;
use shared::operate::cancel::Cancel;
use shared::operate::submit::Submit;
use shared::store::Table;
use shared::store::accounts::Accounts;
use shared::store::admission::AdmissionStore;
use shared::store::budgets::BudgetStore;
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::jobs::JobStore;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Ledger;
use shared::store::media::MediaStore;
use shared::store::purchases::Purchases;
use shared::store::queue::Queue;
use shared::store::sessions::Sessions;
use shared::store::watch::WatchStore;

mod assets;
mod docs;
mod form;
mod layout;
mod pages;
mod session;

use form::Form;
use layout::Layout;
use session::Visitor;

/// Everything `console` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub sessions: Sessions,
    pub table: Table,
    pub jobs: JobStore,
    pub ledger: Ledger,
    pub budgets: BudgetStore,
    pub endpoints: EndpointStore,
    pub events: EventStore,
    pub accounts: Accounts,
    pub admission: AdmissionStore,
    pub watch: WatchStore,
    pub media: MediaStore,
    pub submit: Submit,
    pub cancel: Cancel,
    pub purchases: Purchases,
    pub till: Till,
    pub notify: Queue,
    pub deliver: Queue,
    pub catalog: Catalog,
    pub providers: Vec<Provider>,
    /// Allowed hosts of URLs in requests.
    pub reach: Reach,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let providers = config::providers(&mut read);
        let notify = config::queue(process, &mut read, "NOTIFY_QUEUE_URL");
        let app = Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), config::key_rate(&mut read)),
            sessions: Sessions::new(table.clone()),
            ledger: Ledger::new(table.clone()),
            budgets: BudgetStore::new(table.clone()),
            endpoints: EndpointStore::new(table.clone()),
            events: EventStore::new(table.clone()),
            accounts: Accounts::new(table.clone()),
            admission: AdmissionStore::new(table.clone()),
            watch: WatchStore::new(table.clone()),
            purchases: Purchases::new(table.clone()).announcing(notify.clone()),
            till: payments::till(process, &mut read),
            notify,
            deliver: config::queue(process, &mut read, "DELIVER_QUEUE_URL"),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            submit: Submit::new(
                &table,
                config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
                config::live_jobs_max(&mut read),
            ),
            cancel: Cancel::new(
                config::jobs(process, &mut read, &table),
                table.clone(),
                config::queue(process, &mut read, "POLL_QUEUE_URL"),
                read.optional("CANCEL_REFUND", "less_cost or full").unwrap_or_default(),
            ),
            catalog: config::catalog(&mut read).only(&providers),
            providers,
            reach: config::reach(&mut read),
            jobs: JobStore::new(table.clone()),
            table,
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, async { Ok(page(app, &request).await) })).await)
}

/// A page; a problem is a page, too.
async fn page(app: &App, request: &Request) -> Response<Body> {
    if route_key(request) == docs::ROUTE {
        return docs::show(&Layout::new(request.raw_http_path().strip_suffix("/docs").unwrap_or_default()));
    }
    let (base, path) = split(request.raw_http_path());
    let layout = Layout::new(base);
    if let Some(asset) = assets::find(path) {
        return asset;
    }
    let found = match session::visitor(app, request).await {
        Ok(visitor) => Box::pin(route(app, request, &layout, path, visitor.as_ref())).await,
        Err(problem) => Err(problem),
    };
    found.unwrap_or_else(|problem| layout.problem(&problem))
}

/// The base path of a custom domain, and the path below `/console`.
fn split(path: &str) -> (&str, &str) {
    match path.find("/console") {
        Some(start) => (&path[..start], path[start + "/console".len()..].trim_matches('/')),
        None => (path.trim_end_matches('/'), ""),
    }
}

async fn route(
    app: &App,
    request: &Request,
    layout: &Layout<'_>,
    path: &str,
    visitor: Option<&Visitor>,
) -> Result<Response<Body>, Problem> {
    let is_post = request.method() == Method::POST;
    if is_post {
        session::check_origin(request)?;
    }
    let form = Form::of(request);
    let Some(visitor) = visitor else {
        return match (is_post, path) {
            (true, "sign-in") => session::sign_in(app, request, layout, &form).await,
            // What a form does is no page: after the sign-in, the overview is shown.
            (true, _) => Ok(layout.sign_in("", None)),
            (false, _) if request.headers().contains_key("hx-request") => Ok(layout.reload(path)),
            (false, _) => Ok(layout.sign_in(path, None)),
        };
    };
    let parts: Vec<&str> = path.split('/').collect();
    let page = Page { app, layout, visitor, form: &form };
    match (is_post, parts.as_slice()) {
        (false, [""]) => pages::overview::show(&page).await,
        (false, ["jobs"]) => pages::jobs::list(&page).await,
        (false, ["jobs", "find"]) => pages::jobs::find(&page),
        (false, ["jobs", id]) => pages::job::show(&page, &job_id(id)?).await,
        (true, ["jobs", id, "cancel"]) => pages::job::cancel(&page, &job_id(id)?).await,
        (false, ["playground"]) => pages::playground::show(&page).await,
        (true, ["playground"]) => pages::playground::submit(&page).await,
        (false, ["gallery"]) => pages::gallery::show(&page).await,
        (false, ["credits"]) => pages::credits::show(&page).await,
        (true, ["credits", "buy"]) => pages::topups::buy(&page, session::origin(request)).await,
        (false, ["credits", id]) => {
            pages::topups::show(&page, id, request.headers().contains_key("hx-request")).await
        }
        (false, ["endpoints"]) => pages::endpoints::list(&page).await,
        (false, ["endpoints", id]) => pages::endpoints::show(&page, id).await,
        (true, ["endpoints", id, action]) => pages::endpoints::change(&page, id, action).await,
        (false, ["key"]) => Ok(pages::key::show(&page)),
        (true, ["sign-out"]) => session::sign_out(app, request, layout).await,
        // Two forms were open, and one has signed in.
        (_, ["sign-in"]) => Ok(layout.redirect("")),
        (_, ["operate", ..]) if !visitor.is_operator() => Err(Problem::not_found()),
        (false, ["operate", "providers"]) => pages::operate::providers(&page).await,
        (true, ["operate", "providers", name, action]) => pages::operate::pause(&page, name, action).await,
        (false, ["operate", "jobs"]) => pages::operate::active(&page).await,
        (false, ["operate", "alarms"]) => pages::operate::alarms(&page).await,
        (false, ["operate", "accounts"]) => pages::operate::account(&page).await,
        _ => Err(Problem::not_found()),
    }
}

/// What a page is made from.
#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    app: &'a App,
    layout: &'a Layout<'a>,
    visitor: &'a Visitor,
    /// The fields of the query and of a posted form.
    form: &'a Form,
}

impl Page<'_> {
    fn account(&self) -> &AccountId {
        &self.visitor.key.account
    }

    /// Fails unless the visitor's key may change things.
    fn check_write(&self) -> Result<(), Problem> {
        if self.visitor.key.scopes.contains(&Scope::Write) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "This key can only read."))
    }
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    let id: JobId = text.parse().map_err(|_not_an_id| Problem::not_found())?;
    note_job(&id);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_base_path_and_the_console() {
        for (path, parts) in [
            ("/", ("", "")),
            ("/console", ("", "")),
            ("/console/", ("", "")),
            ("/console/jobs/job_1", ("", "jobs/job_1")),
            ("/genmux/console/jobs/", ("/genmux", "jobs")),
            ("/genmux/", ("/genmux", "")),
        ] {
            assert_eq!(split(path), parts, "{path}");
        }
    }
}
