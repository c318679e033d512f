//! Checks a JSON body against a table of fields. Each provider has its own texts for the flaws.

use serde_json::{Map, Value};

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Of at least and at most so many UTF-16 code units.
    Text(usize, usize),
    OneOf(&'static [&'static str]),
    /// An integer, both bounds included.
    Integer(i64, i64),
    IntegerOf(&'static [i64]),
    Number,
    Flag,
    /// An address or data URI of a medium.
    Media,
    /// An address or data URI, or a list of positioned ones with a first among them.
    Frames(&'static [&'static str]),
    List,
    Object,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Missing,
    /// Another JSON type; names the expected one.
    Type(&'static str),
    NotOneOf(&'static [&'static str]),
    NotOneOfIntegers(&'static [i64]),
    TooShort(usize),
    TooLong(usize),
    TooSmall(i64),
    TooBig(i64),
    BadAddress,
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, required: true, kind }
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, required: false, kind }
}

/// Every flaw of the body, in the order of the table. Fields outside the table are ignored.
pub(crate) fn flaws(fields: &[Field], body: &Map<String, Value>) -> Vec<(&'static str, Flaw)> {
    fields
        .iter()
        .filter_map(|field| {
            let flaw = match body.get(field.name) {
                None => field.required.then_some(Flaw::Missing),
                Some(value) => flaw(field.kind, value),
            };
            flaw.map(|flaw| (field.name, flaw))
        })
        .collect()
}

/// Every flaw of the body and every field that is not in the table, as plain texts.
pub(crate) fn flaw_texts(fields: &[Field], body: &Map<String, Value>) -> Vec<String> {
    let flaws = flaws(fields, body).into_iter().map(|(field, flaw)| format!("{field}: {flaw:?}"));
    let known = |key: &&String| fields.iter().any(|field| field.name == **key);
    let unknown = body.keys().filter(|key| !known(key)).map(|key| format!("{key}: Unknown"));
    flaws.chain(unknown).collect()
}

fn flaw(kind: Kind, value: &Value) -> Option<Flaw> {
    match kind {
        Kind::Text(min, max) => match value.as_str().map(|text| text.encode_utf16().count()) {
            None => Some(Flaw::Type("string")),
            Some(length) if length < min => Some(Flaw::TooShort(min)),
            Some(length) if length > max => Some(Flaw::TooLong(max)),
            Some(_) => None,
        },
        Kind::OneOf(choices) => match value.as_str() {
            Some(text) if choices.contains(&text) => None,
            _ => Some(Flaw::NotOneOf(choices)),
        },
        Kind::Integer(min, max) => match value.as_i64() {
            None => Some(Flaw::Type("integer")),
            Some(number) if number < min => Some(Flaw::TooSmall(min)),
            Some(number) if number > max => Some(Flaw::TooBig(max)),
            Some(_) => None,
        },
        Kind::IntegerOf(choices) => match value.as_i64() {
            Some(number) if choices.contains(&number) => None,
            _ => Some(Flaw::NotOneOfIntegers(choices)),
        },
        Kind::Number => (!value.is_number()).then_some(Flaw::Type("number")),
        Kind::Flag => (!value.is_boolean()).then_some(Flaw::Type("boolean")),
        Kind::Media => media(value),
        Kind::Frames(positions) => match value.as_array() {
            None => media(value),
            Some(frames) if frames.iter().all(|frame| frame["position"] != "first") => {
                Some(Flaw::NotOneOf(positions))
            }
            Some(frames) => frames.iter().find_map(|frame| {
                media(&frame["uri"]).or_else(|| flaw(Kind::OneOf(positions), &frame["position"]))
            }),
        },
        Kind::List => (!value.is_array()).then_some(Flaw::Type("array")),
        Kind::Object => (!value.is_object()).then_some(Flaw::Type("object")),
    }
}

fn media(value: &Value) -> Option<Flaw> {
    let Some(address) = value.as_str() else { return Some(Flaw::Type("string")) };
    let known =
        ["https://", "http://", "data:", "runway://"].iter().any(|scheme| address.starts_with(scheme));
    (!known).then_some(Flaw::BadAddress)
}

/// Width and height of a ratio written as `16:9`, which is also the default.
pub(crate) fn ratio(text: Option<&Value>) -> (u32, u32) {
    let sides = text.and_then(Value::as_str).and_then(|text| text.split_once(':'));
    sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))).unwrap_or((16, 9))
}
