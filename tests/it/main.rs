//! The integration tests: the whole stack, over its wires.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test ends where something is missing, and runs its one future once"
)]

mod accounts;
mod answers;
mod api;
mod audit;
mod bills;
mod boot;
mod budget;
mod budgets;
mod callbacks;
mod cancel;
mod catalogue;
mod catalogue_sync;
mod changes;
mod collide;
mod console;
mod content;
mod copies;
mod crash;
mod dead_letters;
mod dialects;
mod documents;
mod events;
mod flows;
mod hints;
mod images;
mod inbound;
mod kling;
mod levers;
mod likeness;
mod log_spans;
mod metrics;
mod outage;
mod own_catalogue;
mod payments;
mod platform;
mod pools;
mod price_book;
mod prices;
mod releases;
mod resilience;
mod rights;
mod sdk;
mod simulation;
mod stills;
mod store;
mod tidy;
mod traces;
mod uploads;
mod usage;
mod vectors;
