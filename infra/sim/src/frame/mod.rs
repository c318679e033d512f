//! What all simulated providers share.

pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod create;
pub(crate) mod directive;
pub(crate) mod form;
mod images;
pub(crate) mod jobs;
pub(crate) mod media;
pub(crate) mod play;
mod png;
pub(crate) mod poll;
pub(crate) mod schema;
pub(crate) mod server;
pub(crate) mod simulator;
pub(crate) mod standard_webhooks;
mod store;
mod video;
pub(crate) mod webhook;
pub(crate) mod wire;
