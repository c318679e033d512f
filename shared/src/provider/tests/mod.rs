//! Adapters against fixtures and the catalogue, and the client against a server.

mod authenticated;
mod client;
pub(super) mod fixtures;
pub(super) mod google_key;
mod routes;
pub(super) mod server;
