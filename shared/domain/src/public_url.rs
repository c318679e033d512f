//! Untrusted URLs, from requests and providers. Parsed once, and kept as parsed.

// Addresses alone: `core` has no sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Maximum length of a URL in a request, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// The accepted URLs, in words for callers.
pub const ALLOWED: &str = "an https URL of at most 2048 bytes, with a public host and without user name, password, blanks, \
     control characters and backslashes";

/// The https URL of a public host, as its parser printed it: the checked text is the sent text.
/// The client checks the resolved addresses: see [`Reach::allows`].
///
/// It is read from the table unchecked: earlier releases accepted some that this one rejects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

/// The hosts that may be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Public hosts, over https.
    #[default]
    Public,
    /// Also this machine, also over http. Only for the local stack.
    Loopback,
}

impl PublicUrl {
    /// Parses a URL of at most [`URL_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// Why it is invalid.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, &'static str> {
        Self::of_length(text, URL_BYTES_MAX, reach)
    }

    /// As [`PublicUrl::parse`], with another maximum length, before and after parsing.
    pub fn of_length(text: &str, bytes_max: usize, reach: Reach) -> Result<Self, &'static str> {
        if text.len() > bytes_max {
            return Err("it is too long");
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err("it has a blank, a control character or a backslash in it");
        }
        // The WHATWG parser adds missing slashes and drops extra ones.
        let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let split = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
        let (_, rest) = split.ok_or("it does not begin with `https://`")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err("it has no host after `https://`");
        }
        if authority.contains('@') {
            return Err("it has a user name or a password");
        }
        let url = Url::parse(text).map_err(|_not_a_url| "it is not a URL")?;
        reach.check(&url)?;
        if url.as_str().len() > bytes_max {
            return Err("it is too long once it is percent-encoded");
        }
        Ok(Self(url.into()))
    }

    /// What stands for an uploaded image: no URL that is ever called.
    pub(crate) fn of_upload(name: String) -> Self {
        Self(name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for PublicUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Reach {
    pub fn of(allow_loopback: bool) -> Self {
        if allow_loopback { Self::Loopback } else { Self::Public }
    }

    /// Checks a URL before its host name is resolved.
    ///
    /// # Errors
    ///
    /// Why it is not allowed.
    pub fn check(self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user name or a password");
        }
        let is_loopback = match url.host().ok_or("it has no host")? {
            Host::Domain(name) if self == Self::Loopback && is_localhost(name) => true,
            Host::Domain(name) if is_public_name(name) => false,
            Host::Domain(_) => return Err("its host name is not a public one"),
            Host::Ipv4(ip) => self.is_loopback(ip.into())?,
            Host::Ipv6(ip) => self.is_loopback(ip.into())?,
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback => Ok(()),
            _ => Err("it is not https"),
        }
    }

    /// Whether a resolved address may be contacted.
    pub fn allows(self, ip: IpAddr) -> bool {
        is_public(ip) || (self == Self::Loopback && ip.is_loopback())
    }

    fn is_loopback(self, ip: IpAddr) -> Result<bool, &'static str> {
        if self.allows(ip) { Ok(ip.is_loopback()) } else { Err("its address is not public") }
    }
}

/// Last labels of names that resolve only within a machine or a network.
const NOT_PUBLIC_NAMES: [&str; 11] = [
    "localhost",
    "local",
    "internal",
    "localdomain",
    "lan",
    "home",
    "corp",
    "private",
    "intranet",
    "home.arpa",
    "in-addr.arpa",
];

/// A name of several labels, with an optional final dot.
fn is_public_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_below =
        |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && !NOT_PUBLIC_NAMES.iter().any(|end| is_below(end))
}

fn is_localhost(name: &str) -> bool {
    name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost")
}

/// The only IPv6 range of public unicast addresses.
const PUBLIC_V6: &str = "2000::/3";

/// Blocks of IPv4 and [`PUBLIC_V6`] that are not public unicast: private, shared, reserved,
/// documentation, benchmarking, and embedded IPv4 addresses. Some small blocks of `2001::/23` are
/// reachable (relay anycast), but serve no files.
const NOT_PUBLIC: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3ffe::/16",
    "3fff::/20",
];

/// Whether an address is a public unicast one.
pub fn is_public(ip: IpAddr) -> bool {
    let within = |range: &str| {
        let range: IpNet = range.parse().expect("a test parses every range");
        range.contains(&ip)
    };
    match ip {
        IpAddr::V4(ip) if ip == Ipv4Addr::BROADCAST => return false,
        IpAddr::V4(_) => {}
        IpAddr::V6(ip) if !within(PUBLIC_V6) || is_isatap(ip) => return false,
        IpAddr::V6(_) => {}
    }
    !NOT_PUBLIC.iter().any(|range| within(range))
}

/// Whether it embeds an IPv4 address by ISATAP, under any prefix.
fn is_isatap(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests;
