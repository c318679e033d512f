//! The local stack: AWS-compatible storage and queues on loopback, the host that
//! runs every function in process as the template declares it, and simulated
//! providers. `cargo run` starts it; the tests start it in process.

pub mod audit;
pub mod aws;
pub mod command;
mod guard;
pub mod host;
pub mod simulate;
pub mod stack;
