//! How a process starts.

mod binaries;
mod runtime;
mod secrets;
