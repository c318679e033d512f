//! An owner's own catalogue: what it adds, replaces and removes, and every mistake in it.

use serde_json::json;

use super::*;
use crate::credit::MicroUsd;
use crate::provider::Provider;
use crate::time::Timestamp;

const EARLY: Timestamp = Timestamp::from_secs(0);

/// A model that the compiled-in catalogue lacks.
const NEW: &str = r#"
[[models]]
name = "paper-boat"
title = "Paper Boat"
expected_s = 60
defaults = { duration_s = 5, aspect_ratio = "16:9", resolution = "720p" }
[models.price]
"720p" = { per_second = 10_000_000 }
[[models.routes]]
provider = "fal"
endpoint = "someone/paper-boat/text-to-video"
durations_s = [5, 10]
aspect_ratios = ["16:9"]
resolutions = ["720p"]
prompt_max = 2_000
fields = { prompt = "text", durations = { "5" = 81, "10" = 161 }, duration = "num_frames", always = { fps = 16 } }
[models.routes.cost]
"720p" = { per_second = 100_000 }
"#;

fn mistakes(text: &str) -> Vec<String> {
    Catalog::with_own(text).unwrap_err().0.iter().map(Mistake::to_string).collect()
}

#[test]
fn an_empty_file_changes_nothing() {
    let (own, built_in) = (Catalog::with_own("").unwrap(), Catalog::built_in());
    assert_eq!(own.names(), built_in.names());
    assert_eq!(own.retired(EARLY).len(), built_in.retired(EARLY).len());
}

#[test]
fn a_model_is_added() {
    let catalog = Catalog::with_own(NEW).unwrap();
    assert_eq!(catalog.names().len(), Catalog::built_in().names().len() + 1);
    let model = catalog.model("paper-boat").unwrap();
    let [route] = &model.routes[..] else { panic!("{:?}", model.routes) };
    assert_eq!(route.name(), "fal/someone/paper-boat/text-to-video");
    assert_eq!(route.fields.durations["10"], json!(161));
    assert_eq!(route.fields.always["fps"], json!(16));
    assert!(catalog.only(&[Provider::Runway]).model("paper-boat").is_none());
}

#[test]
fn of_a_model_that_exists_only_what_is_given_is_replaced() {
    let own = r#"
[[models]]
name = "veo-3.1"
title = "Our Veo"
price = { "720p" = { per_second = 30_000_000, per_second_audio = 60_000_000 } }
[[models.routes]]
provider = "fal"
endpoint = "fal-ai/veo3.1"
cost = { "720p" = { per_second = 150_000, per_second_audio = 300_000 } }
[[models.routes]]
provider = "runway"
endpoint = "veo3.1"
remove = true
"#;
    let (catalog, built_in) = (Catalog::with_own(own).unwrap(), Catalog::built_in());
    let [own, old] = [&catalog, &built_in].map(|catalog| catalog.model("veo-3.1").unwrap());
    assert_eq!((own.title.as_str(), own.expected_s), ("Our Veo", old.expected_s));
    assert_eq!(own.price["720p"].per_second, Some(30_000_000));
    assert_eq!(own.price["4k"], old.price["4k"]);
    assert_eq!(own.routes.len(), old.routes.len() - 1);
    assert!(own.routes.iter().all(|route| route.provider != Provider::Runway));
    assert!(catalog.route("runway/veo3.1").is_some(), "an attempt may run there");
    let fal = catalog.route("fal/fal-ai/veo3.1").unwrap();
    assert_eq!(fal.cost(Some(4), "720p", false), Some(MicroUsd(600_000)));
    assert_eq!(fal.cost(Some(4), "4k", false), Some(MicroUsd(1_600_000)));
    assert_eq!(own.routes[0].name(), fal.name(), "at its old place");
}

