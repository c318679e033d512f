//! A list of video models in OpenRouter's form: what others charge, against what our callers pay.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Key, Rate, Theirs};
use crate::catalog::{Catalog, Model};
use crate::credit::MicroUsd;

/// Every amount that is listed for a key.
type Listed = BTreeMap<Key, BTreeSet<u64>>;

impl Theirs {
    /// Of such a list: `None` if it is none. A model is ours by its id, with or without the name of its maker.
    /// Prices are dollars for a second of a resolution, or for a video of a length; their other SKUs, and limits
    /// that are not ours, are unclear.
    pub fn of_openrouter(catalog: &Catalog, list: &Value) -> Option<Self> {
        let (mut theirs, mut listed) = (Self::default(), Listed::new());
        let families: BTreeSet<_> = catalog.models().map(|model| family(&model.name)).collect();
        for item in list["data"].as_array()? {
            let Some(id) = item["id"].as_str() else { continue };
            let name = id.rsplit('/').next().unwrap_or(id);
            match catalog.model(name) {
                Some(model) => theirs.take_model(model, item, &mut listed),
                None if families.contains(family(name)) => drop(theirs.created.insert(id.to_owned())),
                None => {}
            }
        }
        for (key, amounts) in listed {
            match amounts.first() {
                Some(amount) if amounts.len() == 1 => drop(theirs.amounts.insert(key, *amount)),
                _ => theirs.unclear.push((key.to_string(), "it is listed at different prices".to_owned())),
            }
        }
        Some(theirs)
    }

    fn take_model(&mut self, model: &Model, item: &Value, listed: &mut Listed) {
        let Some(skus) = item["pricing_skus"].as_object().filter(|skus| !skus.is_empty()) else {
            return self.unclear.push((model.name.clone(), "it has no price".to_owned()));
        };
        for (sku, price) in skus {
            let price =
                price.as_str().map(str::to_owned).or_else(|| price.as_number().map(ToString::to_string));
            let price = price.and_then(|text| MicroUsd::from_decimal(&text));
            match (keys(model, sku), price) {
                (keys, Some(price)) if !keys.is_empty() => {
                    let amount = price.as_credits().micros();
                    keys.into_iter().for_each(|key| listed.entry(key).or_default().extend([amount]));
                }
                (_, _) => {
                    self.unclear.push((model.name.clone(), format!("its price `{sku}` is not understood")))
                }
            }
        }
        self.take_limits(model, item);
    }

    fn take_limits(&mut self, model: &Model, item: &Value) {
        let Some(listed) = item["supported_durations"].as_array() else { return };
        let listed: BTreeSet<u64> = listed.iter().filter_map(Value::as_u64).collect();
        let ours: BTreeSet<u64> =
            model.routes.iter().flat_map(|route| &route.durations_s).map(|it| u64::from(*it)).collect();
        if listed != ours {
            let text =
                |lengths: &BTreeSet<u64>| lengths.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            let why =
                format!("it is listed with lengths of {} s, and sold with {}", text(&listed), text(&ours));
            self.unclear.push((model.name.clone(), why));
        }
    }
}

/// The prices of a model that a SKU is: of the named resolution, or of all. None for another SKU.
fn keys(model: &Model, sku: &str) -> Vec<Key> {
    let (sku, has_sound) = sku.strip_suffix("_with_audio").map_or((sku, false), |sku| (sku, true));
    let rate = if has_sound { Rate::PerSecondAudio } else { Rate::PerSecond };
    let of = |resolution: &str, rate: Rate| {
        model.price.get(resolution).and_then(|tariff| rate.of(tariff))?;
        Some(Key { model: model.name.clone(), route: None, resolution: resolution.to_owned(), rate })
    };
    let second = ["per_video_second", "per_second"].into_iter().find_map(|start| sku.strip_prefix(start));
    match (second, sku.strip_prefix("per_video_")) {
        (Some(""), _) => model.price.keys().filter_map(|resolution| of(resolution, rate)).collect(),
        (Some(rest), _) => {
            rest.strip_prefix('_').and_then(|resolution| of(resolution, rate)).into_iter().collect()
        }
        (None, Some(rest)) => {
            let length = rest.rsplit_once('_').and_then(|(resolution, length)| {
                of(resolution, Rate::Length(length.strip_suffix('s')?.parse().ok()?))
            });
            length.into_iter().collect()
        }
        (None, None) => Vec::new(),
    }
}

/// `veo-` of `veo-3.1-fast`.
fn family(name: &str) -> &str {
    name.split(|c: char| c.is_ascii_digit()).next().unwrap_or(name)
}
