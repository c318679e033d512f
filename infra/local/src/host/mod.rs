//! The Lambda service as far as the functions see it: routes, queues, schedules.
//!
//! `infra/template.yaml` declares all of it. Functions run in this process and see only documents; the host
//! does not know what they do.

mod apis;
pub(crate) mod cors;
mod function;
mod gateway;
mod ids;
mod intrinsics;
mod kinds;
mod lineage;
mod mapping;
mod resources;
mod schedule;
mod sockets;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use axum::Router;
use axum::middleware::from_fn_with_state;
use serde_json::Value;
use shared::boot::Clock;
use sim::guard::guarded;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use lineage::Lineage;

pub use apis::{DEFAULT_ROUTE, Route, SocketApi};
pub use cors::{ApiCors, BucketCors};
pub use function::{Function, FunctionError, Invocation, event_function, http_function};
pub use intrinsics::Deployment;
pub use lineage::current_trace;
pub use mapping::{Attribute, Received, Source};
pub use template::{FunctionSpec, Grant, Mapping, Queue, Redrive, Schedule, Template};

/// The functions by package, as they are given to [`Host::new`].
pub type Functions = HashMap<String, Arc<dyn Function>>;

/// The running stack: a handle to share.
///
/// A function's failure, panic or hang ends its invocation and nothing else.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    template: Template,
    functions: BTreeMap<String, Arc<dyn Function>>,
    source: Arc<dyn Source>,
    clock: Clock,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("functions", &self.0.functions.keys()).finish_non_exhaustive()
    }
}

impl Host {
    /// # Errors
    ///
    /// If a function of the template is not given, or one is given that is not in the template.
    pub fn new(
        template: Template,
        functions: Functions,
        source: Arc<dyn Source>,
        clock: Clock,
    ) -> Result<Self> {
        let functions: BTreeMap<_, _> = functions.into_iter().collect();
        let same = functions.keys().eq(template.functions.keys());
        let (given, declared) = (functions.keys(), template.functions.keys());
        ensure!(same, "given are the functions {given:?}, and the template declares {declared:?}");
        Ok(Self(Arc::new(Inner { template, functions, source, clock })))
    }

    pub fn template(&self) -> &Template {
        &self.0.template
    }

    /// The HTTP API, to be served with connection info or used as a fallback service.
    pub fn router(&self) -> Router {
        gateway::router(self)
    }

    /// Serves the HTTP API, and routes that only this machine has, until `shutdown`; then finishes the
    /// requests in progress.
    pub async fn serve_http(
        &self,
        listener: TcpListener,
        local: Router,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let public = self.template().deployment.api_endpoint.parse().ok();
        let cors = self.template().cors.clone();
        let origins = cors.as_ref().map(|cors| cors.allow_origins.clone()).unwrap_or_default();
        let router = guarded(self.router(), public.as_ref(), origins);
        let router = match cors {
            Some(cors) => router.layer(from_fn_with_state(cors, cors::answer)),
            None => router,
        };
        let router = router.merge(guarded(local, None, Vec::new()));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    /// Serves the WebSocket API until `shutdown`, and what sends to its connections; nothing without one.
    pub async fn serve_sockets(&self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let Some(api) = self.template().sockets.clone() else { return Ok(()) };
        let service =
            sockets::router(self, &api, &shutdown).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    /// Runs every mapping and schedule until `shutdown`, then finishes the batches in progress.
    ///
    /// Dropped, it abandons them as the end of the process would.
    ///
    /// # Errors
    ///
    /// If the source of messages fails; the other mappings are abandoned then.
    pub async fn run_background(&self, shutdown: CancellationToken) -> Result<()> {
        let mut running = JoinSet::new();
        for mapping in self.0.template.mappings.clone() {
            running.spawn(mapping::run(self.clone(), mapping, shutdown.clone()));
        }
        for schedule in self.0.template.schedules.clone() {
            let run = schedule::run(self.clone(), schedule, shutdown.clone());
            running.spawn(async move {
                run.await;
                Ok(())
            });
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Gives every mapping one batch, one after the other, and returns the number of messages.
    ///
    /// Zero means that no queue has a visible message for a function.
    ///
    /// # Errors
    ///
    /// If the source of messages fails.
    pub async fn step_queues(&self) -> Result<usize> {
        let mut messages = 0;
        for mapping in &self.0.template.mappings {
            messages += mapping::step(self, mapping).await?;
        }
        Ok(messages)
    }

    /// Fires every schedule once, one after the other, and waits for the functions.
    pub async fn fire_schedules(&self) {
        for schedule in &self.0.template.schedules {
            schedule::fire(self, schedule).await;
        }
    }

    /// Invokes one function, by package, as the platform would.
    ///
    /// # Errors
    ///
    /// If it returns an error, panics, or is not done within its timeout. The failure has been logged.
    ///
    /// # Panics
    ///
    /// If the template has no such function.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, FunctionError> {
        let trace_id = ids::trace(self.clock().now());
        self.invoke_traced(function, event, trace_id).await
    }

    async fn invoke_traced(
        &self,
        function: &str,
        event: Value,
        trace_id: String,
    ) -> Result<Value, FunctionError> {
        let Template { deployment, functions, .. } = &self.0.template;
        let spec = &functions[function];
        let deadline = self.clock().now() + spec.timeout;
        let function_arn = deployment.arn("lambda", &format!("function:{}", spec.name));
        let trace_id = Lineage::parse(&trace_id).entered(&function_arn).to_string();
        let invocation = Invocation {
            request_id: ids::uuid(),
            function_name: spec.name.clone(),
            function_arn,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(0),
            trace_id: trace_id.clone(),
        };
        let request_id = invocation.request_id.clone();
        let handler = self.0.functions[function].as_ref();
        let outcome =
            lineage::traced(trace_id, function::contain(handler, event, invocation, spec.timeout)).await;
        if let Err(error) = &outcome {
            tracing::warn!(function, request_id, %error, "function.failed");
        }
        outcome
    }

    fn source(&self) -> &dyn Source {
        self.0.source.as_ref()
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }
}
