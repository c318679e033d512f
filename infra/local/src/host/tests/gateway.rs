use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt;
use lambda_http::{Body as LambdaBody, RequestExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::{Function, FunctionError, Host, Invocation, Template, http_function};
use super::{Hang, Memory, deployment, fails, host, host_of, script};

async fn send(host: &Host, request: Request<Body>) -> Response<Body> {
    host.router().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> (StatusCode, String) {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, String::from_utf8(body.to_vec()).unwrap())
}

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("host", "127.0.0.1:8080").header("content-type", content_type);
    request.body(body.into()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "127.0.0.1:8080").body(Body::empty()).unwrap()
}

/// The document that `status` gets for the request.
async fn event(request: Request<Body>) -> Value {
    let (status, seen) = script(|_| Ok(json!({ "statusCode": 200 })));
    let response = send(&host("status", status, &Arc::default()), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let seen = seen.lock().unwrap();
    seen[0].0.clone()
}

#[tokio::test]
async fn a_request_becomes_the_platforms_document() {
    let request = Request::get("/v1/jobs/a%2Fb%20c?limit=2&status=a+b&limit=3")
        .header("Host", "api.example.com:8080")
        .header("User-Agent", "curl/8")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Cookie", "a=1; b=2")
        .header("Connection", "keep-alive")
        .body(Body::empty())
        .unwrap();
    let mut event = event(request).await;
    let request_id = event["requestContext"]["requestId"].take();
    let trace = event["headers"]["x-amzn-trace-id"].take();
    assert_eq!(request_id.as_str().unwrap().len(), 16);
    assert!(trace.as_str().unwrap().starts_with("Root=1-6553f100-"), "{trace}");
    assert_eq!(
        event,
        json!({
            "version": "2.0",
            "routeKey": "GET /v1/jobs/{id}",
            "rawPath": "/v1/jobs/a/b c",
            "rawQueryString": "limit=2&status=a+b&limit=3",
            "cookies": ["a=1", "b=2"],
            "headers": {
                "host": "api.example.com:8080",
                "user-agent": "curl/8",
                "x-amzn-trace-id": null,
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "8080",
                "x-forwarded-proto": "http",
                "x-twice": "one,two",
            },
            "queryStringParameters": { "limit": "2,3", "status": "a b" },
            "pathParameters": { "id": "a/b c" },
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "domainName": "api.example.com",
                "domainPrefix": "api",
                "http": {
                    "method": "GET",
                    "path": "/v1/jobs/a/b c",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl/8",
                },
                "requestId": null,
                "routeKey": "GET /v1/jobs/{id}",
                "stage": "$default",
                "time": "14/Nov/2023:22:13:20 +0000",
                "timeEpoch": 1_700_000_000_120_i64,
            },
            "isBase64Encoded": false,
        })
    );
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_not_empty() {
    let event = event(get("/v1/jobs")).await;
    for absent in ["body", "cookies", "pathParameters", "queryStringParameters", "stageVariables"] {
        assert_eq!(event.get(absent), None, "{absent}");
    }
    assert_eq!(event["rawQueryString"], "");
}

#[tokio::test]
async fn the_document_is_one_that_lambda_http_reads() {
    let document = event(get("/v1/jobs/job_1?limit=2&limit=3")).await;
    let request: LambdaRequest = serde_json::from_value(document).unwrap();
    let LambdaRequest::ApiGatewayV2(event) = &request else { panic!("{request:?}") };
    assert_eq!(event.request_context.time_epoch, 1_700_000_000_120);
    assert_eq!(event.route_key.as_deref(), Some("GET /v1/jobs/{id}"));
    let request = lambda_http::Request::from(request);
    assert_eq!(request.uri(), "http://127.0.0.1:8080/v1/jobs/job_1?limit=2&limit=3");
    assert_eq!(request.path_parameters().first("id"), Some("job_1"));
    assert_eq!(request.query_string_parameters().all("limit"), Some(vec!["2", "3"]));
}

#[tokio::test]
async fn a_lambda_http_handler_sees_the_bytes_that_were_sent_and_answers_in_kind() {
    let echo = http_function(|request: lambda_http::Request| async move {
        // lambda_http answers in base64 unless the type says that it is text.
        let (kind, content_type) = match request.body() {
            LambdaBody::Text(_) => ("text", "text/plain"),
            LambdaBody::Binary(_) => ("binary", "video/mp4"),
            _ => ("other", "text/plain"),
        };
        let token = request.path_parameters().first("token").unwrap().to_owned();
        let response = Response::builder().status(201).header("content-type", content_type);
        let response = response.header("x-kind", kind).header("x-token", token);
        Ok::<_, Infallible>(response.body(request.into_body()).unwrap())
    });
    let host = host("webhook", echo, &Arc::default());
    for (content_type, body, kind) in [
        ("application/json; charset=utf-8", &b"{\"a\": \"\xc3\xa9\"}"[..], "text"),
        ("text/plain", b"plain", "text"),
        ("application/json", b"\xff\xfe", "binary"),
        ("application/octet-stream", b"ascii", "binary"),
        ("application/x-www-form-urlencoded", b"a=1", "binary"),
        ("", b"untyped", "binary"),
    ] {
        let response = send(&host, post("/v1/webhooks/fal/tok%65n", content_type, body)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["x-kind"], kind, "{content_type}");
        assert_eq!(response.headers()["x-token"], "token");
        let echoed = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(echoed, body, "{content_type}");
    }
}

#[tokio::test]
async fn a_path_or_method_without_a_route_takes_the_default_route() {
    let (status, seen) = script(|_| Ok(json!({ "statusCode": 404, "body": "nothing" })));
    let host = host("status", status, &Arc::default());
    for (method, path) in [
        ("GET", "/v1"),
        ("GET", "/v1/jobs/"),
        ("GET", "/v1/jobs/a/b"),
        ("HEAD", "/v1/jobs"),
        ("PUT", "/v1/jobs"),
        ("DELETE", "/v1/jobs/a"),
        ("POST", "/v1/webhooks/fal"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = send(&host, request).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
        let (event, _) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(event["routeKey"], "$default", "{method} {path}");
        assert_eq!((&event["rawPath"], event.get("pathParameters")), (&json!(path), None));
        assert_eq!(event["requestContext"]["http"]["method"], method);
    }
}

#[tokio::test]
async fn an_answer_becomes_a_response() {
    let (submit, _) = script(|_| {
        Ok(json!({
            "statusCode": 202,
            "headers": { "Location": "/v1/jobs/a", "retry-after": 3, "content-length": "99" },
            "cookies": ["a=1; Secure", "b=2"],
            "body": "hello",
        }))
    });
    let response = send(&host("submit", submit, &Arc::default()), post("/v1/jobs", "", "")).await;
    let headers = response.headers();
    assert_eq!(headers["location"], "/v1/jobs/a");
    assert_eq!(headers["retry-after"], "3");
    assert_eq!(headers["content-type"], "text/plain;charset=UTF-8");
    assert_eq!(headers["apigw-requestid"].len(), 16);
    assert_eq!(headers["content-length"], "5");
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1; Secure", "b=2"]);
    assert_eq!(text(response).await, (StatusCode::ACCEPTED, "hello".to_owned()));
}

#[tokio::test]
async fn an_answer_without_a_status_is_the_body_of_a_200() {
    let (submit, _) = script(|_| Ok(json!({ "a": 1 })));
    let response = send(&host("submit", submit, &Arc::default()), post("/v1/jobs", "", "")).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(text(response).await, (StatusCode::OK, r#"{"a":1}"#.to_owned()));
}

#[tokio::test]
async fn a_malformed_answer_is_an_internal_error() {
    for answer in [
        json!({ "statusCode": "two hundred" }),
        json!({ "statusCode": 1000 }),
        json!({ "statusCode": 200, "body": { "a": 1 } }),
        json!({ "statusCode": 200, "body": "not base64!", "isBase64Encoded": true }),
        json!({ "statusCode": 200, "headers": { "bad name": "x" } }),
        json!({ "statusCode": 200, "headers": { "x": "line\nbreak" } }),
    ] {
        let (submit, _) = script(move |_| Ok(answer.clone()));
        let response = send(&host("submit", submit, &Arc::default()), post("/v1/jobs", "", "")).await;
        let (status, body) = text(response).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, r#"{"message":"Internal Server Error"}"#);
    }
}

#[tokio::test]
async fn an_error_and_a_panic_are_hidden_and_do_not_end_the_host() {
    let (submit, seen) = script(|event| match event["body"].as_str() {
        Some("fail") => fails(),
        Some("panic") => panic!("on purpose"),
        _ => Ok(json!({ "statusCode": 200 })),
    });
    let host = host("submit", submit, &Arc::default());
    for body in ["fail", "panic"] {
        let (status, text) = text(send(&host, post("/v1/jobs", "text/plain", body)).await).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
        assert_eq!(text, r#"{"message":"Internal Server Error"}"#);
    }
    let response = send(&host, post("/v1/jobs", "text/plain", "go on")).await;
    assert_eq!(response.status(), StatusCode::OK);
    // The one that panicked did so before it noted anything.
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_function_that_hangs_is_stopped_at_its_timeout() {
    let mut template = Template::load(deployment()).unwrap();
    template.functions.get_mut("submit").unwrap().timeout = Duration::from_millis(20);
    let host = host_of(template, "submit", Arc::new(Hang), &Arc::default());
    let (status, body) = text(send(&host, post("/v1/jobs", "", "")).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, r#"{"message":"Service Unavailable"}"#);
}

#[tokio::test]
async fn a_function_knows_its_name_its_deadline_and_its_trace() {
    let seen = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&seen);
    let submit = http_function(move |request: lambda_http::Request| {
        *noted.lock().unwrap() = Some((request.lambda_context(), request.headers().clone()));
        async { Ok::<_, Infallible>(Response::new(LambdaBody::Empty)) }
    });
    send(&host("submit", submit, &Arc::default()), post("/v1/jobs", "", "")).await;
    let (context, headers) = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.env_config.function_name, "genmux-submit");
    assert_eq!(context.invoked_function_arn, "arn:aws:lambda:us-east-1:000000000000:function:genmux-submit");
    assert_eq!(context.deadline, 1_700_000_000_120 + 29_000);
    assert_eq!(context.request_id.len(), 36);
    assert_eq!(context.xray_trace_id.as_deref(), headers["x-amzn-trace-id"].to_str().ok());
}

#[tokio::test]
async fn a_body_of_10_mb_passes_and_one_byte_more_does_not() {
    let (submit, seen) = script(|_| Ok(json!({ "statusCode": 200 })));
    let host = host("submit", submit, &Arc::default());
    let body = vec![b' '; 10 * 1024 * 1024];
    let response = send(&host, post("/v1/jobs", "text/plain", body.clone())).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = send(&host, post("/v1/jobs", "text/plain", [&body[..], b" "].concat())).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// Says that it began, and ends when it is let go.
#[derive(Default)]
struct Held {
    begun: Notify,
    open: Notify,
    ended: Notify,
}

impl Function for Arc<Held> {
    fn invoke(&self, _: Value, _: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        async {
            self.begun.notify_one();
            self.open.notified().await;
            self.ended.notify_one();
            Ok(json!({ "statusCode": 200 }))
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_the_function() {
    let held = Arc::new(Held::default());
    let host = host("submit", Arc::new(Arc::clone(&held)), &Arc::default());
    let caller = tokio::spawn(async move { send(&host, post("/v1/jobs", "", "")).await });
    held.begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    held.open.notify_one();
    held.ended.notified().await;
}

#[tokio::test]
async fn the_server_answers_over_tcp_and_finishes_what_it_began() {
    let held = Arc::new(Held::default());
    let source = Arc::<Memory>::default();
    let host = host("submit", Arc::new(Arc::clone(&held)), &source);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/jobs", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let server = tokio::spawn(async move { host.serve_http(listener, axum::Router::new(), stop).await });
    let caller = tokio::spawn(async move { reqwest::Client::new().post(url).send().await });
    held.begun.notified().await;
    shutdown.cancel();
    held.open.notify_one();
    assert_eq!(caller.await.unwrap().unwrap().status(), 200);
    server.await.unwrap().unwrap();
}
