//! The binary `genmux`, run as a user runs it.

mod commands;
mod process;
