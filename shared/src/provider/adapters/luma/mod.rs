//! Luma's two APIs.

mod agents;
mod dream_machine;

pub(super) use agents::Luma;
pub(super) use dream_machine::DreamMachine;
