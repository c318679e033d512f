//! The subcommands of `genmux`.