#[test]
fn models_are_removed_and_retired() {
    let own = r#"
[[models]]
name = "pika-2.2"
remove = true
[[models]]
name = "stable-image-core"
remove = true
[[retired]]
name = "gen-4-turbo"
since = "2026-12-01"
why = "we no longer pay for it"
instead = ["gen-4.5"]
"#;
    let catalog = Catalog::with_own(own).unwrap();
    assert!(catalog.route("stability/core").is_some());
    assert!(catalog.model("pika-2.2").is_none() && catalog.model("gen-4-turbo").is_none());
    assert!(catalog.retired(EARLY).iter().any(|retired| retired.name == "gen-4-turbo"));
    assert!(catalog.route("runway/gen4_turbo").is_some(), "an attempt may run there");
}

#[test]
fn what_is_no_catalogue_is_named_with_its_line() {
    for (text, expected) in [
        ("models = 3", "line 1: invalid type: integer `3`, expected a sequence"),
        ("\n\n[[models]\n", "line 3: "),
        ("\n[[models]]\nroutes = 3\n", "line 3: invalid type"),
        ("model = []", "line 1: `model` is unknown: a catalogue has `models`, `retired` and `topups`"),
        ("\n[topups]\npack = []", "line 2: topups: unknown field `pack`"),
        (
            "[topups]\namounts = { USD = { per_credit = 0, min = 1, max = 2 } }",
            "line 1: topups: `amounts.USD`",
        ),
        ("[[models]]\ntitle = 'x'", "line 1: model ``: needs a `name`"),
        ("[[models]]\nname = 'A B'", "line 1: model `A B`: needs a `name`"),
        ("[[models]]\nname = 'nothing'", "line 1: model `nothing`: missing field"),
        ("[[retired]]\nname = 'x'", "line 1: retired `x`: missing field"),
        (
            "[[models]]\nname = 'gen-4.5'\nremove = 1",
            "line 1: model `gen-4.5`: `remove` must be true or false",
        ),
        (
            "[[models]]\nname = 'gen-4.5'\n\n[[models]]\nname = 'gen-4.5'",
            "line 4: model `gen-4.5`: is named already, on line 1",
        ),
        (
            "[[models]]\nname = 'gen-4.5'\n[[retired]]\nname = 'gen-4.5'\nsince = ''\nwhy = ''\ninstead = []",
            "line 3: retired `gen-4.5`: is a model too, on line 1",
        ),
        (
            "[[models]]\nname = 'gen-4.5'\ninstead = ['x']",
            "line 1: model `gen-4.5`: is replaced by `x`, which",
        ),
        (
            "[[models]]\nname = 'gen-4.5'\ninstead = ['gen-4.5']",
            "line 1: model `gen-4.5`: is replaced by `gen-4.5`",
        ),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let text = NEW
        .replace("aspect_ratios = [\"16:9\"]", "aspect_ratio = [\"16:9\"]")
        .replace("expected_s = 60", "expected_s = \"long\"")
        + &NEW.replace("paper-boat", "sail").replace("per_second = 10_000_000", "per_image = 1")
        + &NEW.replace("paper-boat", "kite").replace("someone/", "some one/");
    let found = mistakes(&text);
    let [route, model, price, endpoint] = &found[..] else { panic!("{found:#?}") };
    assert!(route.starts_with("line 9: model `paper-boat`, route `fal/someone/paper-boat/text-to-video`: "));
    assert!(route.contains("aspect_ratio: unknown field `aspect_ratio`"), "{route}");
    assert!(model.starts_with("line 2: model `paper-boat`: expected_s: invalid type"), "{model}");
    assert_eq!(price, "line 20: model `sail`: has no price for 5 s of 720p without sound");
    assert!(
        endpoint.contains("line 45: model `kite`, route `fal/some one/kite/text-to-video`: "),
        "{endpoint}"
    );
}

#[test]
fn a_route_belongs_to_one_model() {
    let found = mistakes(&NEW.replace("someone/paper-boat/text-to-video", "fal-ai/veo3.1"));
    assert_eq!(found, ["line 2: model `paper-boat`: route `fal/fal-ai/veo3.1` is one of `veo-3.1` too"]);
    let moved = NEW.replace("someone/paper-boat/text-to-video", "fal-ai/veo3.1")
        + "[[models]]\nname = \"veo-3.1\"\n[[models.routes]]\nprovider = \"fal\"\nendpoint = \"fal-ai/veo3.1\"\nremove = true";
    assert!(Catalog::with_own(&moved).is_ok());
}

#[test]
fn one_field_for_the_size_has_a_value_for_each() {
    let size = r#"fields = { size = "image_size", sizes = { "720p 16:9" = "landscape_16_9" } }"#;
    let line = NEW.lines().find(|line| line.starts_with("fields")).unwrap();
    assert!(Catalog::with_own(&NEW.replace(line, size)).is_ok());
    let found = mistakes(&NEW.replace(line, &size.replace("16:9", "9:16")));
    assert!(found[0].ends_with("`fields.sizes` has `720p 9:16`, which no request has"), "{found:?}");
    let image = "endpoint = \"someone/a\"\nimage_endpoint = \"someone/b\"";
    let endpoint = "endpoint = \"someone/paper-boat/text-to-video\"";
    let found = mistakes(&NEW.replace(line, size).replace(endpoint, image));
    assert!(found[0].ends_with("`fields.sizes` has no value for `720p`"), "{found:?}");
}

/// The new model with its fields replaced.
fn with_fields(fields: &str) -> String {
    let line = NEW.lines().find(|line| line.starts_with("fields")).unwrap();
    NEW.replace(line, &format!("fields = {{ {fields} }}"))
}

#[test]
fn values_that_no_request_has_or_that_a_request_lacks_are_mistakes() {
    for (fields, expected) in [
        ("durations = { \"5\" = 81 }", "`fields.durations` has no value for `10`"),
        ("durations = { \"5s\" = 81, \"5\" = 81, \"10\" = 1 }", "`fields.durations` has `5s`"),
        ("aspect_ratios = { \"16x9\" = \"wide\" }", "`fields.aspect_ratios` has `16x9`"),
        ("resolutions = { \"720P\" = \"hd\" }", "`fields.resolutions` has `720P`"),
        ("sizes = { \"720p 16:9\" = \"hd\" }", "`fields.sizes` has `720p 16:9`"),
        ("prompt = \"\"", "`fields.prompt` must not be empty"),
        ("duration = \"x.\"", "`fields.duration`: `x.` is no name of a field"),
        ("prompt = \"a..b\"", "`fields.prompt`: `a..b` is no name"),
        (
            "prompt = \"input.text\", always = { input = 5 }",
            "`fields.always` and `fields.prompt` are both `input.text`",
        ),
        ("prompt = \"duration\"", "are both `duration`"),
        ("always = { gone = nan }", "`fields`: `gone` is not a finite number"),
        ("always = { many = [1, { x = inf }] }", "`fields`: `many` is not a finite number"),
    ] {
        let found = mistakes(&with_fields(fields));
        assert!(found.len() == 1 && found[0].contains(expected), "{fields}: {found:?}");
    }
    for (from, to, expected) in [
        ("durations_s = [5, 10]", "durations_s = [0, 5]", "must be above 0"),
        ("prompt_max = 2_000", "prompt_max = 0", "must be above 0"),
        ("prompt_max = 2_000", "prompt_max = 1\nseeds = [9, 1]", "`seeds` must be the smallest"),
        (
            "\"720p\" = { per_second = 100_000 }",
            "\"720p\" = { per_second = 1 }\n\"720P\" = { per_second = 1 }",
            "`cost` has `720P`",
        ),
        (
            "{ per_second = 100_000 }",
            "{ by_length = { \"5\" = 1, \"10\" = 1, \"5s\" = 1 } }",
            "`cost` has a length of `5s`",
        ),
    ] {
        let text = with_fields("").replace(from, to);
        assert_ne!(text, with_fields(""), "{from}");
        let found = mistakes(&text);
        assert!(found.len() == 1 && found[0].contains(expected), "{to}: {found:?}");
    }
    let found = mistakes("[[models]]\nname = 'gen-4.5'\nprice = { '720P' = { per_second = 1 } }");
    assert_eq!(found, ["line 1: model `gen-4.5`: `price` has `720P`, a resolution that no route makes"]);
}

#[test]
fn what_is_named_twice_or_is_no_table_is_a_mistake() {
    let (head, route) = NEW.split_once("[[models.routes]]").unwrap();
    for (text, expected) in [
        (format!("{NEW}[[models.routes]]{route}"), "line 19: model `paper-boat`, route `fal/someone/paper-boat/text-to-video`: is named already, on line 9"),
        (head.replace("expected_s", "routes = [5]\nexpected_s"), "line 5: invalid type: integer `5`"),
        ("retired = [5]".to_owned(), "line 1: invalid type: integer `5`"),
        (
            "[[retired]]\nname = 'x'\nsince = 'soon'\nwhy = ''\ninstead = []".to_owned(),
            "line 1: retired `x`: `since` must be a day like 2027-03-01, not `soon`",
        ),
        (
            "[[retired]]\nname = 'x'\nsince = '2026-12-01'\nwhy = ''\ninstead = ['gen-4.5']\n[[models]]\nname = 'gen-4.5'\nremove = true".to_owned(),
            "line 1: retired `x`: is replaced by `gen-4.5`, which does not exist",
        ),
        ("[[models]]\nname = 'gen-4.5'\nremove = true\nnonsense = 3".to_owned(), "line 1: model `gen-4.5`: nonsense: unknown field"),
    ] {
        let found = mistakes(&text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
}

/// So that attempts that run there go on.
#[test]
fn an_owners_own_model_and_route_are_removed_with_their_definition() {
    let name = "fal/someone/paper-boat/text-to-video";
    let model = Catalog::with_own(&NEW.replacen("title", "remove = true\ntitle", 1)).unwrap();
    assert!(model.model("paper-boat").is_none() && model.route(name).is_some());
    let (head, route) = NEW.split_once("[[models.routes]]").unwrap();
    let other = route.replace("someone/paper-boat/text-to-video", "someone/else");
    let both = format!("{head}[[models.routes]]{other}[[models.routes]]\nremove = true{route}");
    let route = Catalog::with_own(&both).unwrap();
    assert_eq!(route.model("paper-boat").unwrap().routes.len(), 1);
    assert!(route.route(name).is_some() && model.warnings().is_empty());
    // Removed and retired.
    let retired = "[[models]]\nname = 'pika-2.2'\nremove = true\n[[retired]]\nname = 'pika-2.2'\nsince = '2026-12-01'\nwhy = 'old'\ninstead = ['gen-4.5']";
    assert!(Catalog::with_own(retired).unwrap().retired(EARLY).iter().any(|old| old.name == "pika-2.2"));
}

/// A release may have lost what a file of before removes or changes: the functions start all the same.
#[test]
fn what_a_newer_release_no_longer_has_is_a_warning() {
    for (text, expected) in [
        (
            "\n[[models]]\nname = 'nothing'\nremove = true",
            "line 2: model `nothing`: does not exist: nothing is removed",
        ),
        (
            "[[models]]\nname = 'gen-4.5'\n[[models.routes]]\nprovider = 'fal'\nendpoint = 'a/b'\nremove = true",
            "line 3: model `gen-4.5`, route `fal/a/b`: does not exist: nothing is removed",
        ),
        (
            "[[models]]\nname = 'sora-2'\nprice = { '720p' = { per_second = 1 } }",
            "line 1: model `sora-2`: is retired: nothing is changed",
        ),
    ] {
        let catalog = Catalog::with_own(text).unwrap();
        assert_eq!(catalog.warnings(), [expected]);
        assert_eq!(catalog.names(), Catalog::built_in().names());
    }
}

#[test]
fn an_owners_topups_replace_all_that_were_there() {
    let own =
        Catalog::with_own("[topups]\namounts = { GBP = { per_credit = 8_000, min = 1, max = 2 } }").unwrap();
    let topups = own.topups();
    assert_eq!((topups.packs.len(), topups.amounts.len()), (0, 1));
    assert_eq!(Catalog::with_own("").unwrap().topups(), Catalog::built_in().topups());
    assert_eq!(Catalog::with_own("[topups]").unwrap().topups().packs.len(), 0, "nothing is sold");
}
