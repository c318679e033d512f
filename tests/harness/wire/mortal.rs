//! Functions as they run in a world: they die when their wire says so, and may run twice.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local::host::{Function, FunctionError, Invocation};
use serde_json::Value;
use tokio::sync::Notify;

use super::Wire;

/// One invocation of a function.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) function: String,
    /// Rung when it is to die.
    pub(super) crash: Arc<Notify>,
}

tokio::task_local! {
    /// The invocation that this is.
    pub(super) static RUN: Run;
}

/// A function that dies when its wire says so.
pub(super) struct Mortal {
    pub(super) name: String,
    pub(super) inner: Arc<dyn Function>,
    pub(super) wire: Wire,
}

impl Mortal {
    async fn once(&self, event: Value, context: Invocation) -> Result<Value, FunctionError> {
        let run = Run { function: self.name.clone(), crash: Arc::default() };
        let crash = run.crash.clone();
        let invoked = RUN.scope(run, self.inner.invoke(event, context));
        tokio::select! {
            biased;
            () = crash.notified() => {
                Err(FunctionError::Panicked { message: "killed by the test".to_owned() })
            }
            done = invoked => done,
        }
    }
}

/// How an event reaches its function.
#[derive(Debug, Clone, Copy)]
enum Times {
    Once,
    OneAfterTheOther,
    TwiceAtOnce,
}

impl Function for Mortal {
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        let times = {
            let mut plan = self.wire.plan();
            let repeats = !matches!(self.name.as_str(), "submit" | "status" | "cancel" | "endpoints");
            match &plan.storm {
                Some(storm) if repeats && storm.doubles() => Times::TwiceAtOnce,
                Some(_) => Times::Once,
                None => {
                    plan.invocations.push((self.name.clone(), event.clone()));
                    if plan.doubled && repeats { Times::OneAfterTheOther } else { Times::Once }
                }
            }
        };
        async move {
            match times {
                Times::Once => {}
                Times::OneAfterTheOther => {
                    self.once(event.clone(), context.clone()).await?;
                }
                Times::TwiceAtOnce => {
                    let twin = self.once(event.clone(), context.clone()).boxed();
                    return tokio::join!(twin, self.once(event, context).boxed()).1;
                }
            }
            self.once(event, context).await
        }
        .boxed()
    }
}
