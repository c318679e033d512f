//! Kinds of endpoints, and the addresses that each takes.

use serde::{Deserialize, Serialize};
use strum::EnumString;
use url::Url;

use super::arn::Arn;
use crate::public_url::{PublicUrl, Reach};

/// What an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    #[default]
    /// An HTTP server of the customer: Standard Webhooks.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of a Discord channel.
    Discord,
    /// A chat of Telegram, by the owner's bot.
    Telegram,
    /// A mailbox, by the owner's mail service.
    Email,
    /// A phone, by the owner's texting service.
    Sms,
    /// A topic of SNS.
    Sns,
    /// A queue of SQS.
    Sqs,
    /// An event bus of EventBridge.
    Eventbridge,
    /// A function of Lambda.
    Lambda,
    /// A device, by Firebase Cloud Messaging and the owner's project.
    Fcm,
    /// A device of Apple's, by the owner's app.
    Apns,
    /// A device, by an endpoint of the owner's platform application at SNS.
    SnsPush,
    /// A topic of Google Pub/Sub.
    Pubsub,
    /// A function or service of Google Cloud that is not public.
    CloudRun,
    /// The open connections of a client: see [`Connection`](crate::socket::Connection).
    Websocket,
}

/// What an owner must set up for a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// A [`super::Sender`] at its vendor.
    Sender,
    /// The address itself: it must be among the owner's targets.
    Target,
    Both,
}

impl Need {
    pub const fn has_sender(self) -> bool {
        matches!(self, Self::Sender | Self::Both)
    }

    pub const fn has_target(self) -> bool {
        matches!(self, Self::Target | Self::Both)
    }
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::Webhook,
        Self::Slack,
        Self::Discord,
        Self::Telegram,
        Self::Email,
        Self::Sms,
        Self::Sns,
        Self::Sqs,
        Self::Eventbridge,
        Self::Lambda,
        Self::Fcm,
        Self::Apns,
        Self::SnsPush,
        Self::Pubsub,
        Self::CloudRun,
        Self::Websocket,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            Self::Eventbridge => "eventbridge",
            Self::Lambda => "lambda",
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::SnsPush => "sns_push",
            Self::Pubsub => "pubsub",
            Self::CloudRun => "cloud_run",
            Self::Websocket => "websocket",
        }
    }

    /// The field of a request that its address is in; `None` for a kind that has no address.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Webhook | Self::Slack | Self::Discord | Self::CloudRun => Some("url"),
            Self::Telegram | Self::Email | Self::Sms => Some("to"),
            Self::Sns | Self::Sqs | Self::Eventbridge | Self::Lambda | Self::Pubsub => Some("to"),
            Self::Fcm | Self::Apns | Self::SnsPush => Some("to"),
            Self::Websocket => None,
        }
    }

    /// What an owner must set up before there can be one.
    pub const fn needs(self) -> Need {
        match self {
            Self::Webhook | Self::Slack | Self::Discord | Self::Websocket => Need::Nothing,
            Self::Telegram | Self::Email | Self::Sms => Need::Sender,
            Self::Fcm | Self::Apns | Self::SnsPush => Need::Sender,
            Self::Sns | Self::Sqs | Self::Eventbridge | Self::Lambda => Need::Target,
            // Else every account could use the owner's identity on whatever it may call.
            Self::Pubsub | Self::CloudRun => Need::Both,
        }
    }

    /// Whether a try is made again if it is not known whether the last one arrived. Not by what costs
    /// money or looks like spam.
    pub const fn repeats(self) -> bool {
        match self {
            Self::Webhook | Self::Slack | Self::Discord | Self::Telegram => true,
            Self::Sns | Self::Sqs | Self::Eventbridge | Self::Lambda => true,
            Self::Fcm | Self::Apns | Self::SnsPush | Self::Pubsub | Self::CloudRun => true,
            Self::Websocket => true,
            Self::Email | Self::Sms => false,
        }
    }

    /// Whether its address is a secret: it is all that a sender needs to post.
    pub const fn has_secret_address(self) -> bool {
        match self {
            Self::Slack | Self::Discord => true,
            Self::Webhook | Self::Telegram | Self::Email | Self::Sms => false,
            Self::Sns | Self::Sqs | Self::Eventbridge | Self::Lambda => false,
            Self::Fcm | Self::Apns | Self::SnsPush | Self::Pubsub | Self::CloudRun => false,
            Self::Websocket => false,
        }
    }

    /// The address, as it is kept.
    ///
    /// # Errors
    ///
    /// Why it is no address of this kind: words that continue "must be an address of this kind: ".
    pub fn address(self, text: &str, reach: Reach) -> Result<String, &'static str> {
        let url = || callback_url(text, reach).map(PublicUrl::into_string);
        match self {
            Self::Webhook => url(),
            Self::Slack => url().and_then(|url| {
                checked(url, is_slack, "it is not `https://hooks.slack.com/services/T…/B…/…`")
            }),
            Self::Discord => url().and_then(|url| {
                checked(url, is_discord, "it is not `https://discord.com/api/webhooks/<id>/<token>`")
            }),
            Self::Telegram => checked(
                text.to_owned(),
                is_telegram,
                "it is neither the number of a chat nor the `@name` of a channel",
            ),
            Self::Email => mailbox(text).ok_or("it is not `name@host.example`"),
            Self::Sms => {
                checked(text.to_owned(), is_phone, "it is not an international number as `+4915123456789`")
            }
            Self::Sns => arn(text, "sns", |arn| arn.is_name(256)).ok_or("it is not the ARN of a topic"),
            Self::Sqs => arn(text, "sqs", |arn| arn.is_name(80)).ok_or("it is not the ARN of a queue"),
            Self::Eventbridge => {
                arn(text, "events", |arn| arn.is_event_bus()).ok_or("it is not the ARN of an event bus")
            }
            Self::Lambda => {
                arn(text, "lambda", |arn| arn.is_function()).ok_or("it is not the ARN of a function")
            }
            Self::Fcm => checked(text.to_owned(), is_fcm_token, "it is not a registration token"),
            Self::Apns => {
                checked(text.to_ascii_lowercase(), is_device, "it is not a device token in hexadecimal")
            }
            Self::SnsPush => arn(text, "sns", |arn| arn.is_push_endpoint())
                .ok_or("it is not the ARN of an endpoint of a platform application"),
            Self::Pubsub => {
                checked(text.to_owned(), is_topic, "it is not `projects/<project>/topics/<topic>`")
            }
            Self::CloudRun => url().and_then(|url| {
                checked(url, is_cloud_run, "its host is neither `….run.app` nor `….cloudfunctions.net`")
            }),
            Self::Websocket => Err("it has none"),
        }
    }
}

