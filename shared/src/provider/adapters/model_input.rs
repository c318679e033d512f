//! The input of a model, where a provider leaves its shape to each of its models: fal, Replicate.

use serde_json::{Map, Value, json};

use crate::provider::order::CreateOrder;
use domain::catalog::{DurationFormat, Fields, size_key};
use domain::request::JobRequest;

/// The request in the words of its route.
pub(in crate::provider) fn model_input(order: &CreateOrder<'_>) -> Value {
    let (request, route) = (order.request, order.route);
    let fields = &route.fields;
    let mut input = Input::default();
    for (name, value) in &fields.always {
        input.put(name, value.clone());
    }
    input.put_as(&fields.prompt, "prompt", json!(request.prompt));
    if let Some(seconds) = request.duration_s.filter(|_| request.duration_s != fields.unnamed_duration_s) {
        let usual = || match route.duration_format {
            DurationFormat::Integer => json!(seconds),
            DurationFormat::Digits => json!(seconds.to_string()),
            DurationFormat::Seconds => json!(format!("{seconds}s")),
        };
        let duration = fields.durations.get(&seconds.to_string()).cloned().unwrap_or_else(usual);
        input.put_as(&fields.duration, "duration", duration);
    }
    put_size(&mut input, request, fields);
    if let Some(url) = &request.image_url {
        let beside_last = fields.first_frame_url.as_ref().filter(|_| request.last_frame_url.is_some());
        let name = beside_last.or(fields.image_url.as_ref()).map_or("image_url", String::as_str);
        input.put(name, if fields.image_in_list { json!([url]) } else { json!(url) });
    }
    if let Some(url) = &request.last_frame_url {
        input.put_as(&fields.last_frame_url, "end_image_url", json!(url));
    }
    if let Some(seed) = request.seed {
        input.put_as(&fields.seed, "seed", json!(seed));
    }
    if let Some(text) = &request.negative_prompt {
        input.put_as(&fields.negative_prompt, "negative_prompt", json!(text));
    }
    if let Some(sound) = order.audio() {
        input.put_as(&fields.audio, "generate_audio", json!(sound));
    }
    Value::Object(input.0)
}

/// Resolution and aspect ratio: two fields, or one for both.
fn put_size(input: &mut Input, request: &JobRequest, fields: &Fields) {
    if let Some(name) = &fields.size {
        let ratio = request.aspect_ratio.as_deref();
        let key = ratio.map_or_else(|| request.resolution.clone(), |it| size_key(&request.resolution, it));
        if let Some(size) = fields.sizes.get(&key) {
            input.put(name, size.clone());
        }
        return;
    }
    let own = |values: &std::collections::BTreeMap<String, Value>, value: &String| {
        values.get(value).cloned().unwrap_or_else(|| json!(value))
    };
    input.put_as(&fields.resolution, "resolution", own(&fields.resolutions, &request.resolution));
    if let Some(ratio) = &request.aspect_ratio {
        input.put_as(&fields.aspect_ratio, "aspect_ratio", own(&fields.aspect_ratios, ratio));
    }
}

#[derive(Default)]
struct Input(Map<String, Value>);

impl Input {
    /// Sets a field: of an object if the name has a dot; none if the name is empty.
    fn put(&mut self, name: &str, value: Value) {
        let mut steps: Vec<&str> = name.split('.').collect();
        let Some(last) = steps.pop().filter(|last| !last.is_empty()) else { return };
        let mut object = &mut self.0;
        for step in steps {
            let inner = object.entry(step).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            let Value::Object(inner) = inner else { return };
            object = inner;
        }
        object.insert(last.to_owned(), value);
    }

    fn put_as(&mut self, name: &Option<String>, usual: &str, value: Value) {
        self.put(name.as_deref().unwrap_or(usual), value);
    }
}

#[cfg(test)]
mod tests {
    use domain::catalog::Catalog;

    use super::*;

    /// The examples of the page on catalogues.
    fn block(language: &str) -> &'static str {
        let page = include_str!("../../../../docs/catalogue.md");
        let (_, block) = page.split_once(&format!("```{language}\n")).unwrap();
        block.split_once("```").unwrap().0
    }

    fn input(catalog: &Catalog, order: Value) -> Value {
        let request = JobRequest::new(serde_json::from_value(order).unwrap(), catalog).unwrap();
        let route = &catalog.model(&request.model).unwrap().routes[0];
        model_input(&CreateOrder::new(&request, route, "job.1"))
    }

    #[test]
    fn an_order_is_sent_as_the_page_says() {
        let catalog = Catalog::with_own(block("toml")).unwrap();
        let order = json!({"model": "paper-boat-1", "prompt": "a paper boat"});
        let shown: Value = serde_json::from_str(block("json")).unwrap();
        assert_eq!(input(&catalog, order), shown);
    }

    #[test]
    fn every_part_of_an_input_has_a_name_of_its_own() {
        let fields = r#"
            [models.routes.fields]
            prompt = "input.text"
            image_url = "images"
            image_in_list = true
            duration = "input.seconds"
            size = "input.size"
            sizes = { "720p 16:9" = "hd", "720p" = "as the image" }
            seed = "noise"
            negative_prompt = "avoid"
            audio = "with_sound"
            always = { "input.mode" = "pro", fps = 24 }
        "#;
        let (own, cost) = block("toml").split_once("[models.routes.fields]").unwrap();
        let (_, cost) = cost.split_once("[models.routes.cost]").unwrap();
        let own = own.replace("seed = true", "seed = true\nnegative_prompt = true\naudio = \"switch\"");
        let own = own.replace(r#"["16:9", "9:16"]"#, r#"["16:9"]"#);
        let own = format!("{own}{fields}[models.routes.cost]{cost}")
            .replace("per_second = 80_000", "per_second = 80_000, per_second_audio = 80_000");
        let catalog = Catalog::with_own(&own).unwrap();
        let order =
            json!({"model": "paper-boat-1", "prompt": "a", "seed": 7, "negative_prompt": "b", "audio": true});
        assert_eq!(
            input(&catalog, order),
            json!({
                "input": {"text": "a", "seconds": 5, "size": "hd", "mode": "pro"},
                "noise": 7, "avoid": "b", "with_sound": true, "fps": 24,
            })
        );
        let order = json!({"model": "paper-boat-1", "prompt": "a", "image_url": "https://a.example/b.png"});
        let sent = input(&catalog, order);
        assert_eq!(sent["images"], json!(["https://a.example/b.png"]));
        assert_eq!(sent["input"]["size"], "as the image");
    }
}
