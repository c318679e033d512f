//! Who makes the video: identity only, as stored, logged and configured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A provider that Genmux can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Fal,
    Runway,
}

/// A name that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no provider is called `{0}`; there are: fal, runway")]
pub struct UnknownProvider(String);

impl Provider {
    pub const ALL: [Self; 2] = [Self::Fal, Self::Runway];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fal => "fal",
            Self::Runway => "runway",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == name)
            .ok_or_else(|| UnknownProvider(name.chars().take(40).collect()))
    }
}
