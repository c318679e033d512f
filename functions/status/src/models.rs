//! The catalogue, in our own form and in the form of OpenRouter's list of video models.

use std::collections::{BTreeMap, BTreeSet};

use domain::catalog::{Audio, Catalog, Kind, Model, Route, Tariff};
use domain::credit::Credits;
use domain::time::Timestamp;
use serde_json::{Value, json};
use shared::operate::prices::Terms;

/// Micro-credits in a dollar: a credit is a cent.
const DOLLAR: u64 = 100 * Credits::ONE.micros();

/// What is sold to an account now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sold<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) terms: &'a Terms,
    pub(crate) now: Timestamp,
}

impl Sold<'_> {
    /// What the account pays for a model, by resolution.
    fn prices(&self, model: &Model) -> BTreeMap<String, Tariff> {
        let price = |resolution: &String| {
            let tariff = self.terms.tariff(self.catalog, &model.name, resolution)?;
            Some((resolution.clone(), tariff))
        };
        model.price.keys().filter_map(price).collect()
    }
}

/// `GET /v1/models`: the catalogue, without our costs; `object` and `data` are what OpenAI's clients read.
pub(crate) fn models(sold: &Sold<'_>) -> Value {
    let Sold { catalog, now, .. } = *sold;
    let named = catalog.sold(now).map(|model| {
        // When it was created is not known; their clients need a number.
        json!({"id": model.name, "object": "model", "created": 0, "owned_by": "genmux"})
    });
    json!({
        "models": catalog.sold(now).map(|model| model_json(model, &sold.prices(model))).collect::<Vec<_>>(),
        "retired": catalog.retired(now),
        "object": "list",
        "data": named.collect::<Vec<_>>(),
    })
}

fn model_json(model: &Model, prices: &BTreeMap<String, Tariff>) -> Value {
    let price: serde_json::Map<String, Value> = prices
        .iter()
        .map(|(resolution, price)| {
            let price = json!({
                "micro_credits_per_s": price.per_second,
                "micro_credits_per_s_with_audio": price.per_second_audio,
                "micro_credits_by_length": (!price.by_length.is_empty()).then_some(&price.by_length),
                "micro_credits_per_image": price.per_image,
            });
            (resolution.clone(), price)
        })
        .collect();
    json!({
        "name": model.name,
        "title": model.title,
        "kind": model.kind,
        "expected_s": model.expected_s,
        "ends": model.ends,
        "instead": model.instead,
        "defaults": {
            "duration_s": model.defaults.duration_s,
            "aspect_ratio": model.defaults.aspect_ratio,
            "resolution": model.defaults.resolution,
            "audio": model.defaults.audio,
        },
        "price": price,
        "routes": model.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn route(route: &Route) -> Value {
    json!({
        "name": route.name(),
        "provider": route.provider,
        "from_text": route.endpoint.is_some(),
        "from_image": route.image_endpoint.is_some(),
        "last_frame": route.last_frame,
        "durations_s": route.durations_s,
        "aspect_ratios": route.aspect_ratios,
        "image_aspect_ratios": route.image_aspect_ratios,
        "resolutions": route.resolutions,
        "prompt_max": route.prompt_max,
        "prompt_unit": route.prompt_unit,
        "seed": route.seed,
        "negative_prompt": route.negative_prompt,
        "audio": route.audio,
        "retention_s": route.retention_s,
    })
}

/// `GET /v1/videos/models`: the video models, as OpenRouter lists them.
pub(crate) fn video_models(sold: &Sold<'_>) -> Value {
    let videos = sold.catalog.sold(sold.now).filter(|model| model.kind == Kind::Video);
    json!({"data": videos.map(|model| video_model(model, &sold.prices(model))).collect::<Vec<_>>()})
}

fn video_model(model: &Model, prices: &BTreeMap<String, Tariff>) -> Value {
    let any = |has: fn(&Route) -> bool| model.routes.iter().any(has);
    let frames = [
        ("first_frame", any(|route| route.image_endpoint.is_some())),
        ("last_frame", any(|route| route.last_frame)),
    ];
    let frames: Vec<_> = frames.into_iter().filter(|(_, takes)| *takes).map(|(frame, _)| frame).collect();
    let lengths: BTreeSet<_> = model.routes.iter().flat_map(|route| &route.durations_s).collect();
    json!({
        "id": model.name,
        "canonical_slug": model.name,
        "name": model.title,
        // Not known; their clients need a number.
        "created": 0,
        "supported_durations": lengths,
        "supported_resolutions": names(model, |route| &route.resolutions),
        "supported_aspect_ratios": names(model, |route| &route.aspect_ratios),
        "supported_sizes": null,
        "supported_frame_images": frames,
        "generate_audio": any(|route| route.audio != Audio::Never),
        "seed": any(|route| route.seed),
        "allowed_passthrough_parameters": [],
        "pricing_skus": prices.iter().flat_map(|(resolution, price)| skus(resolution, price)).collect::<BTreeMap<_, _>>(),
    })
}

fn names(model: &Model, of: fn(&Route) -> &Vec<String>) -> Vec<&String> {
    let mut names = Vec::new();
    for name in model.routes.iter().flat_map(of) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What is charged for one resolution, in dollars.
fn skus(resolution: &str, price: &Tariff) -> Vec<(String, String)> {
    let rates = [("", price.per_second), ("_with_audio", price.per_second_audio)];
    let rates = rates
        .into_iter()
        .filter_map(|(sound, rate)| Some((format!("per_second_{resolution}{sound}"), dollars(rate?))));
    let totals = price
        .by_length
        .iter()
        .map(|(length, total)| (format!("per_video_{resolution}_{length}s"), dollars(*total)));
    rates.chain(totals).collect()
}

/// Micro-credits as a decimal number of dollars.
fn dollars(micro_credits: u64) -> String {
    let text = format!("{}.{:08}", micro_credits / DOLLAR, micro_credits % DOLLAR);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_is_a_cent() {
        for (micro_credits, text) in [
            (25_000_000, "0.25"),
            (100_000_000, "1"),
            (12_345_678_900, "123.456789"),
            (1, "0.00000001"),
            (0, "0"),
        ] {
            assert_eq!(dollars(micro_credits), text);
        }
    }

    #[test]
    fn prices_that_are_not_by_the_second_are_by_the_video() {
        let price = Tariff { by_length: [("5".to_owned(), 20_000_000)].into(), ..Tariff::default() };
        assert_eq!(skus("720p", &price), [("per_video_720p_5s".to_owned(), "0.2".to_owned())]);
    }
}
