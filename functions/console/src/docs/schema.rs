//! Schemas: their types and limits in words, their fields as lists.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{line, paragraphs};
use super::{anchor, elements, members, text};

/// Keywords that are limits, with what they say before and after their value.
pub(super) const LIMITS: [(&str, &str, &str); 14] = [
    ("minimum", "at least ", ""),
    ("maximum", "at most ", ""),
    ("minLength", "at least ", " characters"),
    ("maxLength", "at most ", " characters"),
    ("minItems", "at least ", " items"),
    ("maxItems", "at most ", " items"),
    ("minProperties", "at least ", " members"),
    ("maxProperties", "at most ", " members"),
    ("pattern", "matches ", ""),
    ("contentMediaType", "", ""),
    ("contentEncoding", "in ", ""),
    ("default", "default ", ""),
    ("example", "such as ", ""),
    ("examples", "such as ", ""),
];

/// The type of a schema, with a link to each one that has a name.
pub(super) fn kind(schema: &Value) -> Markup {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return html! { a href={ "#" (anchor(reference)) } { (name) } };
    }
    if let Some(value) = schema.get("const") {
        return html! { code { (value) } };
    }
    if let Some(values) = schema.get("enum") {
        return listed(elements(values).map(|value| html! { code { (word(value)) } }));
    }
    if choices(schema).next().is_some() {
        return listed(choices(schema).map(kind));
    }
    let names = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(word).collect(),
        Some(name) => vec![word(name)],
        None => vec!["anything".to_owned()],
    };
    html! {
        (names.join(" or "))
        @if let Some(format) = schema.get("format") { " (" (word(format)) ")" }
        @if let Some(items) = schema.get("items") { " of " (kind(items)) }
        @if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) { " of " (kind(values)) }
        @if let Some(names) = schema.get("propertyNames") { ", names: " (limits(names)) }
    }
}

/// `a, b or c`.
fn listed(choices: impl Iterator<Item = Markup>) -> Markup {
    let choices: Vec<_> = choices.collect();
    let last = choices.len().saturating_sub(1);
    html! {
        @for (index, choice) in choices.iter().enumerate() {
            @if index > 0 { @if index == last { " or " } @else { ", " } }
            (choice)
        }
    }
}

/// The limits of a schema's values.
pub(super) fn limits(schema: &Value) -> Markup {
    let found = LIMITS.iter().filter_map(|(name, before, after)| Some((schema.get(*name)?, before, after)));
    html! {
        @for (index, (value, before, after)) in found.enumerate() {
            @if index > 0 { ", " }
            (before)
            @match value { Value::Array(values) => (listed(values.iter().map(|value| html! { code { (word(value)) } }))), value => code { (word(value)) } }
            (after)
        }
    }
}

/// The text of a value: a word as it is, anything else as JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A schema that has a name, as a section.
pub(super) fn named(name: &str, schema: &Value) -> Markup {
    html! {
        section id={ "schemas-" (name) } {
            h3 { (name) }
            (paragraphs(text(schema, "description")))
            (body(schema))
        }
    }
}

/// What a schema is, without its description.
pub(super) fn body(schema: &Value) -> Markup {
    html! {
        p { (kind(schema)) @if let Some(limits) = some(limits(schema)) { ": " (limits) } @if is_closed(schema) { ", no other member" } }
        (inside(schema))
    }
}

/// What values of a schema can be, each as a schema.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf"].into_iter().filter_map(|name| schema.get(name)).flat_map(elements)
}

/// The members of a schema, and what it is made of, unless that has a name of its own.
fn inside(schema: &Value) -> Markup {
    let parts = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    html! {
        @if schema.get("properties").is_some() { (fields(schema)) }
        @for part in parts.chain(choices(schema)) {
            @if let Some(about) = some(line(text(part, "description"))) { p { (kind(part)) ": " (about) } }
            @if let Some(limits) = some(limits(part)) { p.quiet { "Each: " (limits) } }
            (inside(part))
        }
    }
}

/// The members of an object: first those that it must have, in their order.
fn fields(schema: &Value) -> Markup {
    let required: Vec<&str> =
        schema.get("required").into_iter().flat_map(elements).filter_map(Value::as_str).collect();
    let rank = |name: &str| required.iter().position(|one| *one == name).unwrap_or(required.len());
    let mut all: Vec<_> = members(schema, "properties").collect();
    all.sort_by_key(|(name, _)| rank(name));
    html! {
        dl.fields {
            @for (name, field) in all { (self::field(html! { code { (name) } }, required.contains(&name.as_str()), field, text(field, "description"))) }
        }
    }
}

/// A member or a parameter.
pub(super) fn field(name: Markup, is_required: bool, schema: &Value, about: &str) -> Markup {
    html! {
        dt { (name) " " span.quiet { (kind(schema)) @if is_required { ", required" } } }
        dd {
            (paragraphs(about))
            @if let Some(limits) = some(limits(schema)) { p.quiet { (limits) } }
            (inside(schema))
        }
    }
}

/// A header of an answer, as a section.
pub(super) fn header(name: &str, header: &Value) -> Markup {
    let schema = header.get("schema").unwrap_or(&Value::Null);
    html! {
        dt id={ "headers-" (name) } { code { (name) } " " span.quiet { (kind(schema)) } }
        dd {
            (line(text(header, "description")))
            @for limits in [limits(schema), limits(header)].into_iter().filter_map(some) { p.quiet { (limits) } }
        }
    }
}

fn is_closed(schema: &Value) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
}

/// Markup that is not empty.
pub(super) fn some(markup: Markup) -> Option<Markup> {
    (!markup.0.is_empty()).then_some(markup)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_in_words() {
        for (schema, shown) in [
            (json!({"type": "string", "format": "uri"}), "string (uri)"),
            (json!({"type": ["string", "null"]}), "string or null"),
            (json!({"const": 402}), "<code>402</code>"),
            (json!({"enum": ["a", "b", null]}), "<code>a</code>, <code>b</code> or <code>null</code>"),
            (
                json!({"type": "array", "items": {"$ref": "#/components/schemas/Job"}}),
                "array of <a href=\"#schemas-Job\">Job</a>",
            ),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), "object of string"),
            (json!({}), "anything"),
        ] {
            assert_eq!(kind(&schema).into_string(), shown);
        }
        let number = json!({"minimum": 1, "maximum": 9, "examples": [3, 4]});
        let shown =
            "at least <code>1</code>, at most <code>9</code>, such as <code>3</code> or <code>4</code>";
        assert_eq!(limits(&number).into_string(), shown);
    }

    #[test]
    fn required_members_are_first_in_their_order() {
        let schema =
            json!({"required": ["z", "b"], "properties": {"a": {"type": "string"}, "b": {}, "z": {}}});
        let shown = fields(&schema).into_string();
        let at = |name: &str| shown.find(&format!("<code>{name}</code>")).unwrap();
        assert!(at("z") < at("b") && at("b") < at("a"), "{shown}");
        assert_eq!(shown.matches(", required").count(), 2);
    }
}
