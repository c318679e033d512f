use super::*;
use crate::price;
use crate::provider::Provider;

const BOOK: &str = r#"
[models."veo-3.1"."720p"]
per_second = 10_000_001
per_second_audio = 20_000_000

[accounts.acct_anna]
percent = 33

[accounts.acct_ben.models."veo-3.1"."720p"]
per_second = 1
"#;

fn request(json: serde_json::Value) -> (JobRequest, Catalog) {
    let catalog = Catalog::for_providers(Provider::ALL);
    (JobRequest::new(serde_json::from_value(json).unwrap(), &catalog).unwrap(), catalog)
}

fn account(name: &str) -> AccountId {
    format!("acct_{name}").parse().unwrap()
}

/// What an account without volume pays, in micro-credits.
fn quote(request: &JobRequest, catalog: &Catalog, book: &PriceBook, name: &str) -> u64 {
    let account = account(name);
    let buyer = Buyer { account: &account, percent: book.percent(&account, Credits::ZERO) };
    price::quote(request, catalog, book, buyer).unwrap().micros()
}

#[test]
fn a_tier_is_reached_by_the_volume_of_a_month_and_an_own_percentage_stands() {
    let tiers = "[[tiers]]\nfrom = 100\npercent = 90\n[[tiers]]\nfrom = 200\npercent = 75\n";
    let book = PriceBook::parse(&format!("{tiers}{BOOK}")).unwrap();
    let percent = |name: &str, volume| book.percent(&account(name), Credits::from_micros(volume));
    let of_volume = [0, 99, 100, 199, 200, u64::MAX].map(|volume| percent("ben", volume));
    assert_eq!(of_volume, [100, 100, 90, 90, 75, 75]);
    assert_eq!([0, 200].map(|volume| percent("anna", volume)), [33, 33]);
    assert_eq!([account("ben"), account("anna")].map(|it| book.has_tiers(&it)), [true, false]);
    let may = |name: &str| [100, 90, 75, 33, 50].map(|percent| book.may_charge(&account(name), percent));
    assert_eq!(may("ben"), [true, true, true, false, false]);
    assert_eq!(may("anna"), [false, false, false, true, false]);
    assert_eq!(book.lines()["tier from 0.0001"], "90");
}

#[test]
fn an_account_pays_its_own_price_or_its_share_of_the_listed_one() {
    let book = PriceBook::parse(BOOK).unwrap();
    let (veo, catalog) = request(serde_json::json!({"model": "veo-3.1", "prompt": "a", "duration_s": 4}));
    let pays = |name: &str| quote(&veo, &catalog, &book, name);
    assert_eq!(pays("other"), 40_000_004);
    assert_eq!(pays("anna"), 4 * 3_300_001, "rounded up");
    assert_eq!(pays("ben"), 4);
    let (runway, _) = request(serde_json::json!({"model": "gen-4.5", "prompt": "a", "duration_s": 6}));
    let listed = quote(&runway, &catalog, &PriceBook::default(), "anna");
    let pays = |name: &str| quote(&runway, &catalog, &book, name);
    assert_eq!((pays("other"), pays("anna")), (listed, (listed * 33).div_ceil(100)));
}

#[test]
fn a_version_decides_a_price_alone_if_it_names_every_model() {
    let book = PriceBook::parse(BOOK).unwrap();
    for (order, decides) in [
        (serde_json::json!({"model": "veo-3.1", "prompt": "a", "duration_s": 8}), true),
        (serde_json::json!({"model": "veo-3.1", "prompt": "a", "fallback_models": ["veo-3.1-fast"]}), false),
        (serde_json::json!({"model": "gen-4.5", "prompt": "a"}), false),
    ] {
        let (order, catalog) = request(order);
        for name in ["anna", "ben", "other"] {
            let account = account(name);
            let buyer = Buyer { account: &account, percent: book.percent(&account, Credits::ZERO) };
            let quoted = price::quote(&order, &catalog, &book, buyer);
            let alone = quoted.filter(|_| decides).map(|price| BTreeSet::from([price]));
            assert_eq!(book.prices(&order, buyer), alone, "{name}: {order:?}");
        }
    }
}

