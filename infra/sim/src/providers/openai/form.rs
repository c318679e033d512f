//! Forms as `OpenAI`'s own client writes them and vLLM reads them.

use serde_json::{Map, Value};

use crate::frame::form;
use crate::frame::wire::Inbound;

/// The form as an object; an image by its URL is where JSON has it. `None` if it is no form.
pub(super) fn object(call: &Inbound) -> Option<Map<String, Value>> {
    let mut object = form::object(call)?;
    if let Some(image) = object.get("image_reference").and_then(Value::as_str) {
        let image = serde_json::from_str(image).unwrap_or_default();
        object.insert("input_reference".to_owned(), image);
        object.remove("image_reference");
    }
    Some(object)
}
