//! The pages, one file each.

pub(crate) mod credits;
pub(crate) mod endpoints;
pub(crate) mod gallery;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod key;
pub(crate) mod operate;
pub(crate) mod overview;
pub(crate) mod playground;
mod qr;
pub(crate) mod topups;
