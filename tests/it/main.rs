//! The integration tests: the whole stack, over its wires.

mod budget;
mod cancel;
mod crash;
mod flows;
mod store;
