//! The API's document as a page: operations, events, schemas, answers. It needs no key and no script.

mod operation;
mod schema;
mod text;

use std::sync::LazyLock;

use lambda_http::http::header::{CACHE_CONTROL, HeaderValue};
use lambda_http::{Body, Response};
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::layout::Layout;

/// The route of this page.
pub(crate) const ROUTE: &str = "GET /docs";

/// The page. It is made once: it depends on nothing but the release.
pub(crate) fn show(layout: &Layout<'_>) -> Response<Body> {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let document: Value = serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/openapi.json")))
            .expect("the build script writes JSON");
        body(&document).into_string()
    });
    let mut response =
        layout.document("API", None, &html! { (layout.guide()) main.docs { (PreEscaped(&*PAGE)) } });
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

fn body(document: &Value) -> Markup {
    let info = part(document, "info");
    let tags: Vec<&Value> = elements(part(document, "tags")).collect();
    html! {
        h1 { (text(info, "title")) " API, version " (text(info, "version")) }
        (text::paragraphs(text(info, "description")))
        (contents(document, &tags))
        section #authentication {
            h2 { "Authentication" }
            @for (_, scheme) in members(part(document, "components"), "securitySchemes") {
                p { code { "Authorization: Bearer " (text(scheme, "bearerFormat")) } }
                (text::paragraphs(text(scheme, "description")))
            }
        }
        @for tag in &tags {
            section id={ "tag-" (slug(text(tag, "name"))) } {
                h2 { (text(tag, "name")) }
                (text::paragraphs(text(tag, "description")))
                @for one in operation::all(document).filter(|one| one.is_of(tag)) { (one.show(document)) }
            }
        }
        (components(part(document, "components")))
    }
}

/// Links to all operations, and to what they share.
fn contents(document: &Value, tags: &[&Value]) -> Markup {
    html! {
        nav.contents aria-label="Contents" {
            @for tag in tags {
                section {
                    h2 { a href={ "#tag-" (slug(text(tag, "name"))) } { (text(tag, "name")) } }
                    ul { @for one in operation::all(document).filter(|one| one.is_of(tag)) { li { (one.link()) } } }
                }
            }
            section {
                h2 { "Shared" }
                ul {
                    li { a href="#authentication" { "Authentication" } }
                    li { a href="#answers" { "Answers" } }
                    li { a href="#headers" { "Headers of answers" } }
                    li { a href="#schemas" { "Schemas" } }
                }
            }
        }
    }
}

/// What operations share.
fn components(components: &Value) -> Markup {
    html! {
        section #answers {
            h2 { "Answers" }
            @for (name, answer) in members(components, "responses") {
                section id={ "responses-" (name) } { h3 { (name) } (operation::answer(components, answer)) }
            }
        }
        section #headers {
            h2 { "Headers of answers" }
            dl.fields { @for (name, header) in members(components, "headers") { (schema::header(name, header)) } }
        }
        section #schemas {
            h2 { "Schemas" }
            @for (name, one) in members(components, "schemas") { (schema::named(name, one)) }
        }
    }
}

/// The id on this page of what a reference of the document names.
fn anchor(reference: &str) -> String {
    reference.trim_start_matches("#/components/").replace('/', "-")
}

/// What a reference names, in the document or below `components`; anything else is itself.
fn resolved<'a>(components: &'a Value, node: &'a Value) -> &'a Value {
    let named = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/components"));
    named.and_then(|path| components.pointer(path)).unwrap_or(node)
}

fn slug(name: &str) -> String {
    name.replace(' ', "-")
}

/// A part of an object; null if it has none of this name.
fn part<'a>(node: &'a Value, name: &str) -> &'a Value {
    node.get(name).unwrap_or(&Value::Null)
}

/// A text of an object; empty if it has none.
fn text<'a>(node: &'a Value, name: &str) -> &'a str {
    node.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The members of an object's object.
fn members<'a>(node: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    part(node, name).as_object().into_iter().flatten()
}

fn elements(node: &Value) -> impl Iterator<Item = &Value> {
    node.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
