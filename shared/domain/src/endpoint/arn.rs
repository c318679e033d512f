//! Names of resources of AWS that events can be sent to.

/// The parts of `arn:aws:<service>:<region>:<account>:<resource>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` for another text; also in a partition whose hosts have another domain. A region and an account
    /// may become part of a host and a path.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let is_arn = next()? == "arn" && matches!(next()?, "aws" | "aws-us-gov");
        let (service, region, account, resource) = (next()?, next()?, next()?, next()?);
        let is_region = (1..=32).contains(&region.len())
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && region.starts_with(|c: char| c.is_ascii_lowercase());
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (is_arn && is_region && is_account).then_some(Self { service, region, account, resource })
    }

    /// Whether its resource is a name of at most this length, perhaps of a queue or topic in order.
    pub(super) fn is_name(&self, length_max: usize) -> bool {
        is_word(self.resource.strip_suffix(".fifo").unwrap_or(self.resource), "", length_max)
    }

    pub(super) fn is_event_bus(&self) -> bool {
        self.resource.strip_prefix("event-bus/").is_some_and(|name| is_word(name, "./", 256))
    }

    /// `endpoint/<platform>/<application>/<id>`.
    pub(super) fn is_push_endpoint(&self) -> bool {
        match self.resource.split('/').collect::<Vec<_>>()[..] {
            ["endpoint", platform, application, id] => {
                is_word(platform, "", 32) && is_word(application, ".", 256) && is_word(id, "", 64)
            }
            _ => false,
        }
    }

    /// A function, perhaps with an alias or a version.
    pub(super) fn is_function(&self) -> bool {
        let Some(name) = self.resource.strip_prefix("function:") else { return false };
        let (name, version) = name.split_once(':').unwrap_or((name, "1"));
        is_word(name, "", 64) && is_word(version, "$", 128)
    }
}

fn is_word(text: &str, more: &str, length_max: usize) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || more.contains(c);
    (1..=length_max).contains(&text.len()) && text.chars().all(is_allowed)
}
