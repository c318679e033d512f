//! What is written down is what runs: the API's document, the event documents, the template, the
//! pages.

mod answers;
mod environment;
mod events;
mod limits;
mod logs;
mod metrics;
mod objects;
pub(crate) mod openapi;
mod pages;
mod schema;
mod tables;

pub(crate) use events::{EVENTS, WEBHOOKS, event, kind, settle_in};
pub(crate) use openapi::{files, root, sources};
