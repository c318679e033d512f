//! The compiled-in catalogue, and what makes one invalid.

use std::time::Duration;

use super::*;
use crate::time::Timestamp;

#[test]
fn an_unconfigured_provider_takes_its_routes_and_lone_models_away() {
    let catalog = Catalog::for_providers(&[Provider::Runway]);
    assert!(catalog.model("gen-4.5").is_some());
    assert!(catalog.model("pika-2.2").is_none());
    let veo = catalog.model("veo-3.1").unwrap();
    assert!(veo.routes.iter().all(|route| route.provider == Provider::Runway));
    // What runs at the others goes on.
    assert!(catalog.route("fal/fal-ai/veo3.1").is_some());
}

#[test]
fn the_catalogue_that_is_compiled_in_is_valid_and_the_one_that_is_written() {
    let written = Catalog::parse(include_str!("../../../catalog.toml")).unwrap();
    assert!(written.models().count() >= 5);
    assert_eq!(format!("{:?}", Catalog::built_in()), format!("{written:?}"));
}

#[test]
fn route_names_are_unique() {
    let catalog = Catalog::for_providers(Provider::ALL);
    let mut names: Vec<_> = catalog.models().flat_map(|model| &model.routes).map(Route::name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// A credit is a cent: callers pay our cost.
#[test]
fn nothing_is_sold_below_what_any_of_its_routes_costs() {
    assert_eq!(Catalog::built_in().losses(), Vec::<String>::new());
    let own = "[[models]]\nname = \"gen-4.5\"\nprice = { \"720p\" = { per_second = 11_999_999 } }";
    let losses = Catalog::with_own(own).unwrap().losses();
    let lengths = Catalog::built_in().model("gen-4.5").unwrap().routes[0].durations_s.len();
    assert_eq!(losses.len(), lengths, "{losses:?}");
    assert!(
        losses[0].starts_with("model `gen-4.5`, route `runway/gen4.5`: 2 s of 720p without sound is sold")
    );
}

#[test]
fn a_tariff_counts_by_the_second_by_the_length_or_by_the_still() {
    let seconds = Tariff { per_second: Some(2), per_second_audio: Some(3), ..Tariff::default() };
    assert_eq!((seconds.amount(Some(4), false), seconds.amount(Some(4), true)), (Some(8), Some(12)));
    let lengths = Tariff { by_length: [("5".to_owned(), 30)].into(), ..Tariff::default() };
    assert_eq!((lengths.amount(Some(5), true), lengths.amount(Some(10), false)), (Some(30), None));
    let only = Tariff { lengths_s: vec![8], ..seconds };
    assert_eq!((only.amount(Some(8), true), only.amount(Some(4), true)), (Some(24), None));
    let still = Tariff { per_image: Some(7), ..Tariff::default() };
    assert_eq!((still.amount(None, false), still.amount(Some(5), false)), (Some(7), None));
}

#[test]
fn a_resolution_without_a_price_is_refused() {
    let text = include_str!("../../../catalog.toml").replacen("\"1080p\"", "\"1081p\"", 1);
    assert!(Catalog::parse(&text).is_err());
}

#[test]
fn a_route_is_found_by_its_name() {
    let catalog = Catalog::for_providers(Provider::ALL);
    for route in catalog.models().flat_map(|model| &model.routes) {
        let found = catalog.route(&route.name()).unwrap();
        assert_eq!((found.name(), found.provider), (route.name(), route.provider));
    }
    assert!(catalog.route("fal/nothing").is_none());
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let text = include_str!("../../../catalog.toml");
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Catalog::parse(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let veo = "endpoint = \"fal-ai/veo3.1\"\nimage_endpoint = \"fal-ai/veo3.1/image-to-video\"\n";
    assert!(refused(veo, "").contains("has no endpoint"));
    let image = "image_endpoint = \"google/veo-3.1\"\nlast_frame = true";
    assert!(refused(image, "last_frame = true").contains("takes a last frame and no image"));
    let frames = "last_frame = true\nlast_frame_endpoint";
    assert!(refused(frames, "last_frame_endpoint").contains("for last frames and takes none"));
    let made = "resolutions = [\"720p\", \"1080p\", \"4k\"]";
    let more = "resolutions = [\"720p\", \"1080p\", \"4k\", \"8k\"]";
    assert!(refused(made, more).contains("has no cost for 8k"));
    let instead = "instead = [\"kling-2.6\", \"kling-3.0\"]";
    assert!(refused(instead, "instead = [\"kling-0\"]").contains("replaced by kling-0"));
    let default = "duration_s = 8, aspect_ratio = \"16:9\"";
    assert!(refused(default, "duration_s = 8, aspect_ratio = \"7:1\"").contains("takes the defaults"));
}

#[test]
fn sound_costs_nothing_where_there_is_none_to_be_had() {
    let catalog = Catalog::for_providers(Provider::ALL);
    let silent = catalog.model("gen-4.5").unwrap();
    for route in &silent.routes {
        assert!(route.cost(Some(5), "720p", false).is_some());
        assert_eq!(route.cost(Some(5), "720p", true), None);
    }
}

/// Without a published price, or where Google may refuse, a request goes to other providers.
#[test]
fn veo_at_4k_is_made_at_vertex_with_sound_and_for_eight_seconds_only() {
    let catalog = Catalog::for_providers(Provider::ALL);
    for (vertex, fal) in [
        ("vertex/veo-3.1-generate-001", "fal/fal-ai/veo3.1"),
        ("vertex/veo-3.1-fast-generate-001", "fal/fal-ai/veo3.1/fast"),
    ] {
        let [vertex, fal] = [vertex, fal].map(|name| catalog.route(name).unwrap());
        for (length, audio) in [(4, false), (4, true), (6, true), (8, false), (8, true)] {
            assert_eq!(vertex.cost(Some(length), "4k", audio).is_some(), (length, audio) == (8, true));
            assert!(fal.cost(Some(length), "4k", audio).is_some());
        }
    }
}

#[test]
fn callers_are_warned_sixty_days_before_a_model_ends() {
    let own = "[[models]]\nname = \"pika-2.2\"\nends = \"2027-03-01\"\ninstead = [\"gen-4.5\"]";
    let catalog = Catalog::with_own(own).unwrap();
    let [ends, stays] = ["pika-2.2", "gen-4.5"].map(|name| catalog.model(name).unwrap());
    let [warned, end] = ["2026-12-31", "2027-03-01"].map(|day| Timestamp::of_day(day).unwrap());
    assert_eq!(ends.retirement(warned.minus(Duration::from_millis(1))), None);
    for now in [warned, end, end + Duration::from_secs(86_400)] {
        assert_eq!(ends.retirement(now), Some((warned, end)));
        assert_eq!(stays.retirement(now), None);
    }
    for day in ["soon", "2027-02-29", "1.3.2027"] {
        let wrong = Catalog::with_own(&own.replace("2027-03-01", day)).unwrap_err().to_string();
        assert!(wrong.contains(&format!("must be a day like 2027-03-01, not `{day}`")), "{wrong}");
    }
}
