//! `ModelArk`'s models of Seedance, and the bodies of their creates.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Integer, List, Media, Object, OneOf, Text};
use crate::frame::schema::{self, Field, optional, required};

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    resolutions: &'static [&'static str],
    longest: i64,
    /// The video has the ratio of its first frame, and no other can be ordered.
    follows_frame: bool,
}

const MODELS: [Model; 4] = [
    Model {
        id: "dreamina-seedance-2-5-260628",
        resolutions: &["480p", "720p", "1080p"],
        longest: 30,
        follows_frame: true,
    },
    Model {
        id: "dreamina-seedance-2-0-260128",
        resolutions: &["480p", "720p", "1080p", "4k"],
        longest: 15,
        follows_frame: false,
    },
    Model {
        id: "dreamina-seedance-2-0-fast-260128",
        resolutions: &["480p", "720p"],
        longest: 15,
        follows_frame: false,
    },
    Model {
        id: "dreamina-seedance-2-0-mini-260615",
        resolutions: &["480p", "720p"],
        longest: 15,
        follows_frame: false,
    },
];

const RATIOS: &[&str] = &["21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "adaptive"];

const BODY: &[Field] = &[
    required("model", Text(1, 200)),
    required("content", List),
    optional("callback_url", Text(1, 2_048)),
    optional("return_last_frame", Flag),
    optional("service_tier", OneOf(&["default"])),
    optional("execution_expires_after", Integer(3_600, 259_200)),
    optional("generate_audio", Flag),
    optional("safety_identifier", Text(1, 64)),
    optional("priority", Integer(0, 9)),
    optional("resolution", OneOf(&["480p", "720p", "1080p", "4k"])),
    optional("ratio", OneOf(RATIOS)),
    optional("duration", Integer(-1, 30)),
    optional("watermark", Flag),
];
const TEXT: &[Field] = &[required("type", OneOf(&["text"])), required("text", Text(1, 20_000))];
const IMAGE: &[Field] = &[
    required("type", OneOf(&["image_url"])),
    required("image_url", Object),
    optional("role", OneOf(&["first_frame", "last_frame", "reference_image"])),
];
const ADDRESS: &[Field] = &[required("url", Media)];

pub(super) fn model(body: &Map<String, Value>) -> Option<&'static Model> {
    let id = body.get("model")?.as_str()?;
    MODELS.iter().find(|model| model.id == id)
}

/// The first field of a create that is wrong, and why.
pub(super) fn flaw(model: &Model, body: &Map<String, Value>) -> Option<(String, String)> {
    let mut flaws = schema::flaw_texts(BODY, body);
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("resolution").is_some_and(|size| !model.resolutions.contains(&size)) {
        flaws.push("resolution: not valid for this model".to_owned());
    }
    let length = body.get("duration").and_then(Value::as_i64).unwrap_or(-1);
    if length != -1 && !(4..=model.longest).contains(&length) {
        flaws.push("duration: not valid for this model".to_owned());
    }
    flaws.extend(content_flaws(content(body)));
    let (field, _) = flaws.first()?.split_once(':')?;
    Some((
        field.to_owned(),
        format!("The parameter `{field}` specified in the request is not valid: {}", flaws[0]),
    ))
}

fn content_flaws(content: &[Value]) -> Vec<String> {
    let none = Map::new();
    let mut flaws = Vec::new();
    for item in content {
        let object = item.as_object().unwrap_or(&none);
        let table = if item["type"] == "image_url" { IMAGE } else { TEXT };
        flaws.extend(schema::flaw_texts(table, object));
        if let Some(address) = item["image_url"].as_object() {
            flaws.extend(schema::flaw_texts(ADDRESS, address));
        }
    }
    let of = |role: &str| content.iter().filter(|item| item["role"] == role).count();
    let images = content.iter().filter(|item| item["type"] == "image_url").count();
    let (first, last, references) = (of("first_frame"), of("last_frame"), of("reference_image"));
    let is_known = match (images, first, last, references) {
        (0, ..) | (1, _, 0, 0) | (2, 1, 1, 0) => true,
        (images, 0, 0, references) => images == references && images <= 9,
        _ => false,
    };
    if !is_known || content.is_empty() {
        flaws.push("content: frames and references cannot be mixed".to_owned());
    }
    flaws
        .into_iter()
        .map(|flaw| if flaw.starts_with("content") { flaw } else { format!("content: {flaw}") })
        .collect()
}

/// Whether what is ordered does not fit the type of the task: that ends the run, not the call.
pub(super) fn breaks_type(model: &Model, body: &Map<String, Value>) -> bool {
    let has_frame =
        content(body).iter().any(|item| item["type"] == "image_url" && item["role"] != "reference_image");
    let ratio = body.get("ratio").and_then(Value::as_str).unwrap_or("adaptive");
    model.follows_frame && has_frame && ratio != "adaptive"
}

/// What is made of a valid body.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) seconds: u32,
    pub(super) resolution: String,
    pub(super) ratio: String,
}

/// The older way to order stands in the prompt, as `--dur 5`; it wins here, though no document says
/// which does.
pub(super) fn settings(model: &Model, body: &Map<String, Value>) -> Settings {
    let (prompt, words) = (prompt(body), |name: &str| body.get(name).and_then(Value::as_str));
    let length = body.get("duration").and_then(Value::as_i64).filter(|length| *length > 0).unwrap_or(5);
    let in_prompt = option(prompt, &["dur", "duration"]).and_then(|text| text.parse().ok());
    let length = in_prompt.filter(|length| (4..=model.longest).contains(length)).unwrap_or(length);
    let size = option(prompt, &["rs", "resolution"]).filter(|size| model.resolutions.contains(size));
    let ratio = option(prompt, &["rt", "ratio"]).filter(|ratio| RATIOS.contains(ratio)).or(words("ratio"));
    Settings {
        seconds: length.try_into().unwrap_or(5),
        resolution: size.or(words("resolution")).unwrap_or("720p").to_owned(),
        ratio: ratio.filter(|ratio| *ratio != "adaptive").unwrap_or("16:9").to_owned(),
    }
}

fn option<'a>(prompt: &'a str, names: &[&str]) -> Option<&'a str> {
    let mut words = prompt.split_whitespace();
    words.find(|word| word.strip_prefix("--").is_some_and(|name| names.contains(&name)))?;
    words.next()
}

fn content(body: &Map<String, Value>) -> &[Value] {
    body.get("content").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The prompt of a valid body; it may be empty beside an image.
pub(super) fn prompt(body: &Map<String, Value>) -> &str {
    content(body).iter().find_map(|item| item["text"].as_str()).unwrap_or_default()
}
