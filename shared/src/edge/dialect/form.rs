//! Bodies of `multipart/form-data` (RFC 7578), read as a whole.

use std::convert::Infallible;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Error, Multipart, parse_boundary};
use serde_json::{Map, Value, json};

/// Fields of one form.
const FIELDS_MAX: usize = 64;
/// Characters of a boundary (RFC 2046).
const BOUNDARY_MAX: usize = 70;

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Text(String),
    File(Bytes),
}

/// The boundary of a form; `None` if the body is none. It is empty if the header names none.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    match parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?) {
        Ok(boundary) => Some(boundary),
        Err(Error::NoBoundary) => Some(String::new()),
        Err(_other_type) => None,
    }
}

/// The fields of a form, in their order.
///
/// # Errors
///
/// What is wrong with it.
pub(super) async fn fields(body: Bytes, boundary: &str) -> Result<Vec<(String, Field)>, String> {
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return Err("`Content-Type` has no usable boundary".to_owned());
    }
    let body = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = Multipart::new(body, boundary);
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        if fields.len() == FIELDS_MAX {
            return Err(format!("it has more than {FIELDS_MAX} fields"));
        }
        let name = part.name().ok_or("a field has no name")?.to_owned();
        let is_file = part.file_name().is_some();
        let content = part.bytes().await.map_err(malformed)?;
        let field = match is_file {
            true => Field::File(content),
            false => Field::Text(text(&content).ok_or("a text field is not UTF-8")?),
        };
        fields.push((name, field));
    }
    Ok(fields)
}

/// In plain words: texts of the library may repeat what was sent.
fn malformed(error: Error) -> String {
    let why = match error {
        Error::IncompleteFieldData { .. } | Error::IncompleteHeaders | Error::IncompleteStream => {
            "it is cut off, or has no such boundary"
        }
        Error::ReadHeaderFailed(_) | Error::DecodeHeaderName { .. } | Error::DecodeHeaderValue { .. } => {
            "a field has headers that cannot be read"
        }
        _ => "it cannot be read",
    };
    why.to_owned()
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// Puts a value under the name that it has in a form: `a`, or as clients write objects and lists, `a[b]` and
/// `a[]`.
///
/// # Errors
///
/// The field is there already, or in another shape.
pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), String> {
    let twice = || format!("it has the field `{}` twice", name.chars().take(64).collect::<String>());
    let (field, member) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((field, member)) if !field.is_empty() => (field, Some(member)),
        _ => (name, None),
    };
    let Some(member) = member else {
        return fields.insert(field.to_owned(), value).map_or(Ok(()), |_| Err(twice()));
    };
    let empty = if member.is_empty() { json!([]) } else { json!({}) };
    match fields.entry(field).or_insert(empty) {
        Value::Array(list) if member.is_empty() => list.push(value),
        Value::Object(members) if !members.contains_key(member) && !member.is_empty() => {
            members.insert(member.to_owned(), value);
        }
        _ => return Err(twice()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[&str]) -> Bytes {
        let parts = parts.iter().map(|part| format!("--b\r\n{part}\r\n"));
        format!("{}--b--\r\n", parts.collect::<String>()).into()
    }

    fn text(name: &str, value: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}")
    }

    #[tokio::test]
    async fn texts_and_files_are_read_by_name() {
        let file = "content-disposition: form-data; filename=\"a b.png\"; name=\"file\"\r\n\
                    Content-Type: image/png\r\n\r\n\r\n--x\r\n--\r\n";
        let body = form(&[&text("prompt", "a\r\nboat"), file, &text("empty", "")]);
        let named = |name: &str, field| (name.to_owned(), field);
        let expected = [
            named("prompt", Field::Text("a\r\nboat".to_owned())),
            named("file", Field::File("\r\n--x\r\n--\r\n".into())),
            named("empty", Field::Text(String::new())),
        ];
        assert_eq!(fields(body, "b").await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_no_whole_form_is_refused() {
        let whole = form(&[&text("prompt", "a")]);
        for end in 0..whole.len() - 4 {
            assert!(fields(whole.slice(..end), "b").await.is_err(), "{end} bytes");
        }
        for (body, boundary) in [
            (form(&["Content-Disposition: form-data\r\n\r\n1"]), "b"),
            (form(&["Content-Type: text/plain\r\n\r\n1"]), "b"),
            (form(&["\u{fffd}"]), "b"),
            (whole.clone(), "c"),
            (whole.clone(), ""),
            ("{}".into(), "b"),
        ] {
            assert!(fields(body.clone(), boundary).await.is_err(), "{}", String::from_utf8_lossy(&body));
        }
        let many: Vec<_> = (0..=FIELDS_MAX).map(|n| text(&n.to_string(), "1")).collect();
        assert!(fields(form(&many.iter().map(String::as_str).collect::<Vec<_>>()), "b").await.is_err());
    }

    #[test]
    fn objects_and_lists_are_built_from_names() {
        let built = |names: &[&str]| {
            let mut fields = Map::new();
            let put = names.iter().try_for_each(|name| put(&mut fields, name, json!(1)));
            put.map(|()| Value::Object(fields)).ok()
        };
        assert_eq!(built(&["a", "m[x]", "m[y z]"]), Some(json!({"a": 1, "m": {"x": 1, "y z": 1}})));
        assert_eq!(built(&["l[]", "l[]"]), Some(json!({"l": [1, 1]})));
        assert_eq!(built(&["[]", "a]"]), Some(json!({"[]": 1, "a]": 1})));
        for names in [["a", "a"], ["a", "a[b]"], ["a[b]", "a"], ["a[]", "a[b]"], ["a[b]", "a[b]"]] {
            assert_eq!(built(&names), None, "{names:?}");
        }
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
            "multipart/form-data; boundary=a-b; charset=utf-8",
        ] {
            assert_eq!(boundary(value).as_deref(), Some("a-b"), "{value}");
        }
        assert_eq!(boundary("multipart/form-data").as_deref(), Some(""));
        assert_eq!(boundary("application/json"), None);
    }
}
