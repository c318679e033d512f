//! Compares a provider's price list with the costs in the catalogue.

use super::catalog::Route;
use super::credit::MicroUsd;

/// The unit of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One second of video.
    Second,
    /// One video of any duration.
    Video,
    /// One image.
    Image,
}

impl Unit {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Video => "video",
            Self::Image => "image",
        }
    }
}

/// One line of a price list: the price of one unit of an endpoint's output. A list has one price
/// for each endpoint, even if the price depends on resolution, duration or sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub endpoint: String,
    pub unit: Unit,
    pub price: MicroUsd,
}

/// A price that is not among the costs in the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    pub route: String,
    pub listed: &'a Listed,
    /// The costs of the route in the catalogue by the same unit, lowest first.
    pub ours: Vec<MicroUsd>,
}

/// The lines that match none of the costs of their route. Lines without a route and units that the
/// route does not use are ignored.
pub fn differences<'a>(routes: &[&Route], list: &'a [Listed]) -> Vec<Difference<'a>> {
    let of_route = |route: &&Route| {
        let route = *route;
        list.iter()
            .filter(|listed| route.endpoints().any(|name| name == listed.endpoint))
            .filter_map(|listed| {
                let ours = costs(route, listed.unit);
                // Our cost per second is rounded down if a duration has its own price.
                let agrees = ours.iter().any(|cost| cost.0.abs_diff(listed.price.0) <= 1);
                let differs = !ours.is_empty() && !agrees;
                differs.then(|| Difference { route: route.name(), listed, ours })
            })
            .collect::<Vec<_>>()
    };
    routes.iter().flat_map(of_route).collect()
}

/// All costs of one unit on a route, without duplicates.
pub(crate) fn costs(route: &Route, unit: Unit) -> Vec<MicroUsd> {
    let units = |length: Option<u32>| match (unit, length) {
        (Unit::Second, Some(seconds)) => Some(seconds.into()),
        (Unit::Video, Some(_)) | (Unit::Image, None) => Some(1_u64),
        (Unit::Second | Unit::Video, None) | (Unit::Image, Some(_)) => None,
    };
    let takes = route.takes().into_iter();
    let mut costs: Vec<_> = takes
        .filter_map(|(length, size, audio)| {
            Some(MicroUsd(route.cost(length, size, audio)?.0 / units(length)?))
        })
        .collect();
    costs.sort_unstable();
    costs.dedup();
    costs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::provider::Provider;

    /// The costs that a line differs from.
    fn ours(endpoint: &str, unit: Unit, price: u64) -> Option<Vec<u64>> {
        let catalog = Catalog::for_providers(Provider::ALL);
        let routes: Vec<_> = catalog.models().flat_map(|model| &model.routes).collect();
        let list = [Listed { endpoint: endpoint.to_owned(), unit, price: MicroUsd(price) }];
        let mut found = differences(&routes, &list);
        assert!(found.len() < 2, "{found:?}");
        found.pop().map(|difference| difference.ours.into_iter().map(|cost| cost.0).collect())
    }

    #[test]
    fn a_price_that_is_among_a_routes_costs_agrees() {
        for price in [200_000, 400_000, 600_000] {
            assert_eq!(ours("fal-ai/veo3.1", Unit::Second, price), None);
            assert_eq!(ours("fal-ai/veo3.1/first-last-frame-to-video", Unit::Second, price), None);
        }
        // By length: 6 s for 280,000.
        assert_eq!(ours("fal-ai/minimax/hailuo-2.3/standard/text-to-video", Unit::Second, 46_667), None);
        assert_eq!(ours("fal-ai/minimax/hailuo-2.3/pro/text-to-video", Unit::Video, 490_000), None);
        assert_eq!(ours("sd3/sd3.5-medium", Unit::Image, 35_000), None);
    }

    #[test]
    fn another_price_differs_at_every_endpoint_of_a_route() {
        for endpoint in ["fal-ai/veo3.1/lite", "fal-ai/veo3.1/lite/image-to-video"] {
            assert_eq!(ours(endpoint, Unit::Second, 60_000), Some(vec![30_000, 50_000, 80_000]));
        }
        assert_eq!(ours("fal-ai/minimax/hailuo-2.3/pro/text-to-video", Unit::Video, 0), Some(vec![490_000]));
    }

    #[test]
    fn lines_without_a_comparable_cost_are_ignored() {
        assert_eq!(ours("fal-ai/veo3.1", Unit::Image, 1), None);
        assert_eq!(ours("sd3/sd3.5-medium", Unit::Second, 1), None);
        assert_eq!(ours("fal-ai/another/model", Unit::Second, 1), None);
    }
}
