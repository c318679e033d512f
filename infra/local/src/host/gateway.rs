//! API Gateway's HTTP API: a request becomes a version 2.0 document, and the function's answer a response.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use data_encoding::BASE64;
use domain::time::Timestamp;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::apis::Route;
use super::function::FunctionError;
use super::{Host, ids};

/// What API Gateway accepts as a request's body.
const REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Of the connection, not of the message: neither passed in nor out.
const HOP_BY_HOP: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")];

/// The parts of a path that its route names, decoded.
type Parameters = BTreeMap<String, String>;

/// The template's routes. Everything else, another method of the same path included, takes the
/// default route; without one it is a 404.
///
/// # Panics
///
/// If two routes have the same key.
pub(super) fn router(host: &Host) -> Router {
    let mut router = Router::new();
    for route in &host.template().routes {
        let Some((method, path)) = route.matches.clone() else { continue };
        let (host, route) = (host.clone(), route.clone());
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let handler = async move |parameters: RawPathParams, request: Request| {
            // A GET route of axum takes HEAD as well; one of API Gateway does not.
            if request.method() == method {
                let parameters = parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                answer(host, route, &parameters.collect(), request).await
            } else {
                without_route(host, request).await
            }
        };
        router = router.route(&as_axum(&path), on(filter, handler));
    }
    let host = host.clone();
    let otherwise = move |request: Request| without_route(host.clone(), request);
    router.fallback(otherwise.clone()).method_not_allowed_fallback(otherwise)
}

/// A path's last parameter may take the rest of it: `{rest+}` in API Gateway, `{*rest}` in axum.
fn as_axum(path: &str) -> String {
    match path.strip_suffix("+}").and_then(|start| start.rsplit_once('{')) {
        Some((start, name)) => format!("{start}{{*{name}}}"),
        None => path.to_owned(),
    }
}

async fn without_route(host: Host, request: Request) -> Response {
    let default = host.template().routes.iter().find(|route| route.matches.is_none()).cloned();
    match default {
        Some(route) => answer(host, route, &Parameters::new(), request).await,
        None => message(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn answer(host: Host, route: Route, parameters: &Parameters, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let arrival = Arrival {
        request_id: ids::api_request_id(),
        trace_id: ids::trace(host.clock().now()),
        at: host.clock().now(),
    };
    let event = document(&host, &route, parameters, &parts, &body, &arrival);
    // In a task of its own: a caller that hangs up does not stop the function.
    let trace_id = arrival.trace_id;
    let invocation = tokio::spawn(async move { host.invoke_traced(&route.function, event, trace_id).await });
    let response = match invocation.await {
        Ok(Ok(answer)) => response(answer),
        Ok(Err(FunctionError::TimedOut { .. })) => {
            Some(message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"))
        }
        Ok(Err(FunctionError::Failed { .. } | FunctionError::Panicked { .. })) | Err(_) => None,
    };
    let mut response =
        response.unwrap_or_else(|| message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"));
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

struct Arrival {
    request_id: String,
    trace_id: String,
    at: Timestamp,
}

fn document(
    host: &Host,
    route: &Route,
    parameters: &Parameters,
    parts: &Parts,
    body: &Bytes,
    arrival: &Arrival,
) -> Value {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let source_ip = peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.0.ip().to_string());
    let deployment = &host.template().deployment;
    let header = |name| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let host_name = header(HOST).unwrap_or_default();
    let domain_name = host_name.split(':').next().unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let path = match &route.matches {
        Some((_, path)) => decoded_path(path, parameters),
        None => percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned(),
    };
    let mut document = json!({
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(&parts.headers, &host_name, &source_ip, &arrival.trace_id),
        "requestContext": {
            "accountId": deployment.account_id,
            "apiId": "local",
            "domainName": domain_name,
            "domainPrefix": domain_name.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": source_ip,
                "userAgent": header(http::header::USER_AGENT).unwrap_or_default(),
            },
            "requestId": arrival.request_id,
            "routeKey": route.key,
            "stage": "$default",
            "time": ids::common_log(arrival.at),
            "timeEpoch": arrival.at.as_millis(),
        },
        "isBase64Encoded": false,
    });
    // The rest is absent, not empty, where there is none.
    if let Some(cookies) = header(COOKIE) {
        document["cookies"] = cookies.split("; ").collect();
    }
    if !query.is_empty() {
        document["queryStringParameters"] = json!(joined(form_urlencoded::parse(query.as_bytes())));
    }
    if !parameters.is_empty() {
        document["pathParameters"] = json!(parameters);
    }
    if !body.is_empty() {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text(header(CONTENT_TYPE).as_deref()));
        document["isBase64Encoded"] = json!(text.is_none());
        document["body"] = json!(text.map_or_else(|| BASE64.encode(body), str::to_owned));
    }
    document
}

/// The path as API Gateway gives it, with its parameters decoded.
fn decoded_path(route: &str, parameters: &Parameters) -> String {
    let decoded = |segment: &'_ str| {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let name = name.map(|name| name.trim_end_matches('+'));
        name.and_then(|name| parameters.get(name)).map_or_else(|| segment.to_owned(), Clone::clone)
    };
    route.split('/').map(decoded).collect::<Vec<_>>().join("/")
}

/// Those of the caller, and those that API Gateway adds.
fn headers(from: &HeaderMap, host: &str, source_ip: &str, trace_id: &str) -> BTreeMap<String, String> {
    let passed = from.iter().filter(|(name, _)| **name != COOKIE && !HOP_BY_HOP.contains(name));
    let text = passed.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let mut headers = joined(text);
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    for (name, value) in [
        ("x-amzn-trace-id", trace_id),
        ("x-forwarded-for", source_ip),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http"),
    ] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    headers
}

/// By name; several values of one name are joined by a comma.
fn joined<K: AsRef<str>, V: AsRef<str>>(pairs: impl Iterator<Item = (K, V)>) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::<String, String>::new();
    for (name, value) in pairs {
        match joined.get_mut(name.as_ref()) {
            Some(before) => {
                before.push(',');
                before.push_str(value.as_ref());
            }
            None => {
                joined.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
            }
        }
    }
    joined
}

fn is_text(content_type: Option<&str>) -> bool {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&&*media_type)
}

/// The function's answer; it has no `multiValueHeaders` in this version of the format.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    headers: Option<BTreeMap<String, Value>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// The response, or `None` if the answer is malformed. An answer without a status is the body of a 200.
fn response(answer: Value) -> Option<Response> {
    if answer.get("statusCode").is_none() {
        return Some(axum::Json(answer).into_response());
    }
    let answer: Answer = serde_json::from_value(answer).ok()?;
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded.unwrap_or(false) {
        BASE64.decode(body.as_bytes()).ok()?
    } else {
        body.into_bytes()
    };
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers.unwrap_or_default() {
        let name = HeaderName::try_from(name).ok()?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if name != CONTENT_LENGTH && !HOP_BY_HOP.contains(&name) {
            headers.insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        headers.append(SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status_code).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "message": text }))).into_response()
}
