//! Bodies of `multipart/form-data`, as the providers' own clients and ours write them.

use serde_json::{Map, Value, json};

use super::wire::Inbound;

/// The texts of a form as the members of an object; a file is its name. `None` if it is no form.
pub(crate) fn object(call: &Inbound) -> Option<Map<String, Value>> {
    let boundary = call.header("content-type")?.strip_prefix("multipart/form-data;")?;
    let boundary = boundary.trim().strip_prefix("boundary=")?.trim_matches('"');
    let text = String::from_utf8_lossy(&call.body);
    let mut object = Map::new();
    for part in text.split(&format!("--{boundary}")).skip(1) {
        let Some((head, content)) = part.split_once("\r\n\r\n") else { continue };
        let value = |name: &str| {
            let (_, rest) = head.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let name = value("name")?;
        let content = match value("filename") {
            Some(file) => json!({"file_id": file}),
            None => json!(content.strip_suffix("\r\n").unwrap_or(content)),
        };
        object.insert(name.to_owned(), content);
    }
    Some(object)
}
