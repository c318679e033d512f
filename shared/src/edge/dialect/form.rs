//! Bodies of `multipart/form-data` (RFC 7578), read as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Fields of one form.
const FIELDS_MAX: usize = 64;
/// Bytes of the headers of one field.
const HEAD_BYTES_MAX: usize = 4_096;
/// Characters of a boundary (RFC 2046).
const BOUNDARY_MAX: usize = 70;

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Text(String),
    File(Bytes),
}

/// The boundary of a form; `None` if the body is none.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    Some(parameter(parameters, "boundary").unwrap_or_default())
}

/// The fields of a form by their names.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn fields(body: &[u8], boundary: &str) -> Result<BTreeMap<String, Field>, &'static str> {
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return Err("`Content-Type` has no usable boundary");
    }
    // The first delimiter may stand at the very beginning, without a line break.
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", body].concat();
    let (_, mut rest) = delimited(&body, &delimiter).ok_or("it has no such boundary")?;
    let mut fields = BTreeMap::new();
    while let Some(part) = rest {
        let (content, next) = delimited(part, &delimiter).ok_or("it is cut off")?;
        let (name, field) = field(content)?;
        if fields.len() == FIELDS_MAX {
            return Err("it has too many fields");
        }
        if fields.insert(name, field).is_some() {
            return Err("it has a field twice");
        }
        rest = next;
    }
    Ok(fields)
}

/// What stands before the next delimiter, and after it unless it is the last.
fn delimited<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let mut at = 0;
    loop {
        let (before, after) = split(&bytes[at..], delimiter)?;
        let before = &bytes[..at + before.len()];
        if after.starts_with(b"--") {
            return Some((before, None));
        }
        let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match after[blanks..].strip_prefix(b"\r\n") {
            Some(next) => return Some((before, Some(next))),
            // A longer word that begins like the boundary.
            None => at = bytes.len() - after.len(),
        }
    }
}

fn field(part: &[u8]) -> Result<(String, Field), &'static str> {
    let (head, content) = split(part, b"\r\n\r\n").ok_or("a field has no end of its headers")?;
    if head.len() > HEAD_BYTES_MAX {
        return Err("a field has too long headers");
    }
    let head = std::str::from_utf8(head).map_err(|_bytes| "a field has headers that are not UTF-8")?;
    let headers = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut dispositions =
        headers.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let (_, disposition) = dispositions.next().ok_or("a field has no `Content-Disposition`")?;
    let name = parameter(disposition, "name").ok_or("a field has no name")?;
    if parameter(disposition, "filename").is_some() {
        return Ok((name, Field::File(Bytes::copy_from_slice(content))));
    }
    let text = std::str::from_utf8(content).map_err(|_bytes| "a text field is not UTF-8")?;
    Ok((name, Field::Text(text.to_owned())))
}

/// The value of `name=value` or `name="value"` among parameters that semicolons separate.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (key, value) = rest.split_once('=')?;
        let key = key.rsplit(';').next().unwrap_or_default().trim();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let (value, after) = value.split_once(';').unwrap_or((value, ""));
                (value.trim().to_owned(), after)
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it. Browsers write a quote as `%22`, others as `\"`.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return Some((value.replace("%22", "\""), &text[at + 1..])),
            c => {
                value.push(c);
                is_escaped = false;
            }
        }
    }
    None
}

/// What stands before and after the first `separator`.
fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[&str]) -> Vec<u8> {
        let parts = parts.iter().map(|part| format!("--b\r\n{part}\r\n"));
        format!("{}--b--\r\n", parts.collect::<String>()).into_bytes()
    }

    fn text(name: &str, value: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}")
    }

    #[test]
    fn texts_and_files_are_read_by_name() {
        let file = "content-disposition: form-data; filename=\"a \\\"b\\\".png\"; name=\"file\"\r\n\
                    Content-Type: image/png\r\n\r\n\r\n--bx\r\n--\r\n";
        let body = form(&[&text("prompt", "a\r\nboat"), file, &text("empty", "")]);
        let fields = fields(&body, "b").unwrap();
        assert_eq!(fields["prompt"], Field::Text("a\r\nboat".to_owned()));
        assert_eq!(fields["empty"], Field::Text(String::new()));
        assert_eq!(fields.len(), 3);
        let Field::File(bytes) = &fields["file"] else { panic!("{fields:?}") };
        assert_eq!(bytes.as_ref(), b"\r\n--bx\r\n--\r\n");
    }

    #[test]
    fn what_is_no_whole_form_is_refused() {
        let whole = form(&[&text("prompt", "a")]);
        for end in 0..whole.len() - 4 {
            assert!(fields(&whole[..end], "b").is_err(), "{end} bytes");
        }
        for (body, boundary) in [
            (form(&[&text("a", "1"), &text("a", "2")]), "b"),
            (form(&["Content-Disposition: form-data\r\n\r\n1"]), "b"),
            (form(&["Content-Type: text/plain\r\n\r\n1"]), "b"),
            (form(&["\u{fffd}"]), "b"),
            (form(&[&text(&"x".repeat(HEAD_BYTES_MAX), "1")]), "b"),
            (whole.clone(), "c"),
            (whole.clone(), ""),
            (b"{}".to_vec(), "b"),
        ] {
            assert!(fields(&body, boundary).is_err(), "{}", String::from_utf8_lossy(&body));
        }
        let many: Vec<_> = (0..=FIELDS_MAX).map(|n| text(&n.to_string(), "1")).collect();
        assert!(fields(&form(&many.iter().map(String::as_str).collect::<Vec<_>>()), "b").is_err());
    }

    #[test]
    fn a_boundary_is_read_in_every_form() {
        let boundary = |value: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            super::boundary(&headers)
        };
        for value in [
            "multipart/form-data; boundary=a-b",
            "Multipart/Form-Data;charset=utf-8;boundary=\"a-b\"",
            "multipart/form-data; boundary=a-b ; charset=utf-8",
        ] {
            assert_eq!(boundary(value).as_deref(), Some("a-b"), "{value}");
        }
        assert_eq!(boundary("multipart/form-data").as_deref(), Some(""));
        assert_eq!(boundary("application/json"), None);
    }
}
