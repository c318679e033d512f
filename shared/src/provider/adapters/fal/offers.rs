//! fal's lists of prices and of models.

use http::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::PLATFORM;
use crate::provider::call::{Answer, Call};
use crate::provider::listing::{OfferPage, PricePage};
use crate::provider::reading::{amount, items, micro_usd, text, word};
use domain::price_list::{Listed, Unit};

/// The call for the prices of these endpoints.
pub(super) fn price(endpoints: &[&str]) -> Call {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("endpoint_id", &endpoints.join(","))
        .finish();
    Call::new(Method::GET, PLATFORM, format!("/v1/models/pricing?{query}"))
}

pub(super) fn read_prices(answer: &Answer) -> Option<PricePage> {
    let body = answer.object().filter(|body| answer.is_ok() && body["prices"].is_array())?;
    let mut page = PricePage::default();
    for line in items(&body["prices"]) {
        match listed(line) {
            Ok(listed) => page.prices.push(listed),
            Err(why) => {
                let endpoint =
                    text(&line["endpoint_id"]).unwrap_or_else(|| "an endpoint without a name".into());
                page.unclear.push((endpoint.into_owned(), why));
            }
        }
    }
    Some(page)
}

/// Why not: other money, no amount, or a unit that is not of the output, such as a machine's seconds.
fn listed(line: &Value) -> Result<Listed, String> {
    const SHOWN_MAX: usize = 40;
    let odd = |what: &str, value: &Value| {
        let value: String = word(value).chars().take(SHOWN_MAX).collect();
        format!("its price has the {what} `{value}`, which is not understood")
    };
    let unit = match &*word(&line["unit"]) {
        "second" | "seconds" => Unit::Second,
        "video" | "videos" => Unit::Video,
        "image" | "images" => Unit::Image,
        _ => return Err(odd("unit", &line["unit"])),
    };
    if word(&line["currency"]) != "USD" {
        return Err(odd("currency", &line["currency"]));
    }
    let price = amount(&line["unit_price"]).ok_or_else(|| odd("amount", &line["unit_price"]))?;
    let endpoint = text(&line["endpoint_id"]).ok_or("its price has no endpoint")?;
    Ok(Listed { endpoint: endpoint.into_owned(), unit, price: micro_usd(price) })
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
    let is_offered = |model: &&Value| {
        let metadata = &model["metadata"];
        word(&metadata["status"]) != "deprecated" && word(&metadata["kind"]) != "training"
    };
    let offered = items(&body["models"]).iter().filter(is_offered);
    let endpoints = offered.filter_map(|model| text(&model["endpoint_id"])).map(|it| it.into_owned());
    Some(OfferPage { endpoints: endpoints.collect(), next: next.map(|it| it.into_owned()) })
}
