//! `status`
