//! Stand-ins for the four AWS services that the functions use, each on a loopback port.

pub mod dynamodb;
pub mod s3;
pub mod secrets;
pub mod sqs;
