//! `endpoints`: where an account's events go, what was sent there, and the events themselves.

use std::convert::Infallible;
use std::str::FromStr;

use domain::endpoint::Offers;
use domain::public_url::Reach;
use lambda_http::http::Method;
use lambda_http::http::header::{CACHE_CONTROL, HeaderValue};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::{Clock, Process, Random, StartError, config, senders};
use shared::edge::auth::Authenticator;
use shared::edge::http::{Problem, answer, check_version, route_key};
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::queue::Queue;
use shared::store::sockets::Sockets;
use signatures::own::Master;
use url::Url;

mod crud;
mod deliveries;
mod test;
mod ticket;
mod unsubscribe;

/// Everything `endpoints` may touch.
#[derive(Debug)]
pub struct App {
    pub callers: Authenticator,
    pub endpoints: EndpointStore,
    pub events: EventStore,
    pub sockets: Sockets,
    pub notify: Queue,
    pub deliver: Queue,
    pub master: Master,
    /// Allowed hosts of endpoints.
    pub reach: Reach,
    /// What the owner has set up.
    pub offers: Offers,
    /// The stage of the WebSocket API.
    pub socket_url: Url,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let (reach, master) = (config::reach(&mut read), config::endpoint_master(&mut read));
        let rate = config::key_rate(&mut read);
        let notify = config::queue(process, &mut read, "NOTIFY_QUEUE_URL");
        let deliver = config::queue(process, &mut read, "DELIVER_QUEUE_URL");
        let offers = senders::offers(&mut read);
        let socket_url = config::socket_url(&mut read);
        let Some((master, socket_url)) = read.finish(master.zip(socket_url))? else {
            unreachable!("a missing secret or URL is a problem")
        };
        Ok(Self {
            callers: Authenticator::new(KeyStore::new(table.clone()), rate),
            endpoints: EndpointStore::new(table.clone()),
            events: EventStore::new(table.clone()),
            sockets: Sockets::new(table),
            notify,
            deliver,
            master,
            reach,
            offers,
            socket_url,
            clock: process.clock.clone(),
            random: process.random.clone(),
        })
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(Box::pin(answer(&request, route(app, &request))).await)
}

async fn route(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    check_version(request.headers())?;
    let key = route_key(request);
    let mut response = match key {
        "GET /v1/unsubscribe/{token}" => unsubscribe::ask(app, request).await,
        "POST /v1/unsubscribe/{token}" => unsubscribe::unsubscribe(app, request).await,
        _ => of_account(app, request, key).await,
    }?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a key is needed for.
async fn of_account(app: &App, request: &Request, key: &str) -> Result<Response<Body>, Problem> {
    let is_read = request.method() == Method::GET && !key.ends_with("/secret") || key.ends_with("/tickets");
    let scope = if is_read { Scope::Read } else { Scope::Write };
    let account = &app.callers.account(request.headers(), scope, app.clock.now()).await?;
    match key {
        "POST /v1/endpoints" => crud::create(app, request, account).await,
        "GET /v1/endpoints" => crud::list(app, account).await,
        "GET /v1/endpoints/{id}" => crud::get(app, account, &id(request)?).await,
        "PATCH /v1/endpoints/{id}" => crud::change(app, request, account, &id(request)?).await,
        "DELETE /v1/endpoints/{id}" => crud::delete(app, account, &id(request)?).await,
        "GET /v1/endpoints/{id}/secret" => crud::secret(app, account, &id(request)?).await,
        "POST /v1/endpoints/{id}/secret/rotate" => crud::rotate(app, request, account, &id(request)?).await,
        "POST /v1/endpoints/{id}/tickets" => ticket::create(app, account, &id(request)?).await,
        "POST /v1/endpoints/{id}/test" => test::test(app, account, &id(request)?).await,
        "POST /v1/endpoints/{id}/recover" => deliveries::recover(app, request, account, &id(request)?).await,
        "GET /v1/endpoints/{id}/deliveries" => {
            deliveries::of_endpoint(app, request, account, &id(request)?).await
        }
        "GET /v1/events" => deliveries::events(app, request, account).await,
        "GET /v1/events/{id}" => deliveries::event(app, account, &id(request)?).await,
        "GET /v1/events/{id}/deliveries" => deliveries::of_event(app, account, &id(request)?).await,
        "POST /v1/events/{id}/redeliver" => deliveries::redeliver(app, request, account, &id(request)?).await,
        _ => Err(Problem::no_route()),
    }
}

/// The id in the path; one that is malformed does not exist.
fn id<T: FromStr>(request: &Request) -> Result<T, Problem> {
    let id = request.path_parameters().first("id").and_then(|id| id.parse().ok());
    id.ok_or_else(Problem::not_found)
}
