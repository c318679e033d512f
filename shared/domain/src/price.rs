//! The price of a request.

use super::catalog::{Catalog, Model};
use super::credit::Credits;
use super::price_book::{Buyer, PriceBook};
use super::request::JobRequest;

/// The price of a request: the highest of its model and of the fallback models that can serve it, so that a
/// failover never costs more than quoted; for this buyer, by this version of the price book. `None` if one of
/// them has no price above zero.
pub fn quote(request: &JobRequest, catalog: &Catalog, book: &PriceBook, buyer: Buyer<'_>) -> Option<Credits> {
    let price = |model: &Model| {
        let listed = model.price.get(&request.resolution)?;
        let price = book.amount(request, buyer, &model.name, Some(listed))?;
        (price > Credits::ZERO).then_some(price)
    };
    let fallback = request.fallback_models.iter().filter_map(|name| catalog.model(name));
    let mut serving = fallback.filter(|model| model.routes.iter().any(|route| request.fits(route)));
    let own = price(catalog.model(&request.model)?)?;
    serving.try_fold(own, |most, model| Some(most.max(price(model)?)))
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
    fn a_fallback_model_that_can_serve_a_request_and_has_no_price_leaves_it_without_one() {
        let (catalog, account) = (Catalog::for_providers(Provider::ALL), AccountId::operator());
        let buyer = Buyer { account: &account, percent: PERCENT_DEFAULT };
        for tariff in ["", "per_image = 1", "per_second = 0", "per_second = 9223372036854775807"] {
            let book = PriceBook::parse(&format!("[models.\"veo-3.1\".\"720p\"]\n{tariff}\n")).unwrap();
            let quote = |fallback: &[&str]| {
                let order = serde_json::json!({
                    "model": "veo-3.1-fast", "prompt": "a", "duration_s": 8, "fallback_models": fallback,
                });
                let request = JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap();
                super::quote(&request, &catalog, &book, buyer)
            };
            assert!(quote(&[]).is_some());
            assert_eq!(quote(&["veo-3.1"]), None, "{tariff}");
            assert_eq!(quote(&["gen-4.5", "veo-3.1"]), None, "{tariff}");
        }
    }

    /// A model that cannot serve the request has no say, and every other has a price.
    #[test]
    fn every_pair_of_models_of_the_catalogue_has_a_price() {
        let catalog = Catalog::for_providers(Provider::ALL);
        for (model, other) in catalog.models().flat_map(|one| catalog.models().map(move |two| (one, two))) {
            let order = serde_json::json!({
                "model": model.name, "prompt": "a", "fallback_models": [other.name],
                "image_url": "https://example.com/a.png",
            });
            if let Ok(request) = JobRequest::new(serde_json::from_value(order).unwrap(), &catalog) {
                assert!(listed(&request, &catalog).is_some(), "{} {}", model.name, other.name);
            }
        }
    }

    #[test]
    fn without_sound_its_price_is_not_charged() {
        let order = serde_json::json!({
            "model": "gen-4.5", "prompt": "a", "duration_s": 6, "fallback_models": ["veo-3.1"],
        });
        assert_eq!(price(order), Some(Credits::from_micros(6 * 25_000_000)));
    }
}
