//! The binary `genmux`, run as a user runs it.

mod callers;
mod commands;
mod images;
mod process;
mod server;
