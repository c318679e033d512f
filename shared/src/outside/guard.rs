//! The SSRF guard of every call whose address came from outside.
//!
//! It checks the *resolved* address of each connection, so that DNS rebinding cannot bypass it.

use std::error::Error;
use std::net::SocketAddr;

use domain::public_url::Reach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name that resolves to no allowed address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NoPublicAddress;

/// Why the guard blocked it, if it did.
pub(crate) fn is_forbidden(error: &reqwest::Error) -> Option<&'static str> {
    if error.is_redirect() {
        return Some("it redirects to where we do not fetch from");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NoPublicAddress>() {
            return Some("its name has no public address");
        }
        cause = error.source();
    }
    None
}

/// Resolves names to allowed addresses: those that are checked are those that are dialled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard<R = System> {
    reach: Reach,
    names: R,
}

/// The names of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System;

impl Guard {
    pub(crate) const fn new(reach: Reach) -> Self {
        Self { reach, names: System }
    }
}

impl<R> Guard<R> {
    #[cfg(test)]
    pub(crate) const fn with_names(reach: Reach, names: R) -> Self {
        Self { reach, names }
    }
}

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

impl<R: Resolve> Resolve for Guard<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, resolving) = (self.reach, self.names.resolve(name));
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.collect();
            let allowed: Vec<_> =
                found.iter().filter(|address| reach.allows(address.ip())).copied().collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_when_it_is_dialled() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Guard::new(Reach::Public).resolve(name()).await.err().unwrap();
        assert!(refused.is::<NoPublicAddress>(), "{refused}");
        assert!(Guard::new(Reach::Loopback).resolve(name()).await.unwrap().next().is_some());
        // As the HTTP client reports it.
        let client = crate::outside::client::builder().dns_resolver(Arc::new(Guard::new(Reach::Public)));
        let error = client.build().unwrap().get("https://localhost/").send().await.unwrap_err();
        assert_eq!(is_forbidden(&error), Some("its name has no public address"), "{error:?}");
    }
}
