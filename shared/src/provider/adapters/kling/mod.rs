//! Kling's two APIs.

mod common;
mod current;
mod legacy;

pub(super) use current::Kling;
pub(super) use legacy::KlingLegacy;
