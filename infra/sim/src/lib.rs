//! Simulated providers in their real wire formats, over HTTP on loopback.
//!
//! A [`Simulator`] is one provider. It stores its remote jobs in SQLite and computes their state from
//! the clock, so it can be killed at any time and opened again. Faults are directives in the prompt: see
//! the table in `frame/directive.rs`. Tests read its log of calls, cut its connections and set its fault
//! profile, which applies to all calls. It has the images of creates fetched: see `frame/images.rs`.
//!
//! # Another provider
//!
//! A module in `providers/` with a unit struct that implements `frame::wire::Wire`, and its arm in
//! `providers::wire`. The module classifies calls, checks bodies (`schema`), builds answers and
//! refusals, and renders webhooks. A create parses the prompt (`Simulator::play`) and passes an `NewJob`
//! to `create::play`; a poll or a cancel calls `Simulator::find`; a poll returns `RemoteJob::phase`
//! through `poll::answer`; a call for the output calls `poll::result_play` first; media are at
//! `media::url` or at the paths of `Wire::media`. Further data of a job is in `RemoteJob::extra`. Its
//! tests describe its calls in a `test_bench::Client` and use a `Bench`.
//!
//! `providers`, `channels` and `payments` import `frame`, never the other way.

pub mod channels;
mod frame;
pub mod guard;
pub mod payments;
mod providers;
#[cfg(test)]
mod test_bench;
#[cfg(test)]
mod tests;

use std::path::Path;

use domain::provider::Provider;

pub use frame::call::{Call, CallKind, Fault, Says};
pub use frame::clock::Clock;
pub use frame::jobs::{RemoteJobView, RemoteState};
pub use frame::simulator::{Images, Options, Outward, Simulator};
pub use frame::standard_webhooks::WebhookSecret;

/// Opens a provider on a database file, or in memory. All providers can share one file.
///
/// # Errors
///
/// If the file cannot be opened or has another format.
pub fn open(
    provider: Provider,
    file: Option<&Path>,
    clock: Clock,
    options: Options,
    outward: Outward,
) -> anyhow::Result<Simulator> {
    Simulator::open(providers::definition(provider), file, clock, options, outward)
}
