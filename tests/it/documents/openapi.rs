//! The API's document names what the template routes and what the code refuses.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use harness::World;
use local::host::DEFAULT_ROUTE;
use serde_json::Value;
use shared::edge::http::VERSIONS;

use super::schema::Document;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files under these folders of the repository, with their text.
pub(crate) fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    files(folders, &["rs"])
}

/// The files with one of these extensions at or under these paths of the repository, with their text.
pub(crate) fn files(paths: &[&str], extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut open: Vec<PathBuf> = paths.iter().map(|path| root().join(path)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().and_then(OsStr::to_str).is_some_and(|it| extensions.contains(&it)) {
            found.push((path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "{paths:?}");
    found.sort();
    found
}

#[tokio::test]
async fn the_documents_are_of_openapi_3_1_and_of_the_newest_version() {
    let document = Document::served(&World::new().await).await;
    for document in [&document, &Document::of_callbacks()] {
        assert_eq!(document.0["openapi"], "3.1.0");
        assert_eq!(document.0["info"]["version"], *VERSIONS.last().unwrap());
    }
    let known = &document.0["components"]["parameters"]["GenmuxVersion"]["schema"]["enum"];
    assert_eq!(*known, serde_json::json!(VERSIONS));
}

/// Clients are generated from the one; a default of a request would make its field required in them.
#[tokio::test]
async fn callers_and_callbacks_have_documents_of_their_own_and_no_request_has_defaults() {
    fn defaults(node: &Value) -> usize {
        let own = usize::from(node.get("default").is_some_and(|value| !value.is_object()));
        let fields = node.as_object().into_iter().flat_map(|fields| fields.values());
        fields.chain(node.as_array().into_iter().flatten()).map(defaults).sum::<usize>() + own
    }
    let document = Document::served(&World::new().await).await;
    let is_callback = |name: &str| {
        ["/v1/webhooks/", "/v1/inbound/", "/v1/payments/"].iter().any(|path| name.contains(path))
    };
    assert!(document.operations().all(|(name, _)| !is_callback(&name)));
    let callbacks = Document::of_callbacks();
    assert!(callbacks.operations().all(|(name, _)| is_callback(&name)));
    assert_eq!(defaults(&document.0) + defaults(&callbacks.0), 0);
}

#[tokio::test]
async fn the_documents_operations_are_the_templates_routes() {
    let world = World::new().await;
    let (document, callbacks) = (Document::served(&world).await, Document::of_callbacks());
    let described = document.operations().chain(callbacks.operations()).map(|(name, _)| name);
    let described: BTreeSet<String> = described.collect();
    let routes = world.stack.host.template().routes.iter().map(|route| route.key.clone());
    // Pages for people are not part of the API.
    let is_page = |key: &str| matches!(key, "GET /" | "GET /docs") || key.contains(" /console");
    let routes: BTreeSet<_> = routes.filter(|key| key != DEFAULT_ROUTE && !is_page(key)).collect();
    assert_eq!(described, routes);
    let known = status::routes::ROUTES.map(str::to_owned);
    assert_eq!(BTreeSet::from(known), routes, "what the default route takes for a known path");
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere_and_every_part_is_used() {
    fn references(node: &Value, found: &mut BTreeSet<String>) {
        match node {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for document in [Document::served(&World::new().await).await, Document::of_callbacks()] {
        let mut referred = BTreeSet::new();
        references(&document.0, &mut referred);
        let components = document.0["components"].as_object().unwrap().iter();
        let parts = components.filter(|(kind, _)| *kind != "securitySchemes").flat_map(|(kind, parts)| {
            parts.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}"))
        });
        // A reference may lead to a part of a part.
        let referred = referred.iter().map(|name| name.split('/').take(4).collect::<Vec<_>>().join("/"));
        assert_eq!(referred.collect::<BTreeSet<_>>(), parts.collect());
    }
}

/// What both documents have is the same in both.
#[tokio::test]
async fn the_documents_do_not_contradict_each_other() {
    let (document, callbacks) = (Document::served(&World::new().await).await, Document::of_callbacks());
    let mut shared = 0;
    for (kind, parts) in callbacks.0["components"].as_object().unwrap() {
        for (name, part) in parts.as_object().unwrap() {
            if let Some(mut other) = document.0["components"][kind].get(name).cloned() {
                if name == "Problem" {
                    // Nothing is charged for a webhook.
                    other["properties"].as_object_mut().unwrap().remove("budget");
                }
                assert_eq!(*part, other, "{kind} {name}");
                shared += 1;
            }
        }
    }
    assert!(shared > 5, "{shared}");
}

/// The codes of all problems that the functions make: each stands after its status.
fn codes_in_the_code() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (_, text) in sources(&["functions", "shared/src/edge"]) {
        let text = text.split("#[cfg(test)]").next().unwrap();
        for after in text.split("StatusCode::").skip(1) {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
            let code = rest.strip_prefix(',').and_then(|rest| rest.trim_start().strip_prefix('"'));
            codes.extend(code.and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    codes
}

#[tokio::test]
async fn the_problem_codes_of_the_document_are_those_of_the_code() {
    let (document, callbacks) = (Document::served(&World::new().await).await, Document::of_callbacks());
    let mut described = BTreeSet::new();
    let of_callbacks = callbacks.operations().map(|operation| (&callbacks, operation));
    for (of, (_, operation)) in
        document.operations().map(|operation| (&document, operation)).chain(of_callbacks)
    {
        for response in operation["responses"].as_object().unwrap().values() {
            let schema = &of.resolve(response)["content"]["application/problem+json"]["schema"];
            let code = &schema["properties"]["code"];
            let listed = code["enum"].as_array().into_iter().flatten().chain(code.get("const"));
            described.extend(listed.map(|code| code.as_str().unwrap().to_owned()));
        }
    }
    assert!(described.len() > 10, "{described:?}");
    // Of no operation: what a path answers to a method that it does not take.
    let about = document.0["info"]["description"].as_str().unwrap();
    described.extend(about.contains("`method_not_allowed`").then(|| "method_not_allowed".to_owned()));
    for (response, codes) in [
        ("DialectInvalid", &["malformed_form", "poll_required", "unsupported"][..]),
        ("DialectConflict", &["video_deleted"]),
    ] {
        let about = document.0["components"]["responses"][response]["description"].as_str().unwrap();
        described.extend(codes.iter().filter(|code| about.contains(**code)).map(|code| (*code).to_owned()));
    }
    assert_eq!(described, codes_in_the_code());
}
