//! How many active jobs an account may have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The limit of active jobs: a number, or `none`.
///
/// Without a limit active jobs are not counted, so that the end of a job without a refund leaves the
/// account's balance alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LiveMax {
    AtMost(u32),
    None(Unlimited),
}

/// The text `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlimited {
    None,
}

/// A limit that is neither a number nor `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number up to {}, or none", u32::MAX)]
pub struct InvalidLimit;

impl LiveMax {
    pub const NONE: Self = Self::None(Unlimited::None);

    /// The number; `None` without a limit.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::AtMost(most) => Some(most),
            Self::None(_) => None,
        }
    }
}

impl FromStr for LiveMax {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        match text {
            "none" => Ok(Self::NONE),
            _ => text.parse().map(Self::AtMost).map_err(|_invalid| InvalidLimit),
        }
    }
}

impl fmt::Display for LiveMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "{most}"),
            Self::None(_) => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_none() {
        for (text, json, limit) in [
            ("0", "0", LiveMax::AtMost(0)),
            ("17", "17", LiveMax::AtMost(17)),
            ("none", "\"none\"", LiveMax::NONE),
        ] {
            assert_eq!((text.parse(), limit.to_string().as_str()), (Ok(limit), text));
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
            assert_eq!(serde_json::from_str::<LiveMax>(json).unwrap(), limit);
        }
        for wrong in ["", "-1", "4294967296", "None", "many"] {
            assert_eq!(wrong.parse::<LiveMax>(), Err(InvalidLimit), "{wrong}");
        }
    }
}
