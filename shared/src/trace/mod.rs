//! Traces: each job is one, of a request that created it and of all that was done for it.
//!
//! A [`Tracer`] runs an invocation. Within it, [`unit()`] is one request or message, and [`called()`] a call that
//! it made; each becomes a span as soon as its job is known. Without a collector nothing is kept, and only
//! [`current`] is known, for the header `traceparent`.

mod otlp;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::JobId;
use domain::time::Timestamp;
use domain::trace::{SpanId, TraceId, Traceparent};

pub use crate::outside::otlp::{BadExporter, Exporter};

/// Spans of one invocation; more are dropped.
const SPANS_MAX: usize = 1_000;

/// The kind of a span, as OpenTelemetry numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server = 2,
    Client = 3,
    Consumer = 5,
}

/// A finished span.
#[derive(Debug, Clone)]
struct Span {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    link: Option<Traceparent>,
    name: String,
    kind: Kind,
    start: Timestamp,
    end: Timestamp,
    failed: bool,
    attributes: Vec<(&'static str, String)>,
}

/// Runs invocations, and sends their spans to the operator's collector, if there is one.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    exporter: Option<Exporter>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.exporter).finish()
    }
}

struct Invocation {
    tracer: Tracer,
    /// The deployed name of the function.
    function: Mutex<String>,
    spans: Mutex<Vec<Span>>,
}

/// A request or a message.
struct Unit {
    id: SpanId,
    about: Mutex<About>,
}

#[derive(Default)]
struct About {
    job: Option<JobId>,
    /// It created the job: its span is the root of the trace.
    is_root: bool,
    /// The caller's own trace.
    link: Option<Traceparent>,
    failed: bool,
    /// Calls so far.
    calls: u32,
}

tokio::task_local! {
    static INVOCATION: Arc<Invocation>;
    static UNIT: Arc<Unit>;
}

impl Tracer {
    pub fn new(exporter: Option<Exporter>, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { exporter, now: Box::new(now) }))
    }

    /// Runs one invocation; then sends its spans, in one try of at most 300 ms.
    pub async fn invocation<T>(&self, run: impl Future<Output = T>) -> T {
        let invocation = Arc::new(Invocation {
            tracer: self.clone(),
            function: Mutex::default(),
            spans: Mutex::default(),
        });
        let output = INVOCATION.scope(Arc::clone(&invocation), Box::pin(run)).await;
        if let Some(exporter) = &self.0.exporter {
            let spans = std::mem::take(&mut *held(&invocation.spans));
            if !spans.is_empty() {
                let body = otlp::body(&held(&invocation.function), &spans);
                exporter.send(&body).await;
            }
        }
        output
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The invocation, if its spans are sent.
fn sending() -> Option<Arc<Invocation>> {
    let invocation = INVOCATION.try_with(Arc::clone).ok()?;
    invocation.tracer.0.exporter.is_some().then_some(invocation)
}

impl Invocation {
    fn now(&self) -> Timestamp {
        (self.tracer.0.now)()
    }

    fn add(&self, span: Span) {
        let mut spans = held(&self.spans);
        if spans.len() < SPANS_MAX {
            spans.push(span);
        }
    }
}

impl Unit {
    fn context(&self) -> Option<Traceparent> {
        let about = held(&self.about);
        let job = about.job.as_ref()?;
        let span = if about.is_root { SpanId::of_job(job) } else { self.id };
        Some(Traceparent { trace: TraceId::of_job(job), span })
    }
}

/// Names the function of this invocation.
pub fn note_function(name: &str) {
    let _outside = INVOCATION.try_with(|invocation| name.clone_into(&mut held(&invocation.function)));
}

/// Runs one request or message. `ids` name it: those of the invocation and, if there are several, of the
/// message.
pub async fn unit<T>(name: &str, kind: Kind, ids: [&str; 2], run: impl Future<Output = T>) -> T {
    let unit = Arc::new(Unit { id: SpanId::of(&ids), about: Mutex::default() });
    let start = sending().map(|invocation| invocation.now());
    let output = UNIT.scope(Arc::clone(&unit), Box::pin(run)).await;
    if let (Some(invocation), Some(start), Some(context)) = (sending(), start, unit.context()) {
        let about = held(&unit.about);
        let job = about.job.as_ref();
        invocation.add(Span {
            trace: context.trace,
            id: context.span,
            parent: job.filter(|_| !about.is_root).map(SpanId::of_job),
            link: about.link,
            name: name.to_owned(),
            kind,
            start,
            end: invocation.now(),
            failed: about.failed,
            attributes: job.map(|job| ("genmux.job", job.to_string())).into_iter().collect(),
        });
    }
    output
}

/// Names the job that this request or message is about.
pub fn note_job(job: &JobId) {
    let _outside = UNIT.try_with(|unit| held(&unit.about).job = Some(job.clone()));
}

/// The request has created its job: it is the root of the trace, linked to the caller's own.
pub fn note_created(job: &JobId, caller: Option<Traceparent>) {
    let _outside = UNIT.try_with(|unit| {
        let mut about = held(&unit.about);
        (about.job, about.is_root, about.link) = (Some(job.clone()), true, caller);
    });
}

/// The request or message has failed.
pub fn note_failure() {
    let _outside = UNIT.try_with(|unit| held(&unit.about).failed = true);
}

/// What a call made now sends as `traceparent`; `None` while no job is known.
pub fn current() -> Option<Traceparent> {
    UNIT.try_with(|unit| unit.context()).ok().flatten()
}

/// Adds a call that has just ended.
pub fn called(name: &str, took: Duration, failed: bool, attributes: Vec<(&'static str, String)>) {
    let Some(invocation) = sending() else { return };
    let Some(parent) = current() else { return };
    let number = UNIT.with(|unit| {
        let mut about = held(&unit.about);
        about.calls += 1;
        about.calls
    });
    let id = SpanId::of(&[&parent.to_string(), &number.to_string()]);
    let (end, name) = (invocation.now(), name.to_owned());
    let (trace, parent, kind) = (parent.trace, Some(parent.span), Kind::Client);
    invocation.add(Span {
        trace,
        id,
        parent,
        link: None,
        name,
        kind,
        start: end.minus(took),
        end,
        failed,
        attributes,
    });
}