/// Also where it names a resolution that the catalogue does not sell, or a model that cannot serve the request.
#[test]
fn what_was_quoted_is_a_price_of_its_version_whatever_can_serve_the_request() {
    let catalog = Catalog::for_providers(Provider::ALL);
    let per_second = |model: &str, rate: u64| format!("[models.\"{model}\".\"720p\"]\nper_second = {rate}\n");
    let names = catalog.names();
    let rated = names.iter().zip(1..).map(|(model, rate)| per_second(model, rate * 1_000));
    let book = PriceBook::parse(&rated.collect::<String>()).unwrap();
    let account = account("anna");
    let buyer = Buyer { account: &account, percent: PERCENT_DEFAULT };
    let (mut found, mut higher) = (0, 0);
    for (model, other) in names.iter().flat_map(|model| names.iter().map(move |other| (model, other))) {
        let order = serde_json::json!({
            "model": model, "prompt": "a", "resolution": "720p", "fallback_models": [other],
        });
        let request = JobRequest::new(serde_json::from_value(order).unwrap(), &catalog);
        let quoted = request.as_ref().ok().and_then(|request| price::quote(request, &catalog, &book, buyer));
        let Some((request, quoted)) = request.ok().zip(quoted) else { continue };
        let prices = book.prices(&request, buyer).unwrap();
        assert!(prices.contains(&quoted), "{model} {other}: {quoted} {prices:?}");
        assert!(prices.len() <= 2 && !prices.contains(&Credits::ZERO));
        (found, higher) = (found + 1, higher + usize::from(prices.last() > Some(&quoted)));
    }
    assert!(found > 100 && higher > 0, "{found} {higher}");
}

#[test]
fn a_tariff_that_is_no_price_of_its_media_is_found_before_it_is_in_force() {
    let catalog = Catalog::for_providers(Provider::ALL);
    let check = |start: &str, model: &str, tariff: &str| {
        let book = PriceBook::parse(&format!("[{start}models.\"{model}\".\"720p\"]\n{tariff}\n")).unwrap();
        book.check(&catalog).map_err(|why| why.to_string())
    };
    for start in ["", "accounts.acct_ben."] {
        for (model, tariff, why) in [
            ("veo-3.1", "", "veo-3.1 720p must have a price"),
            ("veo-3.1", "per_second = 0", "none of zero"),
            ("veo-3.1", "per_second = 1\nper_second_audio = 0", "none of zero"),
            ("veo-3.1", "per_image = 1", "veo-3.1 has no price for 4 s of 720p"),
            ("veo-3.1", "by_length = { 4 = 1 }", "has no price for 6 s of 720p"),
            ("veo-3.1", "per_second_audio = 1", "without sound"),
            ("veo-3.1", "per_second = 9223372036854775807", "has no price for 4 s of 720p"),
            ("mine", "", "mine 720p must have a price"),
            ("mine", "per_image = 0", "none of zero"),
        ] {
            let error = check(start, model, tariff).unwrap_err();
            assert!(error.contains(why), "{start} {tariff}: {error}");
        }
        for (model, tariff) in [
            ("veo-3.1", "per_second = 1"),
            ("mine", "per_image = 1"),
            ("veo-3.1", "by_length = { 4 = 1, 6 = 1, 8 = 2 }"),
        ] {
            assert_eq!(check(start, model, tariff), Ok(()), "{start} {tariff}");
        }
    }
    // Not above the largest percentage either.
    assert!(check("", "veo-3.1", "per_second = 1000000000000000000").is_err());
    assert_eq!(check("accounts.acct_ben.", "veo-3.1", "per_second = 1000000000000000000"), Ok(()));
}

#[test]
fn a_file_that_is_no_price_book_says_why() {
    for (text, why) in [
        ("prices = 1", "unknown field `prices`"),
        ("[accounts.anna]\npercent = 1", "AccountId"),
        ("[accounts.acct_anna]\npercent = 0", "`percent` of acct_anna must be from 1 to 1000"),
        ("[[tiers]]\nfrom = 1\npercent = 1001", "`percent` of a tier"),
        ("[[tiers]]\nfrom = 1\npercent = 1\n[[tiers]]\nfrom = 1\npercent = 2", "must ascend"),
        ("[models.a.b]\nper_hour = 1", "per_hour"),
        ("[models.a.b]\nper_second = -1", "invalid value"),
        (&"#".repeat(100_001), "larger than 100000 bytes"),
    ] {
        let error = PriceBook::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let idle = PriceBook::parse("[models.a.b]\nper_second = 1\n[models.\"veo-3.1\".\"9k\"]\nper_second = 1")
        .unwrap();
    assert_eq!(idle.idle(&Catalog::for_providers(Provider::ALL)), ["a b", "veo-3.1 9k"]);
}

#[test]
fn two_versions_differ_in_the_lines_that_changed() {
    let (before, after) =
        (PriceBook::parse(BOOK).unwrap(), PriceBook::parse(&BOOK.replace("33", "50")).unwrap());
    let percent = |text: &str| Some(text.to_owned());
    assert_eq!(before.diff(&after), [("acct_anna percent".to_owned(), percent("33"), percent("50"))]);
    assert_eq!(before.diff(&before), []);
    assert_eq!(before.diff(&PriceBook::default()).len(), 3);
}
