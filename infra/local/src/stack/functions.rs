//! Every function, with the environment that the template gives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use futures_util::future::{BoxFuture, try_join_all};
use serde_json::Value;
use shared::boot::{Clock, Env, Process};

use crate::host::{Function, FunctionError, Functions, Invocation, Template, event_function, http_function};

/// A package's `handle` over its `App`, as a function of the platform.
macro_rules! deploy {
    ($wrap:ident, $package:ident, $process:expr) => {{
        let (app, tracer) = (Arc::new($package::App::new($process)?), $process.tracer()?);
        $wrap(move |event| {
            let (app, tracer) = (Arc::clone(&app), tracer.clone());
            async move { tracer.invocation($package::handle(&app, event)).await }
        })
    }};
}

/// The platform has the AWS endpoints; the template does not.
const ENDPOINTS: [&str; 4] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SQS",
];

pub(super) async fn all(
    template: &Template,
    operator: &Process,
    clocks: &BTreeMap<String, Vec<Clock>>,
) -> Result<Functions> {
    let started = template.functions.iter().map(async |(name, spec)| {
        let endpoints =
            ENDPOINTS.map(|name| (name.to_owned(), operator.env.get(name).unwrap_or_default().to_owned()));
        let env = Env::from_pairs(spec.environment.clone().into_iter().chain(endpoints));
        let process = Process { env, ..operator.clone() }.with_references().await?;
        let start = |process: &Process| {
            start_function(name, process).with_context(|| format!("function {name} does not start"))
        };
        let Some(clocks) = clocks.get(name) else { return Ok((name.clone(), start(&process)?)) };
        let instances = clocks.iter().map(|clock| {
            let inner = start(&Process { clock: clock.clone(), ..process.clone() })?;
            anyhow::Ok(Skewed { inner, clock: clock.clone(), platform: operator.clock.clone() })
        });
        let instances = Instances { all: instances.collect::<Result<_>>()?, next: AtomicUsize::new(0) };
        anyhow::Ok((name.clone(), Arc::new(instances) as Arc<dyn Function>))
    });
    Ok(try_join_all(started).await?.into_iter().collect())
}

/// Several instances of one function, invoked in turn.
struct Instances {
    all: Vec<Skewed>,
    next: AtomicUsize,
}

impl Function for Instances {
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.all[turn % self.all.len()].invoke(event, context)
    }
}

/// A function whose clock is not the platform's. It finds its deadline on its own: how much time
/// an invocation has is no matter of what time it is.
struct Skewed {
    inner: Arc<dyn Function>,
    clock: Clock,
    platform: Clock,
}

impl Function for Skewed {
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        let skew = self.clock.now().as_millis() - self.platform.now().as_millis();
        let deadline_ms = context.deadline_ms.saturating_add_signed(skew);
        self.inner.invoke(event, Invocation { deadline_ms, ..context })
    }
}

/// Starts one function, by package, in this process.
///
/// # Errors
///
/// If its environment is not complete: every variable that is missing or wrong is named.
pub fn start_function(name: &str, process: &Process) -> Result<Arc<dyn Function>> {
    Ok(match name {
        "submit" => deploy!(http_function, submit, process),
        "webhook" => deploy!(http_function, webhook, process),
        "status" => deploy!(http_function, status, process),
        "console" => deploy!(http_function, console, process),
        "cancel" => deploy!(http_function, cancel, process),
        "endpoints" => deploy!(http_function, endpoints, process),
        "topups" => deploy!(http_function, topups, process),
        "payment" => deploy!(event_function, payment, process),
        "notify" => deploy!(event_function, notify, process),
        "deliver" => deploy!(event_function, deliver, process),
        "dispatch" => deploy!(event_function, dispatch, process),
        "fetch" => deploy!(event_function, fetch, process),
        "settle" => deploy!(event_function, settle, process),
        "socket" => deploy!(event_function, socket, process),
        "poll" => deploy!(event_function, poll, process),
        "health" => deploy!(event_function, health, process),
        "reconcile" => deploy!(event_function, reconcile, process),
        _ => bail!("the template declares a function that has no package"),
    })
}
