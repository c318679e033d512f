//! An image of a request: a URL, or an upload of the same account.

use serde::Deserialize;

use super::{FieldError, given};
use crate::id::AccountId;
use crate::public_url::{self, PublicUrl, Reach};
use crate::upload::Upload;

/// Where an image is: one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `url` or `upload`")]
pub struct Image {
    #[serde(default, deserialize_with = "given")]
    pub url: Option<String>,
    /// The id of an upload.
    #[serde(default, deserialize_with = "given")]
    pub upload: Option<String>,
}

impl Image {
    pub fn of_upload(upload: &Upload) -> Self {
        Self { url: None, upload: Some(upload.id().to_owned()) }
    }
}

/// What an image is called in a request: as an object, and as a URL alone.
pub(super) struct Names {
    pub object: &'static str,
    pub url: &'static str,
}

pub(super) const IMAGE: Names = Names { object: "image", url: "image_url" };
pub(super) const LAST_FRAME: Names = Names { object: "last_frame", url: "last_frame_url" };

/// The image of a request in either form, if it has one.
pub(super) fn parse(
    names: &Names,
    url: Option<&str>,
    image: Option<&Image>,
    account: &AccountId,
    reach: Reach,
) -> Result<Option<PublicUrl>, FieldError> {
    let member = |name: &str| format!("{}.{name}", names.object);
    let parsed = |field: String, url: &str| {
        let url = PublicUrl::parse(url, reach);
        url.map(Some).map_err(|why| wrong(field, format!("must be {}: {why}", public_url::ALLOWED)))
    };
    match (url, image) {
        (None, None) => Ok(None),
        (Some(url), None) => parsed(names.url.to_owned(), url),
        (None, Some(Image { url: Some(url), upload: None })) => parsed(member("url"), url),
        (None, Some(Image { url: None, upload: Some(id) })) => {
            let upload = Upload::of_id(account, id).map(|upload| Some(upload.url()));
            let why = "is not the id of an upload: `POST /v1/uploads` returns it";
            upload.ok_or_else(|| wrong(member("upload"), why.to_owned()))
        }
        (None, Some(_)) => {
            Err(wrong(names.object.to_owned(), "must have `url` or `upload`, one of them".to_owned()))
        }
        (Some(_), Some(_)) => {
            Err(wrong(names.object.to_owned(), format!("stands for `{}`: send one of them", names.url)))
        }
    }
}

fn wrong(field: String, detail: String) -> FieldError {
    FieldError { field: field.into(), detail, allowed: Vec::new() }
}
