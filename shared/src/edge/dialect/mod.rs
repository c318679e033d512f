//! How the API shows jobs and errors.

pub mod native;
