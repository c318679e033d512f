//! The page against the document: nothing of it is left out, and every link leads somewhere.

use std::collections::BTreeSet;

use super::*;

fn document() -> Value {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/openapi.json"))).unwrap()
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> BTreeSet<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn every_link_of_the_page_leads_to_a_part_of_it() {
    let html = body(&document()).into_string();
    let ids = values(&html, "id");
    assert_eq!(ids.len(), html.matches(" id=\"").count(), "each id once");
    let links = values(&html, "href");
    assert!(links.len() > 150, "{}", links.len());
    for link in links {
        assert!(ids.contains(link.strip_prefix('#').unwrap()), "{link}");
    }
}

#[test]
fn every_operation_event_and_component_is_on_the_page() {
    let document = document();
    let html = body(&document).into_string();
    let ids = values(&html, "id");
    let operations = members(&document, "paths").chain(members(&document, "webhooks"));
    let operations: Vec<_> = operations.flat_map(|(_, item)| item.as_object().unwrap().values()).collect();
    let named: Vec<_> =
        operations.iter().map(|one| text(one, "operationId")).filter(|id| !id.is_empty()).collect();
    assert!(named.len() > 50, "{named:?}");
    for id in named {
        assert!(ids.contains(id), "{id}");
    }
    for kind in ["schemas", "responses", "headers"] {
        for (name, _) in members(&document["components"], kind) {
            assert!(ids.contains(format!("{kind}-{name}").as_str()), "{kind} {name}");
        }
    }
}

/// Every text, every keyword and every example, wherever it stands.
#[test]
fn every_text_of_the_document_is_on_the_page() {
    fn texts(node: &Value, found: &mut BTreeSet<String>) {
        match node {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if matches!(name.as_str(), "description" | "summary") => {
                            found.insert(text.clone());
                        }
                        Value::String(text) if name == "example" => drop(found.insert(text.clone())),
                        Value::Array(all) if name == "examples" => {
                            found.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        _ => texts(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut document = document();
    let html = body(&document).into_string();
    // The server is where this page is, and its summary is the title.
    let fields = document.as_object_mut().unwrap();
    fields.remove("servers");
    fields["info"].as_object_mut().unwrap().remove("summary");
    let mut found = BTreeSet::new();
    texts(&document, &mut found);
    assert!(found.len() > 300, "{}", found.len());
    for text in found {
        for part in text.split("\n\n") {
            let shown = text::line(part).into_string();
            assert!(html.contains(shown.trim()), "{part}");
        }
    }
}

#[test]
fn every_keyword_of_the_schemas_has_words() {
    const SHOWN: [&str; 13] = [
        "$ref",
        "type",
        "properties",
        "required",
        "description",
        "items",
        "enum",
        "const",
        "oneOf",
        "anyOf",
        "format",
        "additionalProperties",
        "propertyNames",
    ];
    fn check(schema: &Value) {
        for (name, value) in schema.as_object().into_iter().flatten() {
            let is_limit = schema::LIMITS.iter().any(|(limit, _, _)| limit == name);
            assert!(is_limit || SHOWN.contains(&name.as_str()), "{name} of {schema}");
            match name.as_str() {
                "properties" => value.as_object().unwrap().values().for_each(check),
                "items" | "additionalProperties" | "propertyNames" if value.is_object() => check(value),
                "oneOf" | "anyOf" => elements(value).for_each(check),
                _ => {}
            }
        }
    }
    fn schemas(node: &Value) {
        match node {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match name.as_str() {
                "schema" => check(value),
                "schemas" => value.as_object().unwrap().values().for_each(check),
                _ => schemas(value),
            }),
            Value::Array(items) => items.iter().for_each(schemas),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    schemas(&document());
}
