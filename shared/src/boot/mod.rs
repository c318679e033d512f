//! Process start, and only that: configuration, clients, telemetry, clock.

pub mod clock;

pub use clock::Clock;
