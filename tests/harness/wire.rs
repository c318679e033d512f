//! The wire under the AWS SDK: counts what goes over it, and fails where it is told to.
//!
//! An *effect* is one AWS call of a function. A crash is a real one as far as the function
//! can tell: its future is dropped in the middle of the call.

mod capacity;
mod lag;
mod mortal;
mod order;
mod refunds;
mod refusal;
mod storm;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use domain::id::JobId;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use local::host::{Function, Grant};
use local::stack::Around;
use serde_json::{Map, Value};
use shared::boot::Clock;

use crate::rights::rights;
use lag::Lag;
use mortal::{Mortal, RUN};
use order::{Order, play};
use refunds::{Refunds, Watched};
use storm::delay;

pub use capacity::Capacity;
pub use refusal::Refusal;
pub use storm::Storm;

/// On which side of an effect something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call is made and has no effect.
    Before,
    /// The effect has landed, and nobody hears of it.
    After,
}

#[derive(Default)]
struct Plan {
    /// By function.
    capacity: BTreeMap<String, Capacity>,
    count: usize,
    /// With the functions that made them.
    calls: Vec<(String, String)>,
    at: Option<(usize, Order)>,
    /// Invocations of event functions and webhooks are made twice.
    doubled: bool,
    storm: Option<Storm>,
    /// Effects that the storm has spoilt, by function.
    spoilt: BTreeMap<String, usize>,
    /// Functions whose last effect it has spoilt.
    shaken: BTreeSet<String>,
    /// While this is set, the table answers no call of a function before that time.
    outage: Option<(Timestamp, Clock)>,
    /// What queries of an index are answered with while it lags.
    lag: Option<Lag>,
    invocations: Vec<(String, Value)>,
}

/// The wire of one world. Clones share it.
#[derive(Clone)]
pub struct Wire {
    inner: SharedHttpClient,
    plan: Arc<Mutex<Plan>>,
    used: Arc<Mutex<BTreeSet<(String, Grant)>>>,
    refunds: Refunds,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("count", &self.plan().count).finish_non_exhaustive()
    }
}

impl Wire {
    pub fn new() -> Self {
        let inner = aws_smithy_http_client::Builder::new().build_http();
        Self { inner, plan: Arc::default(), used: Arc::default(), refunds: Refunds::default() }
    }

    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// Goes around every function, so that a crash ends its invocation.
    pub fn around(&self) -> Around {
        let wire = self.clone();
        Around(Arc::new(move |name, inner| {
            Arc::new(Mortal { name: name.to_owned(), inner, wire: wire.clone() }) as Arc<dyn Function>
        }))
    }

    /// Forgets all orders and counts from zero.
    pub fn reset(&self) {
        *self.plan() = Plan::default();
    }

    /// Effects since the last reset.
    pub fn effects(&self) -> usize {
        self.plan().count
    }

    /// Effects that a storm has spoilt since the last reset.
    pub fn spoilt(&self) -> usize {
        self.plan().spoilt.values().sum()
    }

    /// Those of them that were a function's.
    pub fn spoilt_of(&self, function: &str) -> usize {
        self.plan().spoilt.get(function).copied().unwrap_or(0)
    }

    /// Names of the AWS operations since the last reset, in order.
    pub fn calls(&self) -> Vec<String> {
        self.calls_without(&[])
    }

    /// The same, without those of some functions.
    pub fn calls_without(&self, functions: &[&str]) -> Vec<String> {
        let plan = self.plan();
        let calls = plan.calls.iter().filter(|(function, _)| !functions.contains(&function.as_str()));
        calls.map(|(_, name)| name.clone()).collect()
    }

    /// What the table charged since the last reset, its indexes included.
    pub fn capacity(&self) -> Capacity {
        self.capacity_without(&[])
    }

    /// The same, without some functions.
    pub fn capacity_without(&self, functions: &[&str]) -> Capacity {
        let plan = self.plan();
        let charged = plan.capacity.iter().filter(|(function, _)| !functions.contains(&function.as_str()));
        charged.fold(Capacity::default(), |sum, (_, one)| sum.plus(*one))
    }

    /// Events that functions were invoked with since the last reset, in order.
    pub fn invocations(&self) -> Vec<(String, Value)> {
        self.plan().invocations.clone()
    }

    /// Each function that made a call, with the rights that it needed, since the world began.
    pub fn used(&self) -> BTreeSet<(String, Grant)> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, notes by this clock when each refund lands.
    pub fn watch_refunds(&self, clock: Clock) {
        self.refunds.watch(clock);
    }

    /// When each refund has landed since then.
    pub fn refunds(&self) -> BTreeMap<JobId, Timestamp> {
        self.refunds.landed()
    }

    fn note(&self, request: &HttpRequest) {
        if self.plan().storm.is_some() {
            return;
        }
        let function = RUN.try_with(|run| run.function.clone()).unwrap_or_default();
        let rights = rights(request).into_iter().map(|right| (function.clone(), right));
        self.used.lock().unwrap_or_else(PoisonError::into_inner).extend(rights);
    }

    /// The function that makes effect `k` dies there. Once.
    pub fn crash_at(&self, k: usize, moment: Moment) {
        self.plan().at = Some((k, Order::Crash(moment)));
    }

    /// Effect `k` is answered with an error that the SDK does not repeat. Once.
    pub fn fail_at(&self, k: usize, moment: Moment) {
        self.plan().at = Some((k, Order::Fail(moment)));
    }

