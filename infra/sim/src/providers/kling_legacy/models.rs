//! The models of the older API that are not retired, with their request bodies.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Media, Number, OneOf, Text};
use crate::frame::schema::{Field, optional, required};
use crate::providers::kling::errors::flaw;
use crate::providers::kling::models::aspect;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    modes: Field,
    durations: Field,
    sound: Sound,
    /// The modes that take a last frame.
    last_frame: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    Never,
    ProOnly,
    Always,
}

/// A valid create, parsed.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) prompt: String,
    pub(super) seconds: u32,
    pub(super) aspect: (u32, u32),
    pub(super) callback_url: Option<String>,
    pub(super) reference: Option<String>,
}

/// `None` also for those that were retired on 15 September 2026.
pub(super) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id)
}

impl Model {
    /// Parses a body, or returns its first error.
    pub(super) fn parsed(&self, body: &Map<String, Value>, from_image: bool) -> Result<Parsed, String> {
        let mut fields = vec![
            required("model_name", Text(1, 64)),
            required("prompt", Text(1, 2_500)),
            optional("negative_prompt", Text(0, 2_500)),
            optional("cfg_scale", Number),
            optional("callback_url", Text(1, 2_048)),
            optional("external_task_id", Text(1, 256)),
        ];
        fields.extend([copy(&self.modes), copy(&self.durations)]);
        match from_image {
            true => fields.extend([required("image", Media), optional("image_tail", Media)]),
            false => fields.push(optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"]))),
        }
        if self.sound != Sound::Never {
            fields.push(optional("sound", OneOf(&["on", "off"])));
        }
        flaw(&fields, body).map_or(Ok(()), Err)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let mode = text("mode").unwrap_or("std");
        if self.sound == Sound::ProOnly && text("sound") == Some("on") && mode != "pro" {
            return Err(format!("sound is not supported in mode {mode}"));
        }
        if text("image_tail").is_some() && !self.last_frame.contains(&mode) {
            return Err(format!("image_tail is not supported in mode {mode}"));
        }
        Ok(Parsed {
            prompt: text("prompt").unwrap_or_default().to_owned(),
            seconds: text("duration").and_then(|text| text.parse().ok()).unwrap_or(5),
            aspect: aspect(text("aspect_ratio").unwrap_or_default()),
            callback_url: text("callback_url").map(str::to_owned),
            reference: text("external_task_id").map(str::to_owned),
        })
    }
}

const fn copy(field: &Field) -> Field {
    Field { name: field.name, required: field.required, kind: field.kind }
}

const FIVE_OR_TEN_S: Field = optional("duration", OneOf(&["5", "10"]));
const STD_OR_PRO: Field = optional("mode", OneOf(&["std", "pro"]));

const MODELS: &[Model] = &[
    Model {
        id: "kling-v3",
        modes: optional("mode", OneOf(&["std", "pro", "4k"])),
        durations: optional(
            "duration",
            OneOf(&["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]),
        ),
        sound: Sound::Always,
        last_frame: &["std", "pro", "4k"],
    },
    Model {
        id: "kling-v2-6",
        modes: STD_OR_PRO,
        durations: FIVE_OR_TEN_S,
        sound: Sound::ProOnly,
        last_frame: &["pro"],
    },
    Model {
        id: "kling-v2-5-turbo",
        modes: STD_OR_PRO,
        durations: FIVE_OR_TEN_S,
        sound: Sound::Never,
        last_frame: &["pro"],
    },
];
