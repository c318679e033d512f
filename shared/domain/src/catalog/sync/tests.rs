use serde_json::json;

use super::*;
use crate::credit::MicroUsd;

const HAILUO: &str = "fal-ai/minimax/hailuo-2.3/pro/text-to-video";
const VEO: &str = "fal-ai/veo3.1";

fn listed(endpoint: &str, unit: Unit, price: u64) -> Listed {
    Listed { endpoint: endpoint.to_owned(), unit, price: MicroUsd(price) }
}

/// A model of the owner's own at fal, at this cost for a second.
fn own(cost: u64) -> String {
    format!(
        "[[models]]\nname = 'boat-1'\ntitle = 'Boat'\nexpected_s = 60\n\
         defaults = {{ duration_s = 5, aspect_ratio = '16:9', resolution = '720p' }}\n\
         price = {{ '720p' = {{ per_second = 10_000_000 }} }}\n[[models.routes]]\nprovider = 'fal'\n\
         endpoint = 'a/boat'\nimage_endpoint = 'a/boat/image'\ndurations_s = [5]\naspect_ratios = ['16:9']\n\
         resolutions = ['720p']\nprompt_max = 100\ncost = {{ '720p' = {{ per_second = {cost} }} }}\n"
    )
}

fn boat() -> Key {
    let route = Some("fal/a/boat".to_owned());
    Key { model: "boat-1".to_owned(), route, resolution: "720p".to_owned(), rate: Rate::PerSecond }
}

fn synced(amounts: &[(&Key, u64)]) -> Synced {
    amounts.iter().map(|(key, amount)| (key.to_string(), *amount)).collect()
}

/// The parts of a diff: changes, conflicts, kept, same.
fn parts(diff: &Diff) -> (usize, usize, usize, usize) {
    (diff.changes.len(), diff.conflicts.len(), diff.kept, diff.same)
}

/// The last synced value, ours and theirs: who changed what.
#[test]
fn of_an_amount_that_both_changed_differently_there_is_a_conflict_and_else_the_change_counts() {
    let built_in = Catalog::built_in();
    for (base, ours, theirs, want) in [
        (Some(80_000), 80_000, 80_000, (0, 0, 0, 1)),
        (Some(80_000), 80_000, 90_000, (1, 0, 0, 0)),
        (Some(80_000), 85_000, 80_000, (0, 0, 1, 0)),
        (Some(80_000), 85_000, 90_000, (0, 1, 0, 0)),
        (Some(80_000), 90_000, 90_000, (0, 0, 0, 1)),
        // Rounded by one of the two.
        (Some(80_000), 80_000, 80_001, (0, 0, 0, 1)),
        // Never applied: it is the owner's own.
        (None, 80_000, 90_000, (0, 1, 0, 0)),
        (None, 80_000, 80_000, (0, 0, 0, 1)),
    ] {
        let catalog = Catalog::with_own(&own(ours)).unwrap();
        let theirs = Theirs { amounts: [(boat(), theirs)].into(), ..Theirs::default() };
        let base = base.map_or_else(Synced::new, |base| synced(&[(&boat(), base)]));
        let found = diff(&theirs, &catalog, &built_in, &base);
        assert_eq!(parts(&found), want, "{base:?} {ours} {theirs:?}");
    }
}

#[test]
fn of_a_built_in_amount_the_built_in_one_is_the_base() {
    let built_in = Catalog::built_in();
    let theirs = Theirs::of_prices(&built_in, Provider::Fal, &[listed(HAILUO, Unit::Video, 500_000)]);
    let found = diff(&theirs, &built_in, &built_in, &Synced::new());
    assert_eq!((parts(&found), found.counts()), ((1, 0, 0, 0), (1, 0)));
    let Change::Amount { key, ours, theirs: amount } = &found.changes[0] else { panic!("{found:?}") };
    assert_eq!(
        (*ours, *amount, key.to_string()),
        (490_000, 500_000, format!("hailuo-2.3 fal/{HAILUO} 1080p 6s"))
    );

    let text = format!(
        "[[models]]\nname = 'hailuo-2.3'\n[[models.routes]]\nprovider = 'fal'\nendpoint = '{HAILUO}'\n\
         cost = {{ '1080p' = {{ by_length = {{ '6' = 400_000 }} }} }}"
    );
    let discounted = Catalog::with_own(&text).unwrap();
    assert_eq!(parts(&diff(&theirs, &discounted, &built_in, &Synced::new())), (0, 1, 0, 0));
    let as_before = Theirs::of_prices(&built_in, Provider::Fal, &[listed(HAILUO, Unit::Video, 490_000)]);
    assert_eq!(parts(&diff(&as_before, &discounted, &built_in, &Synced::new())), (0, 0, 1, 0));
    assert_eq!(parts(&diff(&as_before, &built_in, &built_in, &Synced::new())), (0, 0, 0, 1));
}