    /// Effect `k` lands, and its answer is lost on a connection that breaks: the SDK makes the
    /// call again. Once.
    pub fn lose_answer_at(&self, k: usize) {
        self.plan().at = Some((k, Order::LoseAnswer));
    }

    /// Effect `k` hangs until the client gives up, which takes its time on this clock. Once.
    pub fn hang_at(&self, k: usize, moment: Moment, clock: &Clock) {
        self.plan().at = Some((k, Order::Hang(moment, clock.clone())));
    }

    /// Effect `k` is refused so, and does not land. Once.
    pub fn refuse_at(&self, k: usize, refusal: Refusal) {
        self.plan().at = Some((k, Order::Answer(refusal)));
    }

    /// For so long, every call that a function makes of the table fails.
    pub fn table_is_down_for(&self, span: Duration, clock: &Clock) {
        self.plan().outage = Some((clock.now() + span, clock.clone()));
    }

    /// From now on, a query of the due index that was made before is answered as it was then;
    /// until the next reset.
    pub fn due_index_lags(&self) {
        self.plan().lag = Some(Lag::default());
    }

    /// The index lags no longer.
    pub fn due_index_has_caught_up(&self) {
        self.plan().lag = None;
    }

    /// Before effect `k` lands, `rival` runs to its end. Once.
    pub fn overtake_at(&self, k: usize, rival: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        self.plan().at = Some((k, Order::Overtake(Arc::new(rival))));
    }

    /// Whether the order was carried out.
    pub fn is_spent(&self) -> bool {
        self.plan().at.is_none()
    }

    /// From now on, every message and every webhook is handled twice.
    pub fn double(&self) {
        self.plan().doubled = true;
    }

    /// From now on, trouble at random; until the next reset. Nothing but effects is counted then.
    pub fn storm(&self, storm: Storm) {
        self.plan().storm = Some(storm);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the table answers no calls of functions now.
    fn is_down(&self, request: &HttpRequest) -> bool {
        let of_table = request.headers().get("x-amz-target").is_some_and(|it| it.starts_with("DynamoDB"));
        let outage = self.plan().outage.clone().filter(|_| of_table && RUN.try_with(|_| ()).is_ok());
        outage.is_some_and(|(until, clock)| clock.now() < until)
    }

    /// Counts an effect; gives the order that stands for it.
    fn next(&self, request: &HttpRequest) -> Option<Order> {
        let mut plan = self.plan();
        let of_function = RUN.try_with(|_| ()).is_ok();
        if let Some(storm) = &plan.storm {
            // What the harness itself asks for is not in the storm.
            let function = RUN.try_with(|run| run.function.clone()).unwrap_or_default();
            let is_shaken = plan.shaken.contains(&function);
            let order = of_function.then(|| storm.order(request, is_shaken)).flatten();
            plan.count += 1;
            if order.is_some() {
                *plan.spoilt.entry(function.clone()).or_default() += 1;
                plan.shaken.insert(function);
            } else {
                plan.shaken.remove(&function);
            }
            return order;
        }
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        let name = target.unwrap_or_else(|| format!("S3.{}", request.method()));
        let function = RUN.try_with(|run| run.function.clone()).unwrap_or_default();
        let name = if name.starts_with("S3.") { &name } else { name.rsplit('.').next().unwrap_or(&name) };
        plan.calls.push((function, name.to_owned()));
        let k = plan.count;
        plan.count += 1;
        let due = plan.at.as_ref().is_some_and(|(at, _)| *at == k);
        if due { plan.at.take().map(|(_, order)| order) } else { None }
    }

    /// In a storm, how late the message is that this call sends.
    fn lateness(&self, request: &HttpRequest) -> Option<(u64, Option<u64>)> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let sends = target.starts_with("AmazonSQS.SendMessage");
        self.plan().storm.as_ref().filter(|_| sends && RUN.try_with(|_| ()).is_ok()).map(Storm::lateness)
    }
}

/// Changes the JSON that a call sends. The embedded endpoints do not check its signature.
fn edit(request: &mut HttpRequest, change: impl FnOnce(&mut Map<String, Value>)) {
    let body = request.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let Some(Value::Object(mut body)) = body else { return };
    change(&mut body);
    let text = Value::Object(body).to_string();
    request.headers_mut().insert("content-length", text.len().to_string());
    *request.body_mut() = SdkBody::from(text);
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        let inner = SharedHttpConnector::new(Watched { inner, refunds: self.refunds.clone() });
        SharedHttpConnector::new(Connector { inner, wire: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    wire: Wire,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.wire.note(&request);
        let order = self.wire.next(&request);
        if self.wire.is_down(&request) {
            let down = ConnectorError::other("the table does not answer".into(), None);
            return HttpConnectorFuture::ready(Err(down));
        }
        let asked = Lag::question(&request);
        let before = asked.as_ref().and_then(|asked| self.wire.plan().lag.as_ref()?.answer(asked));
        if let Some(before) = before {
            return HttpConnectorFuture::ready(Ok(before));
        }
        let (inner, wire) = (self.inner.clone(), self.wire.clone());
        let mut request = request;
        let mut repeat = None;
        if let Some((late, again)) = self.wire.lateness(&request) {
            delay(&mut request, late);
            repeat = again.and_then(|again| {
                let mut copy = request.try_clone()?;
                delay(&mut copy, again + 1);
                Some(copy)
            });
        }
        let crash = RUN.try_with(|run| run.crash.clone()).unwrap_or_default();
        HttpConnectorFuture::new(async move {
            if let Some(repeat) = repeat {
                let _sent = inner.call(repeat).await;
            }
            play(order, inner, wire, request, asked, &crash).await
        })
    }
}
