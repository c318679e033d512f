//! The images that creates name: the providers fetch them, and so do the simulators.
//!
//! A create whose image cannot be fetched, or is no PNG, JPEG or WebP, is accepted, and its remote
//! job ends as with `fail=invalid`. Images on this machine are fetched over http too. Names that are
//! reserved for documents (`.example`, `.test`, `example.com` and its like) have no servers: images
//! there count as fetched, so that examples run without a network. Every other image is
//! fetched from its URL; without a network it counts as missing. Data URLs are accepted unchecked.

use serde_json::Value;
use url::{Host, Url};

use super::form;
use super::simulator::Simulator;
use super::wire::Inbound;

/// Fields of a body whose URL is not that of an image.
const OTHER: [&str; 10] = [
    "prompt",
    "promptText",
    "negative_prompt",
    "text",
    "callback",
    "callback_url",
    "webhook",
    "webhookUrl",
    "webhook_url",
    "uris",
];
const FOR_DOCUMENTS: [&str; 5] = ["example", "test", "example.com", "example.net", "example.org"];

/// Whether every image of a create can be fetched.
pub(crate) async fn are_there(simulator: &Simulator, call: &Inbound) -> bool {
    let body = call.object().ok().or_else(|| form::object(call)).unwrap_or_default();
    let mut urls = Vec::new();
    collect(&Value::Object(body), &mut urls);
    for url in urls {
        if !is_for_documents(&url) && !(simulator.outward.images)(url, simulator.clock.now()).await {
            return false;
        }
    }
    true
}

fn collect(value: &Value, urls: &mut Vec<String>) {
    match value {
        Value::String(text) if ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) => {
            urls.push(text.clone());
        }
        // JSON in a field of a form.
        Value::String(text) if text.starts_with('{') => {
            collect(&serde_json::from_str(text).unwrap_or_default(), urls);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, urls)),
        Value::Object(fields) => {
            let images = fields.iter().filter(|(name, _)| !OTHER.contains(&name.as_str()));
            images.for_each(|(_, value)| collect(value, urls));
        }
        _ => {}
    }
}

fn is_for_documents(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let Some(Host::Domain(host)) = url.host() else { return false };
    let is_below =
        |name: &&str| host.strip_suffix(*name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    url.scheme() == "https" && FOR_DOCUMENTS.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_images_of_a_create_are_found_and_nothing_else() {
        let body = json!({
            "prompt": "https://example.com/a", "promptImage": [{"uri": "https://a.example/1", "position": "first"}],
            "contents": [{"type": "prompt", "text": "http://b.example"}, {"type": "first_frame", "url": "https://a.example/2"}],
            "keyframes": {"frame0": {"type": "image", "url": "https://a.example/3"}}, "webhook": "https://b.example/",
            "image_reference": r#"{"image_url":"https://a.example/4"}"#, "webhook_config": {"uris": ["https://b.example/"]},
            "callback_url": "https://b.example/", "image": "data:image/png;base64,AA==",
        });
        let mut urls = Vec::new();
        collect(&body, &mut urls);
        urls.sort();
        assert_eq!(
            urls,
            ["https://a.example/1", "https://a.example/2", "https://a.example/3", "https://a.example/4"]
        );
    }

    #[test]
    fn only_names_for_documents_count_as_fetched() {
        for url in [
            "https://images.example/a.png",
            "https://example.com/a",
            "https://www.example.org/",
            "https://a.test/",
        ] {
            assert!(is_for_documents(url), "{url}");
        }
        for url in [
            "https://myexample.com/",
            "http://example.com/",
            "https://example.com.evil.net/",
            "http://127.0.0.1/",
        ] {
            assert!(!is_for_documents(url), "{url}");
        }
    }
}
