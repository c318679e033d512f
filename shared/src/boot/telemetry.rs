//! Logs: one JSON line per event, with fields to filter on.

use tracing_subscriber::EnvFilter;

use super::Env;

/// Writes JSON lines to standard output, at the level of `RUST_LOG` (default `info`).
/// A second call in one process changes nothing.
pub fn init(function: &'static str, env: &Env) {
    let filter = EnvFilter::new(env.get("RUST_LOG").unwrap_or("info"));
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
    let set = lines.with_env_filter(filter).with_target(false).try_init();
    if set.is_ok() {
        tracing::info!(function, "process.started");
    }
}
