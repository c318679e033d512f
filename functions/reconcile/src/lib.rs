//! `reconcile`
