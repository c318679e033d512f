//! Stored enums that a newer release may extend. An unknown value is kept unchanged, so that old
//! code can read and write rows of a newer release.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// Maximum number of unknown words that one process keeps, and their maximum length in bytes. They
/// come from our own table, so there are few.
const WORDS_MAX: usize = 1_000;
const WORD_BYTES_MAX: usize = 64;

/// An enum that is stored as a word.
pub(super) trait Word: Copy + 'static {
    const KNOWN: &'static [Self];

    fn word(self) -> &'static str;
    /// The value of an unknown word.
    fn other(word: &'static str) -> Self;
}

pub(super) fn serialize<W: Word, S: Serializer>(word: &W, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word.word())
}

pub(super) fn deserialize<'de, W: Word, D: Deserializer<'de>>(deserializer: D) -> Result<W, D::Error> {
    let text = String::deserialize(deserializer)?;
    if let Some(known) = W::KNOWN.iter().find(|known| known.word() == text) {
        return Ok(*known);
    }
    keep(&text).map(W::other).ok_or_else(|| D::Error::custom("not a word, or one too many"))
}

/// As [`deserialize`], for an optional value.
pub(super) fn deserialize_option<'de, W: Word, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<W>, D::Error> {
    struct Stored<W>(W);
    impl<'de, W: Word> Deserialize<'de> for Stored<W> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Stored)
        }
    }
    Ok(Option::<Stored<W>>::deserialize(deserializer)?.map(|stored| stored.0))
}

/// Interns a word for the lifetime of the process.
fn keep(text: &str) -> Option<&'static str> {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(word) = kept.get(text) {
        return Some(word);
    }
    let is_word = !text.is_empty()
        && text.len() <= WORD_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !is_word || kept.len() >= WORDS_MAX {
        return None;
    }
    let word: &'static str = Box::leak(text.to_owned().into_boxed_str());
    kept.insert(word);
    Some(word)
}

/// Implements serde for an enum that is stored as a word.
macro_rules! stored_by_word {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::word::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::word::deserialize(deserializer)
            }
        }

        impl $crate::word::Word for $name {
            const KNOWN: &'static [Self] = &Self::ALL;

            fn word(self) -> &'static str {
                self.name()
            }

            fn other(word: &'static str) -> Self {
                Self::Other(word)
            }
        }
    };
}
pub(super) use stored_by_word;

#[cfg(test)]
mod tests {
    use crate::attempt::Phase;

    #[test]
    fn an_unknown_word_is_written_as_it_was_read() {
        let phase: Phase = serde_json::from_str("\"resting\"").unwrap();
        assert_eq!(phase, Phase::Other("resting"));
        assert_eq!(serde_json::to_string(&phase).unwrap(), "\"resting\"");
        assert_eq!(serde_json::from_str::<Phase>("\"running\"").unwrap(), Phase::Running);
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for text in ["\"\"", "\"a b\"", "7", "null", "{}", "\"\\u00e4\""] {
            assert!(serde_json::from_str::<Phase>(text).is_err(), "{text}");
        }
        let long = format!("\"{}\"", "x".repeat(65));
        assert!(serde_json::from_str::<Phase>(&long).is_err());
    }
}
