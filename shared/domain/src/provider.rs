//! Providers: identity only, as stored, logged and configured.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::word::{self, Word};

/// A provider. Its name is its variant's, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    Byteplus,
    Dashscope,
    Xai,
    /// A provider without an adapter in this release. Only stored attempts have it.
    Other(&'static str),
}

/// An unknown provider name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no provider is called `{0}`; there are: {names}", names = names().join(", "))]
pub struct UnknownProvider(String);

const fn names() -> [&'static str; Provider::ALL.len()] {
    let mut names = [""; Provider::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = Provider::ALL[n].name();
        n += 1;
    }
    names
}

impl Provider {
    pub const ALL: &'static [Self] = &[
        Self::Fal,
        Self::Runway,
        Self::Stability,
        Self::Replicate,
        Self::Luma,
        Self::DreamMachine,
        Self::Gemini,
        Self::Vertex,
        Self::Kling,
        Self::KlingLegacy,
        Self::Minimax,
        Self::Openai,
        Self::Byteplus,
        Self::Dashscope,
        Self::Xai,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fal => "fal",
            Self::Runway => "runway",
            Self::Stability => "stability",
            Self::Replicate => "replicate",
            Self::Luma => "luma",
            Self::DreamMachine => "dream_machine",
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Kling => "kling",
            Self::KlingLegacy => "kling_legacy",
            Self::Minimax => "minimax",
            Self::Openai => "openai",
            Self::Byteplus => "byteplus",
            Self::Dashscope => "dashscope",
            Self::Xai => "xai",
            Self::Other(name) => name,
        }
    }
}

impl Serialize for Provider {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        word::serialize(self, serializer)
    }
}

/// Accepts only known names, for callers and catalogues; stored rows are read with `word`.
impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; Provider::ALL.len()] = names();
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|_unknown| D::Error::unknown_variant(&name, &NAMES))
    }
}

impl Word for Provider {
    const KNOWN: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }

    fn other(name: &'static str) -> Self {
        Self::Other(name)
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
