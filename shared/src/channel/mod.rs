//! Where events go: one file for each kind of endpoint, and the one client that calls them all.

mod apns;
mod aws;
mod client;
mod cloud_run;
mod discord;
mod email;
mod fcm;
mod google;
mod pubsub;
mod senders;
mod slack;
mod sms;
mod telegram;
mod text;
mod webhook;

pub use apns::Apns;
pub use aws::Aws;
pub use aws::sockets::{Posted, SocketGateway};
pub use client::{CALL_MAX, Channels, Envelope, Sent};
pub use email::{MailService, Mailbox, Mailer, is_unsubscribe_token, named_by};
pub use google::Google;
pub use senders::Senders;
pub use sms::{Texter, Twilio};
pub use webhook::key;

#[cfg(test)]
mod tests;
