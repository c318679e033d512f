//! What is written down is what runs: the API's document, the event documents, the template.

mod answers;
mod environment;
mod events;
mod limits;
pub(crate) mod openapi;
mod readme;
mod schema;

pub(crate) use events::{EVENTS, WEBHOOKS, event, kind, settle_in};
pub(crate) use openapi::{root, sources};
