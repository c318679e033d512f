//! What a provider says of a failure for people, cleaned before it is kept: it comes from outside,
//! and is shown to callers.

use super::Fault;

/// Stands for what was taken out.
const OUT: &str = "[...]";
/// Letters of the raw text that are looked at.
const RAW_MAX: usize = 4_000;
/// So many words in a row that are also in the prompt are a repeat of it.
const ROW: usize = 4;
/// A shorter word is no id and no key.
const ID_MIN: usize = 12;

/// The text on one line, without URLs, and without what looks like an id or a key; `None` if nothing
/// is left that says anything.
pub(super) fn clean(text: &str) -> Option<String> {
    let text: String = text.chars().take(RAW_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let kept = text.split_whitespace().map(|word| if is_secret(word) { OUT } else { word });
    join(kept)
}

/// The text without what it repeats of the prompt: a row of its words, or all of them.
pub(super) fn without(text: &str, prompt: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |text: &str| -> Vec<String> { text.split_whitespace().map(bare).collect() };
    let (said, asked) = (plain(text), plain(prompt));
    let row = ROW.min(asked.len()).max(1);
    let mut is_repeat = vec![false; words.len()];
    for (at, window) in said.windows(row).enumerate() {
        if asked.windows(row).any(|other| other == window) {
            is_repeat[at..at + row].fill(true);
        }
    }
    join(words.into_iter().zip(is_repeat).map(|(word, is_repeat)| if is_repeat { OUT } else { word }))
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// Joins words, at most as many as fit; what was taken out in a row shows once.
fn join<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut line = String::new();
    let mut last = "";
    let mut says_something = false;
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
        says_something |= word != OUT && word.chars().any(char::is_alphanumeric);
        last = word;
    }
    says_something.then_some(line)
}

/// Whether a word is a URL, an address, or may be an id or a key: long, with digits in it, or in
/// one of the forms that keys have.
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
    fn plain_sentences_stay_as_they_are() {
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
    fn urls_ids_keys_and_line_breaks_go() {
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
    fn what_repeats_the_prompt_goes() {
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
