//! API Gateway's WebSocket API: a client's connection is one event, each of its messages is another, and functions
//! send to a connection by a signed call of its own URL.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::BASE64;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::apis::{DEFAULT_ROUTE, SocketApi};
use super::{Host, ids};

/// The limits of the service: <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>.
const MESSAGE_MAX: usize = 128 * 1024;
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
const OPEN_MAX: Duration = Duration::from_secs(2 * 3_600);
/// Messages that wait for one client.
const WAITING_MAX: usize = 1_000;

/// The open connections of the API.
struct Gateway {
    host: Host,
    api: SocketApi,
    open: Mutex<HashMap<String, mpsc::Sender<Message>>>,
    shutdown: CancellationToken,
}

/// Who has connected.
#[derive(Clone)]
struct Client {
    id: String,
    domain: String,
    source_ip: String,
    connected_at: i64,
}

pub(super) fn router(host: &Host, api: &SocketApi, shutdown: &CancellationToken) -> Router {
    let gateway = Arc::new(Gateway {
        host: host.clone(),
        api: api.clone(),
        open: Mutex::default(),
        shutdown: shutdown.clone(),
    });
    let stage = &api.stage;
    Router::new()
        .route(&format!("/{stage}"), get(connect))
        .route(
            &format!("/{stage}/@connections/{{id}}"),
            post(of_function).get(of_function).delete(of_function),
        )
        .with_state(gateway)
}

async fn connect(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_string());
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &gateway).await {
        Ok(upgrade) => upgrade.max_message_size(MESSAGE_MAX),
        Err(refused) => return refused.into_response(),
    };
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let client = Client {
        id: ids::connection(),
        domain: host.unwrap_or_default().to_owned(),
        source_ip: peer.unwrap_or_else(|| "127.0.0.1".to_owned()),
        connected_at: gateway.host.clock().now().as_millis(),
    };
    let mut event = gateway.event(&client, "$connect", "CONNECT");
    event["headers"] = json!(headers(&parts.headers));
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<_, _> = query.into_owned().collect();
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query);
    }
    match gateway.invoke("$connect", event).await.map(|answer| answer["statusCode"].as_u64()) {
        Some(Some(200..=299)) => upgrade.on_upgrade(move |socket| serve(gateway, client, socket)),
        Some(Some(status)) => {
            let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn headers(of: &HeaderMap) -> BTreeMap<String, String> {
    let text = of.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    text.map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
}

/// One connection, until either side or a limit ends it.
async fn serve(gateway: Arc<Gateway>, client: Client, mut socket: WebSocket) {
    let (sender, mut outgoing) = mpsc::channel(WAITING_MAX);
    gateway.open().insert(client.id.clone(), sender.clone());
    let until = tokio::time::Instant::now() + OPEN_MAX;
    let mut idle_from = tokio::time::Instant::now();
    loop {
        let ends = until.min(idle_from + IDLE_MAX);
        tokio::select! {
            () = gateway.shutdown.cancelled() => break,
            () = tokio::time::sleep_until(ends) => break,
            message = outgoing.recv() => {
                // It may be closed by a function.
                let Some(message) = message.filter(|message| !matches!(message, Message::Close(_))) else { break };
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            received = socket.recv() => {
                let Some(Ok(message)) = received else { break };
                let (body, is_binary) = match message {
                    Message::Text(text) => (text.to_string(), false),
                    Message::Binary(bytes) => (BASE64.encode(&bytes), true),
                    Message::Close(_) => break,
                    Message::Ping(_) | Message::Pong(_) => continue,
                };
                tokio::spawn(answer(Arc::clone(&gateway), client.clone(), body, is_binary, sender.clone()));
            }
        }
        idle_from = tokio::time::Instant::now();
    }
    gateway.open().remove(&client.id);
    let frame = CloseFrame { code: 1001, reason: Utf8Bytes::from_static("Going away") };
    let _is_closed = socket.send(Message::Close(Some(frame))).await;
    let event = gateway.event(&client, "$disconnect", "DISCONNECT");
    let _answer = gateway.invoke("$disconnect", event).await;
}

/// Passes one message on, and sends back what the function returns.
async fn answer(
    gateway: Arc<Gateway>,
    client: Client,
    body: String,
    is_binary: bool,
    sender: mpsc::Sender<Message>,
) {
    let mut event = gateway.event(&client, DEFAULT_ROUTE, "MESSAGE");
    event["requestContext"]["messageId"] = json!(ids::api_request_id());
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(is_binary);
    let answer = gateway.invoke(DEFAULT_ROUTE, event).await;
    let body = match &answer {
        Some(answer) => answer["body"].as_str().map(str::to_owned),
        None => Some(json!({"message": "Internal server error", "connectionId": client.id}).to_string()),
    };
    if let Some(body) = body {
        let _is_open = sender.send(Message::Text(body.into())).await;
    }
}

/// A call of a function about one connection.
async fn of_function(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MESSAGE_MAX).await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException");
    };
    let method = parts.method.clone();
    if !sim::channels::is_signed(gateway.host.clock().now(), parts, body.clone(), "execute-api") {
        return refused(StatusCode::FORBIDDEN, "ForbiddenException");
    }
    let Some(connection) = gateway.open().get(&id).cloned() else {
        return refused(StatusCode::GONE, "GoneException");
    };
    let message = match method {
        Method::POST => text(body),
        Method::DELETE => Message::Close(None),
        _ => return StatusCode::OK.into_response(),
    };
    match connection.try_send(message) {
        Ok(()) if method == Method::DELETE => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => StatusCode::OK.into_response(),
        Err(mpsc::error::TrySendError::Full(_)) => {
            refused(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException")
        }
        Err(mpsc::error::TrySendError::Closed(_)) => refused(StatusCode::GONE, "GoneException"),
    }
}

fn text(body: Bytes) -> Message {
    match Utf8Bytes::try_from(body.clone()) {
        Ok(text) => Message::Text(text),
        Err(_not_text) => Message::Binary(body),
    }
}

fn refused(status: StatusCode, code: &'static str) -> Response {
    (status, [("x-amzn-errortype", code)], axum::Json(json!({ "message": code }))).into_response()
}

impl Gateway {
    fn open(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Message>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, client: &Client, route: &str, kind: &str) -> Value {
        let now = self.host.clock().now();
        json!({
            "requestContext": {
                "routeKey": route,
                "eventType": kind,
                "extendedRequestId": ids::api_request_id(),
                "requestTime": ids::common_log(now),
                "messageDirection": "IN",
                "stage": self.api.stage,
                "connectedAt": client.connected_at,
                "requestTimeEpoch": now.as_millis(),
                "identity": {"sourceIp": client.source_ip},
                "requestId": ids::api_request_id(),
                "domainName": client.domain,
                "connectionId": client.id,
                "apiId": "local",
            },
            "isBase64Encoded": false,
        })
    }

    /// `None` if the function failed; that is logged.
    async fn invoke(&self, route: &str, event: Value) -> Option<Value> {
        let trace_id = ids::trace(self.host.clock().now());
        self.host.invoke_traced(&self.api.routes[route], event, trace_id).await.ok()
    }
}
