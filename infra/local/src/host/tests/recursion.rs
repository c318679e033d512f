use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::super::template::TEMPLATE;
use super::super::{Function, FunctionError, Invocation, Received, Template, current_trace};
use super::{Memory, deployment, host_of};

const POLL: &str = "genmux-poll";

/// A function that sends to its own queue what it was given, with the trace that it runs under.
struct Again {
    source: Arc<Memory>,
    invocations: AtomicU32,
}

impl Function for Arc<Again> {
    fn invoke(&self, _: Value, context: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        async move {
            assert_eq!(current_trace(), Some(context.trace_id.clone()));
            self.invocations.fetch_add(1, Ordering::SeqCst);
            self.source.send(POLL, "again");
            let mut sent = self.source.visible.lock().unwrap();
            let message = sent.get_mut(POLL).and_then(|queue| queue.back_mut()).unwrap();
            *message = Received { trace_header: Some(context.trace_id), ..message.clone() };
            Ok(Value::Null)
        }
        .boxed()
    }
}

/// How often the function is invoked in so many steps, and what is given up then.
async fn play(template: Template, steps: u32) -> (u32, Vec<String>) {
    let source = Arc::<Memory>::default();
    let again = Arc::new(Again { source: Arc::clone(&source), invocations: AtomicU32::new(0) });
    let host = host_of(template, "poll", Arc::new(Arc::clone(&again)), &source);
    source.send(POLL, "first");
    for _ in 0..steps {
        host.step_queues().await.unwrap();
    }
    let given_up = source.given_up.lock().unwrap().clone();
    (again.invocations.load(Ordering::SeqCst), given_up)
}

#[tokio::test]
async fn a_function_that_invokes_itself_is_stopped_after_sixteen_invocations() {
    let mut template = Template::load(deployment()).unwrap();
    template.functions.get_mut("poll").unwrap().may_recurse = false;
    assert_eq!(play(template, 40).await, (16, vec!["genmux-poll/receipt-again".to_owned()]));
}

#[tokio::test]
async fn a_function_that_may_invoke_itself_goes_on() {
    assert_eq!(play(Template::load(deployment()).unwrap(), 40).await, (40, Vec::new()));
}

/// The functions that can come to be invoked by what they send, at once or through others.
fn recursive(template: &Template) -> BTreeSet<String> {
    let invokes = |from: &str| -> BTreeSet<String> {
        let grants = &template.functions[from].grants;
        let sends = |arn: &String| {
            grants.iter().any(|grant| grant.action == "sqs:SendMessage" && grant.resource == *arn)
        };
        let fed = template.mappings.iter().filter(|mapping| sends(&mapping.queue_arn));
        fed.map(|mapping| mapping.function.clone()).collect()
    };
    let reaches_itself = |start: &&String| {
        let mut reached = invokes(start);
        loop {
            let next: BTreeSet<_> = reached.iter().flat_map(|name| invokes(name)).collect();
            if next.is_subset(&reached) {
                return reached.contains(*start);
            }
            reached.extend(next);
        }
    };
    template.functions.keys().filter(reaches_itself).cloned().collect()
}

#[test]
fn exactly_the_functions_that_can_invoke_themselves_may() {
    let template = Template::load(deployment()).unwrap();
    let may: BTreeSet<_> = template
        .functions
        .iter()
        .filter(|(_, spec)| spec.may_recurse)
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(recursive(&template), may);
    assert!(may.contains("poll"), "{may:?}");
}

#[test]
fn a_loop_through_another_function_is_one_too() {
    // `settle` or `fetch` sends to `poll` and `poll` to them, `notify` to `deliver` and that to it: without
    // their own queues they still are one.
    let mut template = Template::load(deployment()).unwrap();
    for (name, spec) in &mut template.functions {
        let own = format!("genmux-{name}");
        spec.grants.retain(|grant| !grant.resource.ends_with(&own));
    }
    let found: Vec<_> = recursive(&template).into_iter().collect();
    assert_eq!(found, ["deliver", "dispatch", "fetch", "notify", "poll", "settle"]);
}

/// Only what a queue invokes can be stopped, and each is watched.
#[test]
fn an_alarm_watches_every_function_that_a_queue_invokes() {
    let template = Template::load(deployment()).unwrap();
    let watched = TEMPLATE.matches("MetricName: RecursiveInvocationsDropped").count();
    assert_eq!(watched, template.mappings.len());
    for mapping in &template.mappings {
        let (first, rest) = mapping.function.split_at(1);
        let metric = format!(
            "RecursiveInvocationsDropped, Dimensions: [{{ Name: FunctionName, Value: !Ref {}{rest}Function }}]",
            first.to_uppercase()
        );
        assert!(TEMPLATE.contains(&metric), "{metric}");
    }
}
