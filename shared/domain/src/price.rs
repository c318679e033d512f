//! The price of a request.

use super::catalog::Catalog;
use super::credit::Credits;
use super::price_book::{Buyer, PriceBook};
use super::request::JobRequest;

/// The price of a request: the highest of its model and its fallback models, so that a failover
/// never costs more than quoted; for this buyer, by this version of the price book. `None` if no such amount
/// exists.
pub fn quote(request: &JobRequest, catalog: &Catalog, book: &PriceBook, buyer: Buyer<'_>) -> Option<Credits> {
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    names
        .filter_map(|name| {
            let tariff = book.tariff(catalog, buyer, name, &request.resolution)?;
            tariff.amount(request.duration_s, request.audio.unwrap_or(false)).map(Credits::from_micros)
        })
        .max()
        .filter(|price| *price > Credits::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;
    use crate::price_book::PERCENT_DEFAULT;
    use crate::provider::Provider;

    fn price(json: serde_json::Value) -> Option<Credits> {
        let catalog = Catalog::for_providers(Provider::ALL);
        let request = JobRequest::new(serde_json::from_value(json).unwrap(), &catalog).unwrap();
        listed(&request, &catalog)
    }

    fn listed(request: &JobRequest, catalog: &Catalog) -> Option<Credits> {
        let buyer = Buyer { account: &AccountId::operator(), percent: PERCENT_DEFAULT };
        quote(request, catalog, &PriceBook::default(), buyer)
    }

    #[test]
    fn a_price_is_per_second_by_resolution_and_sound() {
        let order = |audio: bool| serde_json::json!({"model": "veo-3.1", "prompt": "a", "duration_s": 4, "audio": audio});
        assert_eq!(price(order(false)), Some(Credits::from_micros(4 * 25_000_000)));
        assert_eq!(price(order(true)), Some(Credits::from_micros(4 * 50_000_000)));
    }

    #[test]
    fn a_fallback_model_never_costs_more_than_the_quote() {
        let alone =
            price(serde_json::json!({"model": "veo-3.1-fast", "prompt": "a", "duration_s": 8})).unwrap();
        let with = price(serde_json::json!({
            "model": "veo-3.1-fast", "prompt": "a", "duration_s": 8, "fallback_models": ["veo-3.1"],
        }))
        .unwrap();
        assert!(with > alone);
    }

    #[test]
    fn a_price_of_zero_is_none() {
        let free = include_str!("../../catalog.toml").replace("25_000_000", "0");
        let catalog = Catalog::parse(&free).unwrap();
        let order = |audio: bool| {
            let order = serde_json::json!({"model": "veo-3.1", "prompt": "a", "audio": audio});
            JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap()
        };
        assert_eq!(listed(&order(false), &catalog), None);
        assert!(listed(&order(true), &catalog).is_some());
    }

    #[test]
    fn without_sound_its_price_is_not_charged() {
        let order = serde_json::json!({
            "model": "gen-4.5", "prompt": "a", "duration_s": 6, "fallback_models": ["veo-3.1"],
        });
        assert_eq!(price(order), Some(Credits::from_micros(6 * 25_000_000)));
    }
}
