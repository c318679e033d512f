//! A deployed function as the Lambda service sees it, and how a handler becomes one.

use std::any::Any;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Request, Response, Service};
use lambda_runtime::{Config, Context, Diagnostic, LambdaEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One deployed function, as the Lambda service sees it: a document in, a document out.
pub trait Function: Send + Sync {
    /// May be called many times at once. Dropping the future is what the end of the process is in Lambda.
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>>;
}

/// The context of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub request_id: String,
    pub function_name: String,
    pub function_arn: String,
    /// When the function is stopped, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// The X-Ray header.
    pub trace_id: String,
}

/// Why a function returned no answer.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    #[error("it returned an error: {error_message} ({error_type})")]
    Failed { error_type: String, error_message: String },
    #[error("it panicked: {message}")]
    Panicked { message: String },
    #[error("it was stopped after {}s", after.as_secs_f32())]
    TimedOut { after: Duration },
}

/// A function from a `lambda_http` handler: API Gateway's document in, its answer document out.
pub fn http_function<F, Fut, E>(handler: F) -> Arc<dyn Function>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    E: Into<Diagnostic> + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(Handler(move |event: Value, context: Invocation| {
        let handler = Arc::clone(&handler);
        async move {
            let request: LambdaRequest = serde_json::from_value(event).map_err(unreadable)?;
            let mut adapter = Adapter::from(lambda_http::service_fn(move |request| handler(request)));
            let answer = adapter.call(LambdaEvent::new(request, context.into())).await.map_err(failed)?;
            serde_json::to_value(answer).map_err(unreadable)
        }
        .boxed()
    }))
}

/// A function from a `lambda_runtime` handler for one type of event.
pub fn event_function<T, R, F, Fut, E>(handler: F) -> Arc<dyn Function>
where
    T: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    F: Fn(LambdaEvent<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Diagnostic> + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(Handler(move |event: Value, context: Invocation| {
        let handler = Arc::clone(&handler);
        async move {
            let event: T = serde_json::from_value(event).map_err(unreadable)?;
            let answer = handler(LambdaEvent::new(event, context.into())).await.map_err(failed)?;
            serde_json::to_value(answer).map_err(unreadable)
        }
        .boxed()
    }))
}

/// Runs one invocation for at most `limit`. Neither a panic nor a hang gets past this.
pub(super) async fn contain(
    function: &dyn Function,
    event: Value,
    context: Invocation,
    limit: Duration,
) -> Result<Value, FunctionError> {
    // The call itself is inside as well: it may panic before it gives a future.
    let invocation = AssertUnwindSafe(async { function.invoke(event, context).await }).catch_unwind();
    match tokio::time::timeout(limit, invocation).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => Err(FunctionError::Panicked { message: panic_message(panic.as_ref()) }),
        Err(_elapsed) => Err(FunctionError::TimedOut { after: limit }),
    }
}

struct Handler<F>(F);

impl<F> Function for Handler<F>
where
    F: Fn(Value, Invocation) -> BoxFuture<'static, Result<Value, FunctionError>> + Send + Sync,
{
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        (self.0)(event, context)
    }
}

impl From<Invocation> for Context {
    fn from(invocation: Invocation) -> Self {
        let mut context = Self::default();
        context.request_id = invocation.request_id;
        context.deadline = invocation.deadline_ms;
        context.invoked_function_arn = invocation.function_arn;
        context.xray_trace_id = Some(invocation.trace_id);
        let version = "$LATEST".to_owned();
        context.env_config =
            Arc::new(Config { function_name: invocation.function_name, version, ..Config::default() });
        context
    }
}

fn failed(error: impl Into<Diagnostic>) -> FunctionError {
    let Diagnostic { error_type, error_message } = error.into();
    FunctionError::Failed { error_type, error_message }
}

/// What the Lambda runtime does with an event, or an answer, that does not fit the handler's types.
fn unreadable(error: impl Display) -> FunctionError {
    FunctionError::Failed { error_type: "Serialization".to_owned(), error_message: error.to_string() }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
