//! A QR code as a picture in the page: no script, no other request.

use std::fmt::Write;

use maud::{Markup, html};
use qrcodegen::{QrCode, QrCodeEcc};

/// Empty modules around the code, as readers need them.
const MARGIN: i32 = 4;

/// The code of a text, dark on light in both colour schemes; nothing for a text that is too long for one.
pub(crate) fn svg(text: &str, label: &str) -> Markup {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return html! {} };
    let side = code.size() + 2 * MARGIN;
    html! {
        svg.qr role="img" aria-label=(label) viewBox={ "0 0 " (side) " " (side) } shape-rendering="crispEdges" {
            rect width=(side) height=(side) fill="#fff" {}
            path d=(path(&code)) fill="#000" {}
        }
    }
}

/// A square for each dark module.
fn path(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _infallible = write!(path, "M{},{}h1v1h-1z", x + MARGIN, y + MARGIN);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_has_no_code() {
        let shown = svg(&"0".repeat(500), "a \"label\"").into_string();
        assert!(
            shown.contains("aria-label=\"a &quot;label&quot;\"") && shown.contains("M4,4h1v1h-1z"),
            "{shown:.200}"
        );
        assert_eq!(svg(&"\u{e9}".repeat(3_000), "").into_string(), "");
    }
}
