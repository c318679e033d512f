//! When refunds land: by the world's clock, whatever the clock of the function says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use domain::id::JobId;
use domain::time::Timestamp;
use serde_json::Value;
use shared::boot::Clock;

/// The refunds that have landed. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Refunds(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    clock: Option<Clock>,
    landed: BTreeMap<JobId, Timestamp>,
}

/// The connector at which calls land.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: SharedHttpConnector,
    pub(super) refunds: Refunds,
}

impl Refunds {
    pub(super) fn watch(&self, clock: Clock) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clock = Some(clock);
    }

    pub(super) fn landed(&self) -> BTreeMap<JobId, Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).landed.clone()
    }

    fn note(&self, job: JobId) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = seen.clock.as_ref().map(Clock::now) {
            seen.landed.entry(job).or_insert(now);
        }
    }
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(job) = refunded(&request) else { return self.inner.call(request) };
        let (answer, refunds) = (self.inner.call(request), self.refunds.clone());
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if answer.status().is_success() {
                refunds.note(job);
            }
            Ok(answer)
        })
    }
}

/// The job that a transaction refunds, if it refunds one.
fn refunded(request: &HttpRequest) -> Option<JobId> {
    let target = request.headers().get("x-amz-target")?;
    if !target.ends_with(".TransactWriteItems") {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
    let writes = body.get("TransactItems")?.as_array()?;
    writes.iter().find_map(|write| {
        let line = write.pointer("/Put/Item/SK/S")?.as_str()?;
        line.strip_prefix("ENTRY#")?.strip_suffix("#REFUND")?.parse().ok()
    })
}
