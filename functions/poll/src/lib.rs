//! `poll`
