//! fal's lists of prices and of models.

use http::Method;
use url::form_urlencoded;

use super::PLATFORM;
use crate::provider::call::{Answer, Call};
use crate::provider::listing::OfferPage;
use crate::provider::reading::{items, text, word};

/// The call for the prices of these endpoints.
pub(super) fn price(endpoints: &[&str]) -> Call {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("endpoint_id", &endpoints.join(","))
        .finish();
    Call::new(Method::GET, PLATFORM, format!("/v1/models/pricing?{query}"))
}

pub(super) fn call(cursor: Option<&str>) -> Call {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("status", "active").append_pair("limit", "100");
    query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    Call::new(Method::GET, PLATFORM, format!("/v1/models?{}", query.finish()))
}

/// Without endpoints that train models, and without deprecated ones.
pub(super) fn read(answer: &Answer) -> Option<OfferPage> {
    let body = answer.object().filter(|body| answer.is_ok() && body["models"].is_array())?;
    let next = text(&body["next_cursor"]).filter(|_| body["has_more"] != false);
    let is_offered = |model: &&serde_json::Value| {
        let metadata = &model["metadata"];
        word(&metadata["status"]) != "deprecated" && word(&metadata["kind"]) != "training"
    };
    let offered = items(&body["models"]).iter().filter(is_offered);
    let endpoints = offered.filter_map(|model| text(&model["endpoint_id"])).map(|it| it.into_owned());
    Some(OfferPage { endpoints: endpoints.collect(), next: next.map(|it| it.into_owned()) })
}