/// An address by RFC 5321 without quotes, comments and addresses of hosts; its host in lower case.
fn mailbox(text: &str) -> Option<String> {
    let (name, host) = text.rsplit_once('@')?;
    let is_atom = |atom: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b);
        !atom.is_empty() && atom.bytes().all(is_allowed)
    };
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    let is_name = url.domain() == Some(host.to_ascii_lowercase().as_str()) && !host.ends_with('.');
    let is_public = Reach::Public.check(&url).is_ok();
    let is_one = name.len() <= 64 && text.len() <= 254 && name.split('.').all(is_atom);
    (is_one && is_name && is_public).then(|| format!("{name}@{}", host.to_ascii_lowercase()))
}

fn arn(text: &str, service: &str, is_one: fn(&Arn<'_>) -> bool) -> Option<String> {
    let arn = Arn::parse(text).filter(|arn| arn.service == service)?;
    is_one(&arn).then(|| text.to_owned())
}

fn checked(text: String, is_one: fn(&str) -> bool, why_not: &'static str) -> Result<String, &'static str> {
    if is_one(&text) { Ok(text) } else { Err(why_not) }
}

/// By E.164: a country's code and at most 15 digits in all.
fn is_phone(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

/// By <https://core.telegram.org/bots/api#sendmessage>: a number, negative for groups, or a channel's name.
fn is_telegram(chat: &str) -> bool {
    let is_number = |digits: &str| {
        (1..=16).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match chat.strip_prefix('@') {
        Some(name) => {
            (5..=32).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        }
        None => is_number(chat.strip_prefix('-').unwrap_or(chat)),
    }
}

/// The parts of a path at one of these hosts, or on this machine. `None` if there is more than a path:
/// what is not known is not kept, since all but the last part of a secret address is shown.
fn parts(url: &str, hosts: &[&str]) -> Option<Vec<String>> {
    let url = Url::parse(url).ok()?;
    let is_local = url.scheme() == "http";
    let is_at = is_local || hosts.contains(&url.host_str()?);
    let is_path_alone = url.query().is_none() && url.fragment().is_none();
    (is_at && is_path_alone).then(|| url.path_segments().into_iter().flatten().map(str::to_owned).collect())
}

fn is_slack(url: &str) -> bool {
    let parts = parts(url, &["hooks.slack.com", "hooks.slack-gov.com"]).unwrap_or_default();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["services", team, channel, token] => [team, channel, token].into_iter().all(is_word),
        _ => false,
    }
}

fn is_discord(url: &str) -> bool {
    let parts = parts(url, &["discord.com", "discordapp.com"]).unwrap_or_default();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["api", "webhooks", id, token] => is_word(id) && is_word(token),
        ["api", version, "webhooks", id, token] => {
            version.starts_with('v') && [version, id, token].into_iter().all(is_word)
        }
        _ => false,
    }
}

/// By what is seen of them: Google gives no form.
fn is_fcm_token(token: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.');
    (20..=1_024).contains(&token.len()) && token.bytes().all(is_allowed)
}

/// Of variable length, says Apple; 32 bytes for now.
fn is_device(token: &str) -> bool {
    (64..=200).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_hexdigit())
}

/// By <https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names>, without what a path would escape.
fn is_topic(name: &str) -> bool {
    let ["projects", project, "topics", topic] = name.split('/').collect::<Vec<_>>()[..] else {
        return false;
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_name = |text: &str, length: std::ops::RangeInclusive<usize>| {
        length.contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(is_plain)
    };
    is_name(project, 6..=30) && is_name(topic, 3..=255) && !topic.starts_with("goog")
}

/// Google's own hosts, where an ID token is checked before the function runs; or this machine.
fn is_cloud_run(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let is_theirs = [".run.app", ".cloudfunctions.net"].iter().any(|end| host.ends_with(end));
    (is_theirs || url.scheme() == "http") && url.query().is_none() && url.fragment().is_none()
}

fn is_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Parses a URL that events are sent to: as [`PublicUrl`], on port 443 or above 1023.
///
/// # Errors
///
/// Why it is not allowed.
pub fn callback_url(text: &str, reach: Reach) -> Result<PublicUrl, &'static str> {
    let url = PublicUrl::parse(text, reach)?;
    let port = Url::parse(&url).ok().and_then(|url| url.port_or_known_default());
    let is_allowed = port.is_some_and(|port| port == 443 || port > 1_023 || reach == Reach::Loopback);
    if is_allowed { Ok(url) } else { Err("its port is neither 443 nor above 1023") }
}

#[cfg(test)]
mod tests;
