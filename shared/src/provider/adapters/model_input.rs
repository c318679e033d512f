//! The input of a model, where a provider leaves its shape to each of its models: fal, Replicate.

use serde_json::{Map, Value, json};

use crate::provider::order::CreateOrder;
use domain::catalog::DurationFormat;

/// The order in the words of its route.
pub(in crate::provider) fn model_input(order: &CreateOrder<'_>) -> Value {
    let (request, route) = (order.request, order.route);
    let fields = &route.fields;
    let mut input = Map::new();
    let mut put = |name: &str, value: Value| {
        if !name.is_empty() {
            input.insert(name.to_owned(), value);
        }
    };
    for (name, value) in &fields.always {
        put(name, json!(value));
    }
    put("prompt", json!(request.prompt));
    if let Some(seconds) = request.duration_s.filter(|_| request.duration_s != fields.unnamed_duration_s) {
        let duration = match route.duration_format {
            DurationFormat::Integer => json!(seconds),
            DurationFormat::Digits => json!(seconds.to_string()),
            DurationFormat::Seconds => json!(format!("{seconds}s")),
        };
        put(fields.duration.as_deref().unwrap_or("duration"), duration);
    }
    let resolution = fields.resolutions.get(&request.resolution).unwrap_or(&request.resolution);
    put(fields.resolution.as_deref().unwrap_or("resolution"), json!(resolution));
    if let Some(url) = &request.image_url {
        let beside_last = fields.first_frame_url.as_ref().filter(|_| request.last_frame_url.is_some());
        put(beside_last.or(fields.image_url.as_ref()).map_or("image_url", String::as_str), json!(url));
    }
    if let Some(url) = &request.last_frame_url {
        put(fields.last_frame_url.as_deref().unwrap_or("end_image_url"), json!(url));
    }
    if let Some(ratio) = &request.aspect_ratio {
        put(fields.aspect_ratio.as_deref().unwrap_or("aspect_ratio"), json!(ratio));
    }
    if let Some(seed) = request.seed {
        put("seed", json!(seed));
    }
    if let Some(text) = &request.negative_prompt {
        put("negative_prompt", json!(text));
    }
    if let Some(sound) = order.audio() {
        put("generate_audio", json!(sound));
    }
    Value::Object(input)
}
