//! Operations of the API, and events that it sends.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{line, paragraphs};
use super::{anchor, elements, members, part, resolved, schema, text};

/// An operation, or an event that is sent to callers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'a> {
    method: &'static str,
    /// Of an event: its type.
    path: &'a str,
    /// Parameters of the path.
    shared: &'a Value,
    about: &'a Value,
}

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// All operations in the order of their paths, then the events.
pub(super) fn all(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    members(document, "paths").chain(members(document, "webhooks")).flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            Some(Operation { method, path, shared: part(item, "parameters"), about: item.get(method)? })
        })
    })
}

impl<'a> Operation<'a> {
    pub(super) fn is_of(&self, tag: &Value) -> bool {
        elements(part(self.about, "tags")).any(|one| one == part(tag, "name"))
    }

    /// What stands before the path.
    fn verb(&self) -> String {
        if self.path.starts_with('/') { self.method.to_uppercase() } else { "Event".to_owned() }
    }

    fn id(&self) -> &'a str {
        text(self.about, "operationId")
    }

    pub(super) fn link(&self) -> Markup {
        html! { a href={ "#" (self.id()) } { (self.verb()) " " code { (self.path) } } " " (line(text(self.about, "summary"))) }
    }

    pub(super) fn show(&self, document: &Value) -> Markup {
        let components = part(document, "components");
        let parameters: Vec<&Value> =
            elements(self.shared).chain(elements(part(self.about, "parameters"))).collect();
        let is_open = self.about.get("security").is_some_and(|list| elements(list).next().is_none());
        html! {
            section.operation id=(self.id()) {
                h3 { span.method { (self.verb()) } " " code { (self.path) } }
                p { strong { (line(text(self.about, "summary"))) } @if is_open { " " span.quiet { "(without a key)" } } }
                (paragraphs(text(self.about, "description")))
                @if !parameters.is_empty() {
                    h4 { "Parameters" }
                    dl.fields { @for one in parameters { (parameter(resolved(components, one))) } }
                }
                @if let Some(body) = self.about.get("requestBody") {
                    h4 { "Body" }
                    (paragraphs(text(body, "description")))
                    (content(components, body))
                }
                h4 { "Answers" }
                dl.fields { @for (status, one) in members(self.about, "responses") { (status_answer(components, status, one)) } }
            }
        }
    }
}

fn parameter(parameter: &Value) -> Markup {
    let is_required = part(parameter, "required") == &Value::Bool(true);
    let name =
        html! { code { (text(parameter, "name")) } " " span.quiet { "in " (text(parameter, "in")) ":" } };
    html! {
        (schema::field(name, is_required, part(parameter, "schema"), text(parameter, "description")))
        @if let Some(limits) = schema::some(schema::limits(parameter)) { dd { p.quiet { (limits) } } }
    }
}

/// An answer of one operation. One that operations share is described here, and shown in full in its own place.
fn status_answer(components: &Value, status: &str, one: &Value) -> Markup {
    html! {
        dt { code { (status) } @if let Some(name) = one.get("$ref").and_then(Value::as_str) {
            " " a href={ "#" (anchor(name)) } { (name.rsplit('/').next().unwrap_or_default()) }
        } }
        dd {
            @if one.get("$ref").is_some() { (paragraphs(text(resolved(components, one), "description"))) }
            @else { (answer(components, one)) }
        }
    }
}

/// An answer with its headers and content.
pub(super) fn answer(components: &Value, one: &Value) -> Markup {
    let headers: Vec<_> = members(one, "headers").collect();
    html! {
        (paragraphs(text(one, "description")))
        @if !headers.is_empty() {
            p.quiet { "Headers: " @for (index, (name, header)) in headers.iter().enumerate() {
                @if index > 0 { ", " }
                @match header.get("$ref").and_then(Value::as_str) {
                    Some(reference) => a href={ "#" (anchor(reference)) } { (name) },
                    None => { code { (name) } " " (line(text(header, "description"))) }
                }
            } }
        }
        (content(components, one))
    }
}

/// What a body is, by media type, with examples.
fn content(components: &Value, body: &Value) -> Markup {
    html! {
        @for (kind, one) in members(body, "content") {
            p { code { (kind) } }
            @if let Some(schema) = one.get("schema") { (schema::body(schema)) }
            @for (name, example) in members(one, "examples") { (self::example(name, resolved(components, example))) }
        }
    }
}

fn example(name: &str, example: &Value) -> Markup {
    let title = Some(text(example, "summary")).filter(|summary| !summary.is_empty()).unwrap_or(name);
    let value = part(example, "value");
    let shown = value.as_str().map_or_else(|| format!("{value:#}"), str::to_owned);
    html! { details { summary { "Example: " (line(title)) } pre tabindex="0" { code { (shown) } } } }
}
