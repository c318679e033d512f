//! The local stack: AWS-compatible storage and queues on loopback, a host that runs every function of
//! the template in process, and simulated providers. `cargo run` starts it; so do the tests.

pub mod aws;
pub mod command;
pub mod host;
pub mod stack;
