//! The integration tests: the whole stack, over its wires.

mod crash;
mod flows;
