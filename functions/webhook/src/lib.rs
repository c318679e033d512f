//! `webhook`
