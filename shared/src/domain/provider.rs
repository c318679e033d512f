//! Who makes the media: identity only, as stored, logged and configured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray, VariantNames};

/// A provider that Genmux can call. Its name is its variant's, in lower case.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    VariantArray,
    VariantNames,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Provider {
    Fal,
    Runway,
    Stability,
    Replicate,
    Luma,
    DreamMachine,
    Gemini,
    Vertex,
    Kling,
    KlingLegacy,
    Minimax,
    Openai,
}

/// A name that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no provider is called `{0}`; there are: {names}", names = <Provider as VariantNames>::VARIANTS.join(", "))]
pub struct UnknownProvider(String);

impl Provider {
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    pub fn name(self) -> &'static str {
        self.into()
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
        let known = Self::ALL.iter().find(|provider| provider.name() == name);
        known.copied().ok_or_else(|| UnknownProvider(name.chars().take(40).collect()))
    }
}
