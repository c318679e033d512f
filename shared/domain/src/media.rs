//! A finished job's file.

use serde::{Deserialize, Serialize};

/// A finished job's stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    pub key: String,
    pub bytes: u64,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
    pub content_type: String,
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
}

/// Metadata of a video or image, as far as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// In pixels, as displayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_per_1000_s: Option<u32>,
}

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is clearly shorter than requested: by more than a second and by more than a
    /// tenth.
    pub fn is_short(&self, ordered_s: u32) -> bool {
        let ordered_ms = u64::from(ordered_s) * 1_000;
        let missing_ms = self.duration_ms.map_or(0, |made_ms| ordered_ms.saturating_sub(made_ms));
        missing_ms > 1_000 && missing_ms > ordered_ms / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_short_if_more_is_missing_than_rounding_explains() {
        let made = |duration_ms| Details { duration_ms, ..Details::default() };
        for (made_ms, ordered_s, is_short) in [
            (5_000, 5, false),
            (4_001, 5, false),
            (3_999, 5, true),
            (6_000, 5, false),
            (28_000, 30, false),
            (26_900, 30, true),
            (1, 1, false),
        ] {
            assert_eq!(made(Some(made_ms)).is_short(ordered_s), is_short, "{made_ms} of {ordered_s}");
        }
        assert!(!made(None).is_short(5));
    }
}
