//! The texts of the API's document: paragraphs with `code` and **bold** words. No other markup is used there.

use maud::{Markup, html};

/// Paragraphs.
pub(super) fn paragraphs(text: &str) -> Markup {
    html! { @for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) { p { (line(part)) } } }
}

/// One paragraph, without its element. What stands between backticks is code, and the rest may be bold; a mark
/// without its end is text.
pub(super) fn line(text: &str) -> Markup {
    html! {
        @for (part, is_code) in marked(text, "`") {
            @if is_code { code { (part) } }
            @else { @for (part, is_bold) in marked(part, "**") { @if is_bold { strong { (part) } } @else { (part) } } }
        }
    }
}

/// The parts of a text, and whether each stands between two of these marks.
fn marked<'a>(text: &'a str, mark: &str) -> Vec<(&'a str, bool)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark)
        && let Some((inner, end)) = after.split_once(mark)
    {
        parts.extend([(before, false), (inner, true)]);
        rest = end;
    }
    parts.push((rest, false));
    parts.retain(|(part, _)| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_code_and_bold_words_and_nothing_else() {
        for (text, shown) in [
            ("a < b & c", "a &lt; b &amp; c"),
            ("`a **b**` or **c**", "<code>a **b**</code> or <strong>c</strong>"),
            ("`job.*`, `*`", "<code>job.*</code>, <code>*</code>"),
            ("a ` b", "a ` b"),
            ("<b>`<i>`", "&lt;b&gt;<code>&lt;i&gt;</code>"),
        ] {
            assert_eq!(line(text).into_string(), shown);
        }
        assert_eq!(paragraphs("a\nb\n\nc\n").into_string(), "<p>a\nb</p><p>c\n</p>");
    }
}
