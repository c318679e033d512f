//! Logs: one JSON line per event, with fields to filter on.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Env;

/// Writes JSON lines to standard output, at the levels of `RUST_LOG`: one for all, or
/// `target=level` separated by commas (default `info`).
/// A second call in one process changes nothing.
pub fn init(function: &'static str, env: &Env) {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    let lines = tracing_subscriber::registry().with(lines.with_target(false));
    if lines.with(levels(env.get("RUST_LOG").unwrap_or("info"))).try_init().is_ok() {
        tracing::info!(function, "process.started");
    }
}

/// The span of one invocation: every line within it carries the platform's id of the request, which is
/// what a caller quotes. It is there at every level of the filter.
pub fn invocation(request_id: &str) -> tracing::Span {
    tracing::error_span!("invocation", request_id)
}

/// What cannot be read is as if it were not set: a process without logs is worse.
pub fn levels(text: &str) -> Targets {
    text.parse().unwrap_or_else(|_unreadable| Targets::new().with_default(LevelFilter::INFO))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::levels;

    #[test]
    fn levels_are_for_all_and_by_target_and_nonsense_is_info() {
        assert_eq!(levels("debug").default_level(), Some(LevelFilter::DEBUG));
        assert_eq!(levels("nonsense=nonsense").default_level(), Some(LevelFilter::INFO));
        let some = levels("warn,genmux=info");
        assert!(some.would_enable("genmux::host", &tracing::Level::INFO));
        assert!(!some.would_enable("s3s", &tracing::Level::INFO));
    }
}
