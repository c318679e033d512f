//! How a process starts.

mod binaries;
mod secrets;
