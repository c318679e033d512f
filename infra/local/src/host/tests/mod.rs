//! The host on the real template, with small functions and queues in memory.

mod contained;
mod gateway;
mod mapping;
mod recursion;
mod schedule;
mod template;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use domain::time::Timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use shared::boot::Clock;
use tokio::sync::Notify;

use super::{Deployment, Function, FunctionError, Functions, Host, Invocation, Received, Source, Template};

/// 2023-11-14T22:13:20.120Z.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_120);

fn deployment() -> Deployment {
    Deployment {
        stack_name: "genmux".to_owned(),
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        api_endpoint: "http://127.0.0.1:8080".to_owned(),
        sqs_endpoint: "http://127.0.0.1:9324".to_owned(),
        table_name: "table-1".to_owned(),
        bucket_name: "bucket-1".to_owned(),
        parameters: BTreeMap::new(),
    }
}

/// A function that records its events and returns given answers.
struct Script<F> {
    answer: F,
    seen: Arc<Mutex<Vec<(Value, Invocation)>>>,
}

impl<F> Function for Script<F>
where
    F: Fn(&Value) -> Result<Value, FunctionError> + Send + Sync,
{
    fn invoke(&self, event: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        let answer = (self.answer)(&event);
        self.seen.lock().unwrap().push((event, context));
        async { answer }.boxed()
    }
}

/// A function and the invocations that it gets.
#[expect(clippy::type_complexity, reason = "a pair that is always taken apart")]
fn script<F>(answer: F) -> (Arc<dyn Function>, Arc<Mutex<Vec<(Value, Invocation)>>>)
where
    F: Fn(&Value) -> Result<Value, FunctionError> + Send + Sync + 'static,
{
    let seen = Arc::default();
    (Arc::new(Script { answer, seen: Arc::clone(&seen) }), seen)
}

/// A function that is never done.
struct Hang;

impl Function for Hang {
    fn invoke(&self, _: Value, _: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        std::future::pending().boxed()
    }
}

fn fails() -> Result<Value, FunctionError> {
    Err(FunctionError::Failed { error_type: "Test".to_owned(), error_message: "on purpose".to_owned() })
}

/// The whole stack, in which the function of that name is this one and all others answer null.
fn host(name: &str, function: Arc<dyn Function>, source: &Arc<Memory>) -> Host {
    host_of(Template::load(deployment()).unwrap(), name, function, source)
}

fn host_of(template: Template, name: &str, function: Arc<dyn Function>, source: &Arc<Memory>) -> Host {
    let idle = |name: &String| (name.clone(), script(|_| Ok(Value::Null)).0);
    let mut functions: Functions = template.functions.keys().map(idle).collect();
    functions.insert(name.to_owned(), function).expect("it is in the template");
    Host::new(template, functions, Arc::clone(source) as Arc<dyn Source>, Clock::manual(NOW)).unwrap()
}

/// Queues in memory. What is received and not deleted never turns visible again.
#[derive(Debug, Default)]
struct Memory {
    visible: Mutex<HashMap<String, VecDeque<Received>>>,
    deleted: Mutex<Vec<String>>,
    given_up: Mutex<Vec<String>>,
    bell: Notify,
}

impl Memory {
    fn send(&self, queue: &str, id: &str) {
        let message = Received {
            message_id: id.to_owned(),
            receipt_handle: format!("receipt-{id}"),
            body: format!("body of {id}"),
            md5_of_body: "fce0ea8dd236ccb3ed9b37dae260836f".to_owned(),
            attributes: BTreeMap::new(),
            trace_header: None,
            receive_count: 1,
            sent_at: NOW,
            first_received_at: NOW,
            dead_letter_source: None,
        };
        self.put(queue, message);
    }

    fn put(&self, queue: &str, message: Received) {
        self.visible.lock().unwrap().entry(queue.to_owned()).or_default().push_back(message);
        self.bell.notify_waiters();
    }

    fn deleted(&self) -> Vec<String> {
        let mut deleted = self.deleted.lock().unwrap().clone();
        deleted.sort();
        deleted
    }

    fn has_some(&self, queue: &str) -> bool {
        self.visible.lock().unwrap().get(queue).is_some_and(|messages| !messages.is_empty())
    }
}

impl Source for Memory {
    fn receive(&self, queue: &str, max: u32) -> Result<Vec<Received>> {
        let mut visible = self.visible.lock().unwrap();
        let messages = visible.entry(queue.to_owned()).or_default();
        let count = messages.len().min(max as usize);
        Ok(messages.drain(..count).collect())
    }

    fn delete(&self, queue: &str, receipt_handle: &str) -> Result<()> {
        self.deleted.lock().unwrap().push(format!("{queue}/{receipt_handle}"));
        Ok(())
    }

    fn give_up(&self, queue: &str, receipt_handle: &str) -> Result<()> {
        self.given_up.lock().unwrap().push(format!("{queue}/{receipt_handle}"));
        Ok(())
    }

    fn wait<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            loop {
                let rung = self.bell.notified();
                if self.has_some(queue) {
                    return Ok(());
                }
                rung.await;
            }
        }
        .boxed()
    }
}
