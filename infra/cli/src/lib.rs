//! The command line of Genmux: the operator commands and, with the feature `local`, the local stack.

pub mod command;
