//! `settle`
