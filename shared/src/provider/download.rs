//! Fetches media from URLs that providers name: hostile until proved otherwise.
//!
//! The guard acts on the *resolved* address when a connection is made, so that a name
//! cannot point elsewhere between a check and its use. No credentials are ever sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::StatusCode;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::{Host, Url};

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest silence in the middle of a file.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 3;

/// Fetches media, from public https addresses only.
#[derive(Debug, Clone)]
pub struct Downloader {
    http: reqwest::Client,
    guard: Guard,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// It is not there (any more): 404 or 410. A 403 may be of this link alone: later.
    #[error("the file is not there: HTTP {0}")]
    Gone(u16),
    /// The server fails, or the connection does. It may work later.
    #[error("the file could not be fetched now")]
    Later(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the URL is not one that we fetch from: {0}")]
    Forbidden(&'static str),
}

/// The bytes of a file, as they come.
pub type File = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// A file that is on its way.
pub struct Download<S> {
    /// In bytes, if the server announces it.
    pub length: Option<u64>,
    pub body: S,
}

impl<S> std::fmt::Debug for Download<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Downloader {
    /// `allow_loopback` is for the local stack, whose simulated providers live there; it
    /// allows plain http to loopback addresses, and nothing else.
    pub fn new(allow_loopback: bool) -> Result<Self, reqwest::Error> {
        let guard = Guard { allow_loopback };
        let follow = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX || guard.check(attempt.url()).is_err() {
                attempt.error("redirected to where we do not fetch from")
            } else {
                attempt.follow()
            }
        });
        let http = reqwest::Client::builder()
            .redirect(follow)
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .dns_resolver(Arc::new(guard))
            .build()?;
        Ok(Self { http, guard })
    }

    /// Opens a file. The body is streamed: nothing of it is kept.
    pub async fn open(&self, url: &str) -> Result<Download<File>, DownloadError> {
        let parsed = Url::parse(url);
        let Ok(url) = parsed else { return Err(DownloadError::Forbidden("it is not a URL")) };
        self.guard.check(&url).map_err(DownloadError::Forbidden)?;
        // A presigned URL is a secret: errors must not carry it into a log.
        let sent = self.http.get(url).send().await.map_err(|error| later(error.without_url()))?;
        Download::of(sent)
    }
}

impl Download<File> {
    /// A file that is here already.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let length = u64::try_from(bytes.len()).ok();
        Self { length, body: stream::iter([Ok(bytes)]).boxed() }
    }

    /// The file that an answer brings, if it brings one.
    pub(super) fn of(response: reqwest::Response) -> Result<Self, DownloadError> {
        match response.status() {
            StatusCode::OK => {
                Ok(Self { length: response.content_length(), body: response.bytes_stream().boxed() })
            }
            gone @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(DownloadError::Gone(gone.as_u16())),
            status => Err(later(format!("HTTP {}", status.as_u16()))),
        }
    }
}

pub(super) fn later(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DownloadError {
    DownloadError::Later(source.into())
}

#[derive(Debug, Clone, Copy)]
struct Guard {
    allow_loopback: bool,
}

impl Guard {
    /// What can be said of a URL before its name is resolved.
    fn check(self, url: &Url) -> Result<(), &'static str> {
        let literal = match url.host().ok_or("it has no host")? {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        };
        if literal.is_some_and(|ip| !self.allows(ip)) {
            return Err("its address is not public");
        }
        let local = self.allow_loopback && literal.is_some_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(()),
            "http" if local => Ok(()),
            _ => Err("it is not https"),
        }
    }

    fn allows(self, ip: IpAddr) -> bool {
        is_public(ip) || (self.allow_loopback && ip.is_loopback())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no public address".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Ranges that are no public unicast address: private, shared, reserved, documentation,
/// benchmarking, transition mechanisms that can carry any of them.
const NOT_PUBLIC: [&str; 26] = [
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
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

fn is_public(ip: IpAddr) -> bool {
    let special = NOT_PUBLIC.iter().any(|range| {
        let range: IpNet = range.parse().expect("a test parses every range");
        range.contains(&ip)
    });
    let site_local = matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0);
    !special
        && !site_local
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
        && ip != IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_parses_and_only_public_addresses_pass() {
        for range in NOT_PUBLIC {
            let net: IpNet = range.parse().unwrap();
            assert!(!is_public(net.addr()), "{range}");
            assert!(!is_public(net.broadcast()), "{range}");
        }
        for ip in ["1.1.1.1", "52.95.110.1", "2606:4700::1111", "100.63.255.255", "172.32.0.1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fec0::1", "64:ff9b::a00:1"] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn hosts_in_disguise_are_refused() {
        let check = |allow_loopback, url: &str| Guard { allow_loopback }.check(&Url::parse(url).unwrap());
        for url in [
            "https://127.0.0.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "http://example.com/",
            "ftp://example.com/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert!(check(false, url).is_err(), "{url}");
        }
        assert!(check(false, "https://v3.fal.media/files/a.mp4").is_ok());
        assert!(check(true, "http://127.0.0.1:9/a.mp4").is_ok());
        assert!(check(true, "http://10.0.0.1/a.mp4").is_err());
        assert!(check(true, "http://example.com/a.mp4").is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_when_it_is_dialled() {
        let refused = Downloader::new(false).unwrap().open("https://localhost/a.mp4").await;
        assert!(matches!(refused, Err(DownloadError::Later(_))));
    }
}