#[test]
fn one_price_is_applied_where_a_route_has_one_cost_and_is_unclear_where_it_has_several() {
    let catalog = Catalog::with_own(&own(80_000)).unwrap();
    for (lines, amounts, unclear) in [
        (vec![listed("a/boat", Unit::Second, 90_000)], 1, 0),
        (vec![listed("a/boat", Unit::Second, 90_000), listed("a/boat/image", Unit::Second, 90_000)], 1, 0),
        // A model twice, or two prices of one route.
        (vec![listed("a/boat", Unit::Second, 90_000), listed("a/boat", Unit::Second, 95_000)], 0, 1),
        (vec![listed("a/boat", Unit::Second, 90_000), listed("a/boat/image", Unit::Second, 95_000)], 0, 1),
        // Endpoints that are not ours.
        (vec![listed("b/c", Unit::Second, 1)], 0, 0),
        // Units that the route does not use, and one that its costs are not written in.
        (vec![listed("a/boat", Unit::Image, 90_000)], 0, 1),
        (vec![listed("a/boat", Unit::Second, 90_000), listed("a/boat", Unit::Image, 90_000)], 1, 1),
        (vec![listed("a/boat", Unit::Video, 400_000)], 0, 0),
        (vec![listed("a/boat", Unit::Video, 450_000)], 0, 1),
        // More than a number can hold.
        (vec![listed(HAILUO, Unit::Second, u64::MAX / 2)], 0, 1),
        // Veo costs by resolution and sound.
        (vec![listed(VEO, Unit::Second, 400_000)], 0, 0),
        (vec![listed(VEO, Unit::Second, 500_000)], 0, 1),
        (vec![], 0, 0),
    ] {
        let theirs = Theirs::of_prices(&catalog, Provider::Fal, &lines);
        assert_eq!((theirs.amounts.len(), theirs.unclear.len()), (amounts, unclear), "{lines:?}");
    }
    let lines = [listed(VEO, Unit::Second, 500_000)];
    let (route, why) = &Theirs::of_prices(&catalog, Provider::Fal, &lines).unclear[0];
    assert_eq!(route, "fal/fal-ai/veo3.1");
    assert_eq!(why, "500000 micro-dollars per second are listed, and it costs 200000 400000 600000");
}

#[test]
fn a_route_is_gone_if_all_its_endpoints_are_and_a_conflict_if_it_is_the_owners_own() {
    let (built_in, catalog) = (Catalog::built_in(), Catalog::with_own(&own(80_000)).unwrap());
    let lacking = |provider, endpoints: &[&str]| {
        let mut theirs = Theirs::default();
        let unknown = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
        theirs.lacking(&catalog, provider, &unknown);
        theirs
    };
    let gone = |endpoints: &[&str]| {
        parts(&diff(&lacking(Provider::Fal, endpoints), &catalog, &built_in, &Synced::new()))
    };
    assert_eq!(gone(&["a/boat"]), (0, 0, 0, 0));
    let partly = ("fal/a/boat".to_owned(), "its endpoint a/boat/image is not known, others are".to_owned());
    assert_eq!(lacking(Provider::Fal, &["a/boat/image"]).unclear, [partly]);
    assert_eq!(lacking(Provider::Replicate, &["a/boat", "a/boat/image"]), Theirs::default(), "another's");
    assert_eq!(gone(&["a/boat", "a/boat/image"]), (0, 1, 0, 0));
    assert_eq!(gone(&["fal-ai/pika/v2.2/text-to-video", "fal-ai/pika/v2.2/image-to-video"]), (1, 0, 0, 0));
}

