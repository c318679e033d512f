//! Adapters against fixtures and the catalogue, and the client against a server.

mod authenticated;
mod client;
pub(super) mod fixtures;
mod routes;
pub(super) mod server;
