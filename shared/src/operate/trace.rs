//! The trace of a job as its table knows it: a tree of spans, also without a collector.

use domain::attempt::Attempt;
use domain::delivery::Delivery;
use domain::event::Event;
use domain::id::{EventId, JobId};
use domain::job::State;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::store::audit::History;
use crate::store::events::EventStore;
use crate::store::{Error, Table};

/// Versions of a job whose events are looked up.
const VERSIONS_MAX: u64 = 100;
const CONCURRENCY: usize = 10;

/// Something with a length; it may not have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub start: Timestamp,
    pub end: Option<Timestamp>,
    pub children: Vec<Node>,
}

impl Node {
    fn new(name: String, start: Timestamp, end: Option<Timestamp>) -> Self {
        Self { name, start, end, children: Vec::new() }
    }
}

/// The tree of a job: its states, within them its attempts, and the deliveries of its events. `None` if
/// there is no such job.
pub async fn read(table: &Table, job: &JobId) -> Result<Option<Node>, Error> {
    let Some(history) = History::read(table, job).await? else { return Ok(None) };
    let events = EventStore::new(table.clone());
    let versions = 1..=history.job.version().min(VERSIONS_MAX);
    let found: Vec<_> = stream::iter(versions)
        .map(async |version| events.with_deliveries(&EventId::of_job(job, version)).await)
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let found: Vec<_> = found.into_iter().flatten().collect();
    Ok(Some(tree(&history, &found)))
}

fn tree(history: &History, events: &[(Event, Vec<Delivery>)]) -> Node {
    let job = &history.job;
    let mut root =
        Node::new(format!("{} {}", job.id(), job.state().name()), job.created_at(), job.ended_at());
    root.children = states(history);
    root.children.extend(job.attempts().iter().map(attempt));
    root.children.extend(events.iter().map(|(event, deliveries)| {
        // Of several deliveries, the last to end; without one, at once.
        let ends: Option<Vec<_>> = deliveries.iter().map(ended).collect();
        let done = ends.map(|ends| ends.into_iter().max().unwrap_or(event.created_at));
        let mut node = Node::new(format!("event {}", event.kind.as_str()), event.created_at, done);
        node.children = deliveries.iter().map(delivery).collect();
        node
    }));
    root.children.sort_by_key(|child| child.start);
    root
}

/// Each state that the job was in, until the next.
fn states(history: &History) -> Vec<Node> {
    let mut states = vec![Node::new(State::Queued.name().to_owned(), history.job.created_at(), None)];
    for moved in &history.moves {
        let last = states.last_mut().expect("the first is there");
        if moved.state.name() == last.name {
            continue;
        }
        last.end = Some(moved.at);
        if moved.state.is_terminal() {
            break;
        }
        states.push(Node::new(moved.state.name().to_owned(), moved.at, None));
    }
    states
}

fn attempt(attempt: &Attempt) -> Node {
    let (number, provider, phase) = (attempt.number, attempt.provider, attempt.phase.name());
    Node::new(format!("attempt {number} at {provider}: {phase}"), attempt.started_at, attempt.ended_at)
}

fn delivery(delivery: &Delivery) -> Node {
    let name = format!("delivery to {}: {}", delivery.endpoint, delivery.status.name());
    let mut node = Node::new(name, delivery.created_at, ended(delivery));
    let tried = delivery.tries.iter().enumerate().map(|(index, tried)| {
        let end = tried.at + std::time::Duration::from_millis(tried.ms);
        let status = tried.status.map(|status| format!(" {status}")).unwrap_or_default();
        Node::new(format!("try {}: {}{status}", index + 1, tried.outcome), tried.at, Some(end))
    });
    node.children = tried.collect();
    node
}

fn ended(delivery: &Delivery) -> Option<Timestamp> {
    use domain::delivery::Status;
    (delivery.status != Status::Pending).then(|| delivery.arrived_at().unwrap_or(delivery.updated_at))
}
