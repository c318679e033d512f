//! The input of a model, where a provider leaves its shape to each of its models: fal, Replicate.

use serde_json::{Map, Value, json};

use super::CreateOrder;
use domain::catalog::{Audio, DurationFormat, Fields, size_key};
use domain::request::JobRequest;

/// The request in the words of its route. Sound is always written where there is a choice: the
/// default is with sound, at twice the price.
pub(super) fn model_input(order: &CreateOrder<'_>) -> Value {
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
    if route.audio == Audio::Switch {
        input.put_as(&fields.audio, "generate_audio", json!(request.audio.unwrap_or(false)));
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
