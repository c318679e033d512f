//! The harness: the whole stack in process under a clock that is turned by hand, with a
//! wire that can fail, and an audit after every flow.

pub mod rights;
pub mod simulation;
pub mod story;
pub mod wire;
pub mod world;

pub use story::Story;
pub use wire::{Moment, Storm, Wire};
pub use world::{Answer, World};