/// 490,000 for six seconds are 81,666.7 a second.
#[test]
fn a_price_per_second_that_was_rounded_changes_no_total() {
    let built_in = Catalog::built_in();
    let (same, updated) = ((0, 0, 0, 1), (1, 0, 0, 0));
    for (price, want) in [(81_665, updated), (81_666, same), (81_667, same), (81_668, updated)] {
        let theirs = Theirs::of_prices(&built_in, Provider::Fal, &[listed(HAILUO, Unit::Second, price)]);
        assert_eq!(parts(&diff(&theirs, &built_in, &built_in, &Synced::new())), want, "{price}");
    }
}

#[test]
fn what_is_offered_of_a_family_of_ours_is_created() {
    let catalog = Catalog::built_in();
    let offered = ["fal-ai/veo3.1", "fal-ai/veo3.1/extend", "fal-ai/other/x"].map(str::to_owned);
    let mut theirs = Theirs::default();
    theirs.offering(&catalog, Provider::Fal, &offered, 2);
    assert_eq!(theirs.created, [offered[1].clone()].into());
}

#[test]
fn a_tariff_is_changed_in_the_named_amounts_alone() {
    let catalog = Catalog::built_in();
    let key =
        |rate| Key { model: "veo-3.1-fast".to_owned(), route: None, resolution: "720p".to_owned(), rate };
    let before = catalog.model("veo-3.1-fast").unwrap().price["720p"].clone();
    let after = catalog.tariff_with(&[(&key(Rate::PerSecondAudio), 7)]).unwrap();
    assert_eq!(after, Tariff { per_second_audio: Some(7), ..before });
}

#[test]
fn a_list_of_openrouters_form_is_compared_with_what_callers_pay() {
    let catalog = Catalog::built_in();
    let price = catalog.model("veo-3.1-fast").unwrap().price["720p"].clone();
    let (silent, sound) = (price.per_second.unwrap(), price.per_second_audio.unwrap());
    let dollars = |micro_credits: u64| format!("{}e-8", micro_credits);
    let list = json!({"data": [
        {"id": "google/veo-3.1-fast", "pricing_skus": {
            "per_second_720p": dollars(silent), "per_second_720p_with_audio": dollars(sound + 1_000_000),
            "per_second_9000p": "1", "generate": "0.5", "per_video_720p_5s": "0.5"}},
        {"id": "veo-3.1", "pricing_skus": null},
        {"id": "gen-4.5", "pricing_skus": {"per_video_second": -1}},
        {"id": "google/veo-9", "pricing_skus": {"per_second": "1"}},
        {"id": "other/model"}, {"id": 7}, 8,
    ]});
    let theirs = Theirs::of_openrouter(&catalog, &list).unwrap();
    assert_eq!(theirs.created, ["google/veo-9".to_owned()].into());
    let unclear: Vec<_> = theirs.unclear.iter().map(|(of, why)| format!("{of}: {why}")).collect();
    assert_eq!(
        unclear,
        [
            "veo-3.1-fast: its price `generate` is not understood",
            "veo-3.1-fast: its price `per_second_9000p` is not understood",
            "veo-3.1-fast: its price `per_video_720p_5s` is not understood",
            "veo-3.1: it has no price",
            "gen-4.5: its price `per_video_second` is not understood",
        ]
    );
    let found = diff(&theirs, &catalog, &catalog, &Synced::new());
    assert_eq!(parts(&found), (1, 0, 0, 1));
    let twice = json!({"data": [
        {"id": "a/veo-3.1-fast", "pricing_skus": {"per_second_720p": "0.1"}},
        {"id": "b/veo-3.1-fast", "pricing_skus": {"per_second_720p": "0.2"}, "supported_durations": [1]},
    ]});
    let theirs = Theirs::of_openrouter(&catalog, &twice).unwrap();
    assert_eq!((theirs.amounts.len(), theirs.unclear.len()), (0, 2));
    assert_eq!(Theirs::of_openrouter(&catalog, &json!({"models": []})), None);
}
