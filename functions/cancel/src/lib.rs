//! `cancel`
