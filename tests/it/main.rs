//! The integration tests: the whole stack, over its wires.

mod api;
mod budget;
mod cancel;
mod crash;
mod documents;
mod flows;
mod store;
mod tidy;
