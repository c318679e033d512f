//! The dialects of the API: one set of rules, and three ways to say a request, a job and an error.

mod form;
pub mod gateway;
pub mod native;
pub mod openai;

use std::fmt::Write;

use bytes::Bytes;
use data_encoding::BASE64;
use domain::catalog::{Catalog, Kind};
use domain::id::AccountId;
use domain::request::{self, FieldError, Order};
use domain::size::Size;
use domain::time::Timestamp;
use domain::upload::Upload;
use http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::{Map, Value, json};

use super::http::{Problem, json as answer, read, route_key};

/// The maximum size of a body that may hold an image, in bytes: Lambda takes 6 MB of a body in base64.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// A dialect, by the route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Native,
    /// OpenAI's videos.
    OpenAi,
    /// The gateway of Vercel's AI SDK.
    Gateway,
}

impl Dialect {
    /// By the route, or by the path of a request that has none. A custom domain may add a base path.
    pub fn of(request: &Request) -> Self {
        let route = route_key(request);
        let text = if route.contains('/') { route } else { request.uri().path() };
        if text.contains("/v1/ai/") {
            Self::Gateway
        } else if text.contains("/v1/videos") && !text.ends_with("/v1/videos/models") {
            Self::OpenAi
        } else {
            Self::Native
        }
    }

    pub(super) fn problem(self, problem: &Problem, request_id: &str) -> Response<Body> {
        match self {
            Self::Native => native::problem(problem, request_id),
            Self::OpenAi => openai::problem(problem),
            Self::Gateway => gateway::problem(problem),
        }
    }
}

/// An order in our own form, and the images that came with it.
#[derive(Debug, Default)]
pub struct Asked {
    pub order: Order,
    pub uploads: Vec<(Upload, Bytes)>,
}

/// An image as a dialect gives it.
#[derive(Debug, PartialEq, Eq)]
enum Image {
    Url(String),
    /// The id of an upload.
    Upload(String),
    Bytes(Bytes),
}

impl Image {
    /// A URL, also a data URL.
    fn of_url(url: String, field: &'static str) -> Result<Self, Problem> {
        let Some(data) = url.strip_prefix("data:") else { return Ok(Self::Url(url)) };
        let base64 = data.split_once(";base64,").map(|(_, base64)| base64);
        Self::of_base64(base64.ok_or_else(|| wrong(field, "must be a data URL in base64", vec![]))?, field)
    }

    fn of_base64(text: &str, field: &'static str) -> Result<Self, Problem> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_text| wrong(field, "must be base64", vec![]))?;
        Ok(Self::Bytes(bytes.into()))
    }
}

impl Asked {
    /// Reads our own fields, with those of another dialect in their place.
    fn read(fields: Map<String, Value>) -> Result<Self, Problem> {
        Ok(Self { order: read(Value::Object(fields))?, ..Self::default() })
    }

    fn set_image(&mut self, image: Image, account: &AccountId) {
        self.order.image = Some(self.own(image, account));
    }

    fn set_last_frame(&mut self, image: Image, account: &AccountId) {
        self.order.last_frame = Some(self.own(image, account));
    }

    /// An image in our own form; what came as bytes is an upload.
    fn own(&mut self, image: Image, account: &AccountId) -> request::Image {
        match image {
            Image::Url(url) => request::Image { url: Some(url), upload: None },
            Image::Upload(id) => request::Image { url: None, upload: Some(id) },
            Image::Bytes(bytes) => {
                let upload = Upload::new(account, &bytes);
                let image = request::Image::of_upload(&upload);
                self.uploads.push((upload, bytes));
                image
            }
        }
    }

    /// Sets resolution and aspect ratio by a size like `1280x720`. What is wrong with the model is left to
    /// the rules of all dialects.
    fn set_size(&mut self, size: &str, catalog: &Catalog, now: Timestamp) -> Result<(), Problem> {
        let order = &mut self.order;
        let Some(model) = catalog.sold_as(&order.model, now) else { return Ok(()) };
        if order.resolution.is_some() {
            return Err(wrong("size", "stands for `resolution`: send one of them", vec![]));
        }
        let sizes = Size::all(model, order.has_image());
        let Some(found) = sizes.iter().find(|found| found.to_string() == size) else {
            let allowed = sizes.iter().map(Size::to_string).collect();
            return Err(wrong("size", "is not a size that this model makes", allowed));
        };
        order.resolution = Some(found.resolution.clone());
        match (&order.aspect_ratio, &found.aspect_ratio) {
            (Some(ratio), Some(other)) if ratio != other => {
                return Err(wrong("size", &format!("is not of the aspect ratio {ratio}"), vec![]));
            }
            (None, _) => order.aspect_ratio.clone_from(&found.aspect_ratio),
            (Some(_), _) => {}
        }
        Ok(())
    }

    /// Refuses a model that makes images: these dialects have videos alone.
    fn check_kind(&self, catalog: &Catalog, now: Timestamp) -> Result<(), Problem> {
        match catalog.sold_as(&self.order.model, now) {
            Some(model) if model.kind == Kind::Image => {
                let videos = catalog.sold(now).filter(|model| model.kind == Kind::Video);
                let allowed = videos.map(|model| model.name.clone()).collect();
                Err(wrong("model", "makes images; `POST /v1/jobs` takes it", allowed))
            }
            _ => Ok(()),
        }
    }
}

/// Puts a value under our own name, unless it is there under that name as well.
fn put(
    fields: &mut Map<String, Value>,
    ours: &str,
    theirs: &'static str,
    value: Option<Value>,
) -> Result<(), Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(()) };
    match fields.insert(ours.to_owned(), value) {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(wrong(theirs, &format!("stands for `{ours}`: send one of them"), vec![])),
    }
}

fn wrong(field: &'static str, detail: &str, allowed: Vec<String>) -> Problem {
    Problem::invalid(vec![FieldError { field: field.into(), detail: detail.to_owned(), allowed }])
}

/// An error of one object with a text, as OpenAI and the AI SDK read it.
fn error(status: StatusCode, message: &str, kind: &str, param: &Value, code: &str) -> Response<Body> {
    answer(status, &json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
}

/// All that a problem says in one text: clients of these dialects show nothing else. `name` gives their names
/// of our fields.
fn message(problem: &Problem, name: fn(&str) -> &str) -> String {
    if problem.errors.is_empty() {
        return problem.detail.to_string();
    }
    let mut text = String::new();
    for FieldError { field, detail, allowed } in &problem.errors {
        let start = if text.is_empty() { "" } else { " " };
        let detail = detail.trim_end_matches('.');
        let _infallible = write!(text, "{start}{}: {detail}", name(field));
        if !allowed.is_empty() {
            let _infallible = write!(text, "; allowed: {}", allowed.join(", "));
        }
        text.push('.');
    }
    text
}
