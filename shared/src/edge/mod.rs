//! Events in, answers out: problems, authentication, batches.

pub mod auth;
pub mod batch;
pub mod http;
pub mod recent;
pub mod view;
