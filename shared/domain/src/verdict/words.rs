//! Cleans a provider's error message: it is untrusted, and shown to callers.

use super::Fault;

/// Placeholder for redacted parts.
const OUT: &str = "[...]";
/// Characters of the raw text that are read.
const RAW_MAX: usize = 4_000;
/// This many consecutive words of the prompt count as a repeat.
const ROW: usize = 4;
/// Minimum length of an id or key.
const ID_MIN: usize = 12;

/// The text on one line, without URLs, ids and keys; `None` if no text is left.
pub(super) fn clean(text: &str) -> Option<String> {
    let text: String = text.chars().take(RAW_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let kept = text.split_whitespace().map(|word| if is_secret(word) { OUT } else { word });
    join(kept)
}

/// The text without repeats of the prompt.
pub(super) fn without(text: &str, prompt: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |text: &str| -> Vec<String> { text.split_whitespace().map(bare).collect() };
    let (found, in_prompt) = (plain(text), plain(prompt));
    let row = ROW.min(in_prompt.len()).max(1);
    let mut is_repeat = vec![false; words.len()];
    for (at, window) in found.windows(row).enumerate() {
        if in_prompt.windows(row).any(|other| other == window) {
            is_repeat[at..at + row].fill(true);
        }
    }
    join(words.into_iter().zip(is_repeat).map(|(word, is_repeat)| if is_repeat { OUT } else { word }))
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// Joins as many words as fit; consecutive placeholders become one.
fn join<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut line = String::new();
    let mut last = "";
    let mut has_text = false;
    for word in words {
        if word == OUT && last == OUT {
            continue;
        }
        let length = line.chars().count() + word.chars().count() + 1;
        if length > Fault::WORDS_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        has_text |= word != OUT && word.chars().any(char::is_alphanumeric);
        last = word;
    }
    has_text.then_some(line)
}

/// Whether a word is a URL or an address, or looks like an id or a key: long with digits, or with
/// a known key prefix.
fn is_secret(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    if lower.contains("://") || lower.starts_with("www.") || lower.contains('@') || lower.contains("data:") {
        return true;
    }
    if word.chars().count() > 60 {
        return true;
    }
    let parts =
        word.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '+' | '=' | '.' | '/')));
    parts.into_iter().any(|part| {
        let part = part.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = part.chars().filter(char::is_ascii_digit).count();
        let letters = part.chars().filter(|c| c.is_alphabetic()).count();
        let is_key = ["sk-", "sk_", "key-", "key_", "r8_", "fal_", "akia", "aiza", "eyj", "bearer"]
            .iter()
            .any(|start| part.to_ascii_lowercase().starts_with(start));
        let is_long = part.len() >= ID_MIN;
        (is_key && part.len() > 8)
            || (is_long && digits >= 2 && letters >= 1)
            || (is_long && digits >= ID_MIN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sentences_are_unchanged() {
        for text in [
            "Image pixel is invalid",
            "The image must be at least 300x300 px (got 128x96).",
            "Error code 1301: prompt contains sensitive information.",
            "Unsupported aspect ratio 21:9 for 1080p",
            "Das Bild ist zu groß, höchstens 10 MB.",
        ] {
            assert_eq!(clean(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn urls_ids_keys_and_line_breaks_are_removed() {
        for (text, left) in [
            ("could not fetch https://a.example/x.png?sig=1 now", Some("could not fetch [...] now")),
            ("task 764cabcf-b745-4b3e-ae38-1200304cf45b failed", Some("task [...] failed")),
            ("bad key sk-abcdefghijk.", Some("bad key [...]")),
            (
                "Incorrect API key provided: AIzaSyD4x. See (https://a.example).",
                Some("Incorrect API key provided: [...] See [...]"),
            ),
            ("request_id=req_0123456789ab, retry", Some("[...] retry")),
            ("a\r\n  b\tc\u{7}d", Some("a b c d")),
            ("id 106916112212032", Some("id [...]")),
            ("mail me@example.com", Some("mail [...]")),
            ("https://a.example/x", None),
            (" \n", None),
            ("...", None),
        ] {
            assert_eq!(clean(text).as_deref(), left, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_ends_at_a_word() {
        let text = "wörter ".repeat(1_000);
        let kept = clean(&text).unwrap();
        assert!(kept.chars().count() <= Fault::WORDS_MAX && kept.ends_with("wörter"), "{kept}");
    }

    #[test]
    fn repeats_of_the_prompt_are_removed() {
        let prompt = "A paper boat sails over a purple sea at dawn";
        let without = |text: &str| without(text, prompt);
        assert_eq!(
            without("Your prompt 'a paper boat sails over a purple sea at dawn' was flagged").as_deref(),
            Some("Your prompt [...] was flagged")
        );
        assert_eq!(without("flagged: \"Boat sails over a\"...").as_deref(), Some("flagged: [...]"));
        assert_eq!(without("A paper is missing").as_deref(), Some("A paper is missing"));
        assert_eq!(without(prompt), None);
        assert_eq!(super::without("bad word: boat", "boat").as_deref(), Some("bad word: [...]"));
        assert_eq!(super::without("nothing", "").as_deref(), Some("nothing"));
    }
}
