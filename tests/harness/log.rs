//! The log of one thread, as the functions write it.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use serde_json::Value;
use shared::boot::metrics::{self, Batch, Metrics};
use shared::boot::telemetry::levels;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt};

thread_local! {
    /// What this thread has logged, while a test listens.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    /// The metrics of its invocations since then.
    static METRICS: RefCell<Vec<Batch>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what this thread logs until it is dropped: for tests whose world runs on one thread.
///
/// One subscriber serves the whole process. With one for each test, a line or a span that another
/// thread uses for the first time at that moment may stay disabled.
#[derive(Debug)]
pub struct Log(());

impl Log {
    pub fn start() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            let lines = fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(|| Sink);
            let is_kept = dynamic_filter_fn(|_, _| LOG.with_borrow(Option::is_some));
            let subscriber = tracing_subscriber::registry()
                .with(lines.with_filter(is_kept))
                .with(Metrics(MetricsSink))
                .with(levels("info"));
            tracing::subscriber::set_global_default(subscriber).expect("no other subscriber is installed");
        });
        LOG.set(Some(Vec::new()));
        METRICS.set(Vec::new());
        Self(())
    }

    /// The metrics of each invocation so far.
    pub fn metrics(&self) -> Vec<Batch> {
        METRICS.with_borrow(Clone::clone)
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let log = LOG.with_borrow(|log| log.clone().unwrap_or_default());
        let log = String::from_utf8(log).expect("a log is text");
        log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// The lines of one event.
    pub fn of(&self, event: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["message"] == event).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LOG.set(None);
    }
}

struct MetricsSink;

impl metrics::Sink for MetricsSink {
    fn take(&self, batch: Batch) {
        if LOG.with_borrow(Option::is_some) {
            METRICS.with_borrow_mut(|metrics| metrics.push(batch));
        }
    }
}

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
