//! How a process starts.

mod secrets;
