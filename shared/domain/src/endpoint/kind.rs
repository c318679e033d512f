//! Kinds of endpoints, and the addresses that each takes.

use serde::{Deserialize, Serialize};
use strum::EnumString;
use url::Url;

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
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Slack, Self::Discord];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Discord => "discord",
        }
    }

    /// Whether its address is a secret: it is all that a sender needs to post.
    pub const fn has_secret_address(self) -> bool {
        match self {
            Self::Webhook => false,
            Self::Slack | Self::Discord => true,
        }
    }

    /// The address, as it is kept.
    ///
    /// # Errors
    ///
    /// Why it is no address of this kind.
    pub fn address(self, text: &str, reach: Reach) -> Result<String, &'static str> {
        let url = callback_url(text, reach)?.into_string();
        match self {
            Self::Webhook => Ok(url),
            Self::Slack if is_slack(&url) => Ok(url),
            Self::Slack => Err("it is not `https://hooks.slack.com/services/T…/B…/…`"),
            Self::Discord if is_discord(&url) => Ok(url),
            Self::Discord => Err("it is not `https://discord.com/api/webhooks/<id>/<token>`"),
        }
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
