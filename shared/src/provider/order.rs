//! What a create call is made of, and what is known of one whose answer was lost.

use std::time::Duration;

use domain::catalog::{Audio, Route};
use domain::id::JobId;
use domain::request::JobRequest;
use domain::time::Timestamp;
use domain::upload::Upload;
use serde_json::Value;
use url::Url;

use super::fetch::image::Image;
use super::outcome::Found;
use super::reading;

/// The input of a create call.
#[derive(Debug, Clone, Copy)]
pub struct CreateOrder<'a> {
    pub request: &'a JobRequest,
    pub route: &'a Route,
    /// The callback URL; `None` if the attempt is only polled.
    pub callback: Option<&'a Url>,
    /// Genmux's id of the attempt: `<job>.<attempt>`.
    pub reference: &'a str,
    /// The images at `image_url` and `last_frame_url`, if the provider takes bytes.
    /// [`ProviderClient::create`](super::ProviderClient::create) downloads them.
    pub image: Option<&'a Image>,
    pub last_frame: Option<&'a Image>,
}

impl<'a> CreateOrder<'a> {
    /// Without callback and without downloaded images.
    pub const fn new(request: &'a JobRequest, route: &'a Route, reference: &'a str) -> Self {
        Self { request, route, callback: None, reference, image: None, last_frame: None }
    }

    /// Whether the route has an endpoint for this request. It had one when the request was accepted; the
    /// catalogue may have changed since.
    pub(super) fn has_endpoint(&self) -> bool {
        self.own_endpoint().is_some()
    }

    /// The provider's endpoint for this request.
    pub(super) fn endpoint(&self) -> &str {
        self.own_endpoint().expect("the client makes no call without an endpoint")
    }

    /// With image and last frame, with image, or without.
    fn own_endpoint(&self) -> Option<&str> {
        let Route { endpoint, image_endpoint, last_frame_endpoint, .. } = self.route;
        let endpoint = match (&self.request.image_url, &self.request.last_frame_url) {
            (Some(_), Some(_)) if last_frame_endpoint.is_some() => last_frame_endpoint,
            (Some(_), _) => image_endpoint,
            (None, _) => endpoint,
        };
        endpoint.as_deref()
    }

    /// Whether there shall be sound, where there is a choice: always explicit, because the default of many
    /// providers is with sound, at twice the price.
    pub(super) fn audio(&self) -> Option<bool> {
        (self.route.audio == Audio::Switch).then_some(self.request.audio.unwrap_or(false))
    }
}

/// An object without its members that are null: what a request leaves open is not sent.
pub(super) fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// Genmux's id of an attempt, for providers that accept one.
pub fn reference(job: &JobId, attempt: u8) -> String {
    format!("{job}.{attempt}")
}

/// An unconfirmed create: its answer was lost.
#[derive(Debug, Clone, Copy)]
pub struct Lost<'a> {
    /// As sent, but without the callback: see [`Lost::is_callback`].
    pub order: CreateOrder<'a>,
    /// When it was claimed; the create call followed within [`LOST_WITHIN`].
    pub started_at: Timestamp,
}

impl Lost<'_> {
    /// Whether this is the attempt's callback URL: its token starts with the attempt's id.
    pub fn is_callback(&self, url: &str) -> bool {
        let name = self.order.reference.strip_prefix(JobId::PREFIX).unwrap_or(self.order.reference);
        let token = url.rsplit('/').next().unwrap_or_default();
        token.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The longest time from an attempt's claim to the end of its create call.
pub const LOST_WITHIN: Duration = Duration::from_secs(60);

/// The maximum difference between a provider's clock and Genmux's.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);

impl Lost<'_> {
    /// The period in which its remote job was created, if it was, including the clock difference.
    pub(super) fn window(&self) -> (Timestamp, Timestamp) {
        (self.started_at.minus(CLOCKS_DIFFER), self.started_at + LOST_WITHIN + CLOCKS_DIFFER)
    }

    /// Whether a listed input is ours. A link to an upload is signed anew for each call: it is compared by
    /// what it leads to.
    pub(super) fn is_input(theirs: &Value, ours: &Value) -> bool {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => {
                let is_same = |(name, ours)| theirs.get(name).is_some_and(|it| Self::is_input(it, ours));
                theirs.len() == ours.len() && ours.iter().all(is_same)
            }
            (Value::Array(theirs), Value::Array(ours)) => {
                theirs.len() == ours.len()
                    && theirs.iter().zip(ours).all(|(it, ours)| Self::is_input(it, ours))
            }
            (Value::String(theirs), Value::String(ours)) => {
                theirs == ours || Upload::named(ours).is_some_and(|upload| upload.is_at(theirs))
            }
            _ => theirs == ours,
        }
    }

    /// Of remote jobs with the same input, by id and time: those created in the period.
    pub(super) fn find<'i>(&self, alike: impl Iterator<Item = (&'i Value, &'i Value)>) -> Found {
        let (from, to) = self.window();
        let mut found = Vec::new();
        for (id, time) in alike {
            let (Some(remote), Some(time)) = (reading::remote(id), reading::timestamp(time)) else {
                return Found::Unreadable("unusable_item");
            };
            if time >= from && time <= to {
                found.push(remote);
            }
        }
        if found.is_empty() { Found::Nothing } else { Found::Alike(found) }
    }
}

#[cfg(test)]
mod tests {
    use domain::id::AccountId;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_with_an_upload_is_ours_by_any_signature_of_its_link() {
        let account: AccountId = "acct_anna".parse().unwrap();
        let upload = Upload::new(&account, b"boat");
        let input = |image: &str| json!({"prompt": "a boat", "images": [image], "seed": 7});
        let link = |upload: &Upload| format!("https://bucket.s3.example/{}?X-Amz-Signature=1", upload.key());
        let ours = input(upload.url().as_str());
        assert!(Lost::is_input(&input(&link(&upload)), &ours));
        assert!(!Lost::is_input(&input(&link(&Upload::new(&account, b"goat"))), &ours));
        assert!(!Lost::is_input(&input("https://a.example/b.png"), &ours));
        let more = json!({"prompt": "a boat", "images": [link(&upload)], "seed": 7, "audio": true});
        assert!(!Lost::is_input(&more, &ours) && !Lost::is_input(&ours, &more));
        assert!(Lost::is_input(&ours, &ours));
    }
}
