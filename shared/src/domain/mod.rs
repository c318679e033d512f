//! The rules. Pure: no async, no I/O, no clock, no randomness.

pub mod time;
