//! What fal billed, for a key that may read it; else the requests of our endpoints, which have no amount.

use http::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::{PLATFORM, PRICES_MAX};
use crate::provider::bill::{BillOf, BillPage};
use crate::provider::call::{Answer, Call};
use crate::provider::reading::{items, text, timestamp};

/// Lines of a page of each list; a page may have fewer.
const BILLED_MAX: &str = "1000";
const REQUESTS_MAX: &str = "100";

pub(super) fn call(of: &BillOf<'_>, part: usize, cursor: Option<&str>) -> Option<Call> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let path = if of.is_admin {
        query.append_pair("limit", BILLED_MAX);
        (part == 0).then_some("/v1/models/billing-events")?
    } else {
        let endpoints = of.endpoints.chunks(PRICES_MAX).nth(part)?;
        query.append_pair("endpoint_id", &endpoints.join(",")).append_pair("limit", REQUESTS_MAX);
        "/v1/models/requests/by-endpoint"
    };
    query
        .append_pair("start", &of.period.since.to_string())
        .append_pair("end", &of.period.until.to_string())
        .extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    Some(Call::new(Method::GET, PLATFORM, format!("{path}?{}", query.finish())))
}

pub(super) fn read(of: &BillOf<'_>, answer: &Answer) -> Option<BillPage> {
    let (list, time, amount) = match of.is_admin {
        true => ("billing_events", "timestamp", "cost_total"),
        false => ("items", "sent_at", ""),
    };
    let body = answer.object().filter(|body| answer.is_ok() && body[list].is_array())?;
    let next = text(&body["next_cursor"]).map(|cursor| cursor.into_owned());
    let next = next.filter(|_| body["has_more"] != false);
    let part = |item| {
        let item: &Value = item;
        (&item["request_id"], timestamp(&item[time]), &item[amount])
    };
    BillPage::of(items(&body[list]), next, part)
}
