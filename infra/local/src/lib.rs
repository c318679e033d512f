//! The local stack: AWS-compatible storage and queues on loopback, a host that runs every function of
//! the template in process, and simulated providers. The commands start it; so do the tests.

pub mod aws;
pub mod host;
pub mod stack;
