//! Logs: one JSON line per event, with fields to filter on; and what metrics are made of.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::metrics::{EmfLines, Metrics};
use super::{Clock, Env};

/// Writes JSON lines to standard output, at the levels of `RUST_LOG`: one for all, or
/// `target=level` separated by commas (default `info`); and the metrics of each invocation, at any level.
/// A second call in one process changes nothing.
pub fn init(function: &'static str, env: &Env) {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    let lines = lines.with_target(false).with_filter(levels(env.get("RUST_LOG").unwrap_or("info")));
    let metrics = Metrics(EmfLines(Clock::System)).with_filter(LevelFilter::INFO);
    if tracing_subscriber::registry().with(lines).with(metrics).try_init().is_ok() {
        tracing::info!(function, "process.started");
    }
}

/// The crates whose lines are ours. They never log what a caller or a provider wrote.
const OWN: [&str; 19] = [
    "shared",
    "genmux",
    "cancel",
    "console",
    "deliver",
    "dispatch",
    "endpoints",
    "fetch",
    "health",
    "notify",
    "payment",
    "poll",
    "reconcile",
    "settle",
    "socket",
    "status",
    "submit",
    "topups",
    "webhook",
];
/// The finest level of all other crates. The AWS SDK and the local table log whole requests below
/// it, and so prompts and signed links.
const FOREIGN_MAX: LevelFilter = LevelFilter::INFO;

/// The levels that a text asks for; of foreign crates, none finer than `INFO`. What cannot be read is
/// as if it were not set: a process without logs is worse.
pub fn levels(text: &str) -> Targets {
    let asked = text.parse().unwrap_or_else(|_unreadable| Targets::new().with_default(LevelFilter::INFO));
    let default = asked.default_level().unwrap_or(LevelFilter::OFF);
    let is_own = |target: &str| OWN.contains(&target.split("::").next().unwrap_or_default());
    let own = OWN.iter().map(|name| ((*name).to_owned(), default));
    let named = asked.iter().map(|(target, level)| {
        let level = if is_own(target) { level } else { level.min(FOREIGN_MAX) };
        (target.to_owned(), level)
    });
    // Of two for one target, the later stands.
    own.chain(named).collect::<Targets>().with_default(default.min(FOREIGN_MAX))
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::filter::LevelFilter;

    use super::levels;

    #[test]
    fn levels_are_for_all_and_by_target_and_nonsense_is_info() {
        assert_eq!(levels("nonsense=nonsense").default_level(), Some(LevelFilter::INFO));
        let some = levels("warn,genmux=info");
        assert!(some.would_enable("genmux::host", &Level::INFO));
        assert!(!some.would_enable("s3s", &Level::INFO));
        assert!(levels("debug").would_enable("shared::store::jobs", &Level::DEBUG));
        assert!(!levels("debug,shared=warn").would_enable("shared::store::jobs", &Level::INFO));
    }

    #[test]
    fn every_function_is_ours() {
        // From the folder of this package, in which Cargo runs its tests.
        for function in std::fs::read_dir("../functions").unwrap() {
            let name = function.unwrap().file_name().into_string().unwrap();
            assert!(levels("debug").would_enable(&format!("{name}::run"), &Level::DEBUG), "{name}");
        }
    }

    #[test]
    fn no_text_makes_foreign_crates_log_below_info() {
        const FOREIGN: [&str; 8] = [
            "aws_smithy_runtime::client::orchestrator",
            "aws_sdk_dynamodb::config",
            "hyper::proto",
            "reqwest::connect",
            "lambda_runtime",
            "rustls::client",
            "dynoxide::server",
            "s3s::service",
        ];
        for target in FOREIGN {
            for text in
                ["trace", &format!("{target}=trace"), &format!("info,{target}=debug"), "aws_=trace,h=trace"]
            {
                for level in [Level::TRACE, Level::DEBUG] {
                    assert!(!levels(text).would_enable(target, &level), "{target} {text}");
                }
            }
            assert!(levels("trace").would_enable(target, &Level::INFO), "{target}");
        }
    }
}
