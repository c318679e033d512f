//! What the owner sends with.

use signatures::Secret;
use url::Url;

use super::apns::Apns;
use super::aws::Aws;
use super::email::Mailer;
use super::google::Google;
use super::sms::Texter;

/// The cause of a try that failed because the vendor refuses the owner's own credentials.
pub(super) const SENDER_REFUSED: &str = "sender_refused";
/// The cause of a try that failed because the owner has no sender for the kind any more.
pub(super) const NO_SENDER: &str = "no_sender";

/// The cause of a try that failed because its vendor gave us no token now.
pub(super) const NO_TOKEN: &str = "no_token";

/// The vendor refuses the owner's own credentials: no fault of the endpoint, and not its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SenderRefused;

/// The owner's credentials at the vendors, and another origin for all of them. The simulators of all
/// vendors are one server, so that one origin is enough.
#[derive(Debug, Clone, Default)]
pub struct Senders {
    pub base_url: Option<Url>,
    /// The token of a bot.
    pub telegram: Option<Secret>,
    pub email: Option<Mailer>,
    pub sms: Option<Texter>,
    pub google: Option<Google>,
    pub apns: Option<Apns>,
    /// Us, for targets, mails, texts and devices.
    pub aws: Option<Aws>,
}
