//! genmux
