//! The binary `genmux`, run as a user runs it.

mod bills;
mod callers;
mod catalogue;
mod commands;
mod figures;
mod images;
mod process;
mod server;
