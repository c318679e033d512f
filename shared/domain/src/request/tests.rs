use std::time::Duration;

use super::*;

const EARLY: Timestamp = Timestamp::from_secs(0);

fn parse(json: serde_json::Value) -> Result<JobRequest, Vec<FieldError>> {
    let order = serde_json::from_value(json).unwrap();
    JobRequest::new(order, &Catalog::for_providers(Provider::ALL))
}

fn refused(json: serde_json::Value) -> Vec<Cow<'static, str>> {
    parse(json).unwrap_err().into_iter().map(|error| error.field).collect()
}

#[test]
fn absent_fields_get_defaults() {
    let request = parse(serde_json::json!({"model": "veo-3.1", "prompt": "a boat"})).unwrap();
    assert_eq!((request.duration_s, request.resolution.as_str()), (Some(8), "720p"));
    assert_eq!(request.aspect_ratio.as_deref(), Some("16:9"));
    assert_eq!(request.audio, Some(false));
}

#[test]
fn seven_seconds_are_not_rounded_to_eight() {
    let errors = parse(serde_json::json!({"model": "veo-3.1", "prompt": "a", "duration_s": 7})).unwrap_err();
    assert_eq!(errors[0].field, "duration_s");
    assert_eq!(errors[0].allowed, ["4", "6", "8"]);
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let fields = refused(serde_json::json!({
        "model": "gen-4.5", "prompt": " ", "duration_s": 40, "resolution": "8k", "negative_prompt": "x",
        "fps": 60, "audio": true, "pin": true, "image_url": "http://example.com/a.png",
    }));
    let all = ["image_url", "prompt", "pin", "fps", "duration_s", "resolution", "negative_prompt", "audio"];
    assert_eq!(fields, all);
}

#[test]
fn a_prompt_is_measured_in_the_providers_unit() {
    let emoji = "\u{1F6A2}".repeat(501); // one character, two UTF-16 units each
    assert_eq!(refused(serde_json::json!({"model": "gen-4.5", "prompt": emoji})), ["prompt"]);
    assert!(parse(serde_json::json!({"model": "gen-4.5", "prompt": "x".repeat(1000)})).is_ok());
}

#[test]
fn a_pin_leaves_only_that_providers_limits() {
    let order = |pin: bool| serde_json::json!({"model": "veo-3.1", "prompt": "a", "resolution": "4k", "provider": "runway", "pin": pin});
    assert!(parse(order(false)).is_ok());
    assert_eq!(refused(order(true)), ["resolution"]);
}

#[test]
fn an_image_decides_the_ratio_where_the_model_follows_it() {
    let order =
        serde_json::json!({"model": "pika-2.2", "prompt": "a", "image_url": "https://example.com/a.png"});
    assert_eq!(parse(order).unwrap().aspect_ratio, None);
}

#[test]
fn the_digest_distinguishes_requests_and_not_spellings() {
    let one = parse(serde_json::json!({"model": "veo-3.1", "prompt": "a boat"})).unwrap();
    let same = parse(serde_json::json!({"prompt": "a boat", "model": "veo-3.1", "duration_s": 8})).unwrap();
    let other = parse(serde_json::json!({"model": "veo-3.1", "prompt": "a coat"})).unwrap();
    assert_eq!(one.digest(), same.digest());
    assert_ne!(one.digest(), other.digest());
}

/// A request for `veo-3.1`, changed by these fields.
fn veo(fields: serde_json::Value) -> Result<JobRequest, Vec<FieldError>> {
    let mut order = serde_json::json!({"model": "veo-3.1", "prompt": "a boat"});
    order.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    parse(order)
}

#[test]
fn maximum_lengths_are_accepted_and_one_more_is_not() {
    let url = |field: &str, chars: usize| {
        let start = "https://example.com/";
        serde_json::json!({field: format!("{start}{}", "x".repeat(chars - start.len()))})
    };
    let pairs = |count: usize| {
        let pairs: BTreeMap<_, _> = (0..count).map(|n| (n.to_string(), "")).collect();
        serde_json::json!({"metadata": pairs})
    };
    let key = |chars: usize| serde_json::json!({"metadata": {"x".repeat(chars): "a"}});
    let value = |chars: usize| serde_json::json!({"metadata": {"a": "x".repeat(chars)}});
    let models = |count: usize| serde_json::json!({"fallback_models": vec!["gen-4.5"; count]});
    let negative = |chars: usize| serde_json::json!({"negative_prompt": "x".repeat(chars)});
    let cases = [
        (url("callback_url", 2_048), url("callback_url", 2_049), "callback_url"),
        (url("image_url", 2_048), url("image_url", 2_049), "image_url"),
        (pairs(16), pairs(17), "metadata"),
        (key(64), key(65), "metadata"),
        (key(1), key(0), "metadata"),
        (value(512), value(513), "metadata"),
        (models(4), models(5), "fallback_models"),
        (negative(20_000), negative(20_001), "negative_prompt"),
    ];
    for (longest, longer, field) in cases {
        assert_eq!(veo(longest).map(|_| ()), Ok(()), "{field}");
        let errors = veo(longer).unwrap_err();
        assert_eq!(errors.iter().map(|error| &*error.field).collect::<Vec<_>>(), [field]);
    }
}

#[test]
fn a_url_is_kept_in_its_parsed_form_and_a_refused_one_is_answered_with_what_is_allowed() {
    let request = veo(serde_json::json!({
        "image_url": "HTTPS://Example.com/a/../b.png", "callback_url": "https://example.com:443"
    }));
    let request = request.unwrap();
    assert_eq!(request.image_url.as_deref(), Some("https://example.com/b.png"));
    assert_eq!(request.callback_url.as_deref(), Some("https://example.com/"));
    for field in ["image_url", "last_frame_url", "callback_url"] {
        for text in ["https:a.example", "https://:pw@a.example/", "https://10.0.0.5/", "http://127.0.0.1/"] {
            let mut order = serde_json::json!({"image_url": "https://example.com/a.png"});
            order[field] = text.into();
            let errors = veo(order).unwrap_err();
            assert_eq!((errors.len(), &*errors[0].field), (1, field), "{text}");
            assert!(errors[0].detail.contains("https URL of at most 2048 bytes"), "{}", errors[0].detail);
        }
    }
}

#[test]
fn the_local_stack_takes_urls_of_this_machine() {
    let order = serde_json::json!({
        "model": "veo-3.1", "prompt": "a", "image_url": "http://127.0.0.1:8000/a.png",
        "callback_url": "http://localhost:9/",
    });
    let order = || serde_json::from_value(order.clone()).unwrap();
    let catalog = Catalog::for_providers(Provider::ALL);
    assert!(JobRequest::within(order(), &AccountId::operator(), &catalog, Reach::Loopback, EARLY).is_ok());
    assert_eq!(
        JobRequest::within(order(), &AccountId::operator(), &catalog, Reach::Public, EARLY)
            .unwrap_err()
            .len(),
        2
    );
}

#[test]
fn a_fallback_model_makes_what_the_model_makes() {
    let errors = veo(serde_json::json!({"fallback_models": ["gen-4.5", "uni-1"]})).unwrap_err();
    assert_eq!(errors[0].field, "fallback_models");
    assert!(errors[0].allowed.contains(&"gen-4.5".to_owned()));
    assert!(!errors[0].allowed.contains(&"uni-1".to_owned()));
}

#[test]
fn a_model_is_refused_by_name_from_the_day_of_its_end() {
    let own = r#"
        [[models]]
        name = "pika-2.2"
        ends = "2027-03-01"
        instead = ["gen-4-turbo", "gen-4.5"]
        [[models]]
        name = "gen-4-turbo"
        ends = "2027-02-01"
    "#;
    let catalog = Catalog::with_own(own).unwrap();
    let end = Timestamp::of_day("2027-03-01").unwrap();
    let parse = |model: &str, more: serde_json::Value, now| {
        let mut order = serde_json::json!({"model": model, "prompt": "a"});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let order = serde_json::from_value(order).unwrap();
        JobRequest::within(order, &AccountId::operator(), &catalog, Reach::Public, now)
    };
    let none = || serde_json::json!({});
    let before = end.minus(Duration::from_millis(1));
    assert!(parse("pika-2.2", none(), before).is_ok());
    let [error] = &parse("pika-2.2", none(), end).unwrap_err()[..] else { panic!("one error") };
    let ended = "has been retired since 2027-03-01: it has reached its last day";
    assert_eq!((error.field.as_ref(), error.detail.as_str()), ("model", ended));
    assert_eq!(error.allowed, ["gen-4.5"], "what is sold");
    // Nor does another model fall back to it.
    let fallback = || serde_json::json!({"fallback_models": ["pika-2.2"]});
    assert!(parse("gen-4.5", fallback(), before).is_ok());
    assert_eq!(parse("gen-4.5", fallback(), end).unwrap_err()[0].field, "fallback_models");
}

#[test]
fn an_unknown_model_is_answered_with_the_known_ones() {
    let error =
        |model: &str| parse(serde_json::json!({"model": model, "prompt": "a"})).unwrap_err().remove(0);
    let catalog = Catalog::for_providers(Provider::ALL);
    let known: Vec<_> = catalog.models().map(|model| model.name.clone()).collect();
    assert_eq!((error("sora-9").field.as_ref(), error("sora-9").allowed), ("model", known));
    let retired = error("sora-2");
    assert!(retired.detail.contains("2026-09-24"), "{}", retired.detail);
    assert_eq!(retired.allowed, ["kling-3.0", "veo-3.1"]);
    // A replacement is named only if it is available.
    let runway = Catalog::for_providers(&[Provider::Runway]);
    let order = Order { model: "sora-2".to_owned(), prompt: "a".to_owned(), ..Order::default() };
    assert_eq!(JobRequest::new(order, &runway).unwrap_err()[0].allowed, ["veo-3.1"]);
}

#[test]
fn a_last_frame_needs_a_first() {
    let frame = serde_json::json!({"last_frame_url": "https://example.com/b.png"});
    assert_eq!(veo(frame.clone()).unwrap_err()[0].field, "last_frame_url");
    let mut frames = frame;
    frames["image_url"] = "https://example.com/a.png".into();
    assert!(veo(frames).is_ok());
}

#[test]
fn a_pin_to_an_incapable_provider_is_answered_with_capable_ones() {
    let errors =
        parse(serde_json::json!({"model": "gen-4.5", "prompt": "a", "provider": "fal", "pin": true}));
    let error = errors.unwrap_err().remove(0);
    assert_eq!((error.field.as_ref(), error.allowed), ("provider", vec!["runway".to_owned()]));
}

#[test]
fn a_missing_image_is_reported_without_ratios() {
    assert_eq!(refused(serde_json::json!({"model": "gen-4-turbo", "prompt": "a"})), ["image_url"]);
    let image = "https://example.com/a.png";
    let order = |ratio: &str| serde_json::json!({"model": "gen-4-turbo", "prompt": "a", "image_url": image, "aspect_ratio": ratio});
    assert!(parse(order("1:1")).is_ok());
    assert_eq!(refused(order("7:1")), ["aspect_ratio"]);
}

#[test]
fn values_that_no_route_accepts_together_are_rejected_with_the_routes() {
    let order = serde_json::json!({"model": "kling-2.6", "prompt": "a", "resolution": "720p", "audio": true});
    let error = parse(order).unwrap_err().remove(0);
    assert_eq!(error.field, "model");
    assert!(error.allowed.len() > 1);
}

#[test]
fn a_seed_is_within_the_providers_range() {
    let order = |seed: u32| serde_json::json!({"model": "stable-image-core", "prompt": "a", "seed": seed});
    let error = parse(order(0)).unwrap_err().remove(0);
    assert_eq!((error.field.as_ref(), error.allowed), ("seed", vec!["1 to 4294967294".to_owned()]));
    assert!(parse(order(1)).is_ok() && parse(order(u32::MAX - 1)).is_ok() && parse(order(u32::MAX)).is_err());
}

#[test]
fn sound_that_is_always_there_cannot_be_disabled_and_an_image_has_no_duration() {
    let order = |audio: bool| serde_json::json!({"model": "kling-3.0-turbo", "prompt": "a", "audio": audio});
    let error = parse(order(false)).unwrap_err().remove(0);
    assert_eq!((error.field.as_ref(), error.allowed), ("audio", vec!["true".to_owned()]));
    assert!(parse(order(true)).is_ok());
    let still = serde_json::json!({"model": "uni-1", "prompt": "a"});
    assert_eq!(parse(still).unwrap().duration_s, None);
    assert_eq!(
        refused(serde_json::json!({"model": "uni-1", "prompt": "a", "duration_s": 5})),
        ["duration_s"]
    );
}

#[test]
fn too_long_a_prompt_is_answered_with_the_maximum() {
    let error =
        parse(serde_json::json!({"model": "gen-4.5", "prompt": "x".repeat(1_001)})).unwrap_err().remove(0);
    assert_eq!((error.field.as_ref(), error.allowed), ("prompt", vec!["1000".to_owned()]));
}

#[test]
fn an_image_is_a_url_or_an_upload_in_one_shape_for_both_frames() {
    let url = "https://example.com/a.png";
    let upload = Upload::new(&AccountId::operator(), b"boat");
    let by_url =
        veo(serde_json::json!({"image": {"url": url}, "last_frame": {"url": url, "upload": null}})).unwrap();
    assert_eq!((by_url.image_url.as_deref(), by_url.last_frame_url.as_deref()), (Some(url), Some(url)));
    assert_eq!(by_url, veo(serde_json::json!({"image_url": url, "last_frame_url": url})).unwrap());
    let by_id = |id: &str| veo(serde_json::json!({"image": {"upload": id}, "last_frame": {"upload": id}}));
    let uploaded = by_id(upload.id()).unwrap();
    assert_eq!(uploaded.image_url, Some(upload.url()));
    let both = [("image.upload", upload.clone()), ("last_frame.upload", upload.clone())];
    assert_eq!(uploaded.uploads().collect::<Vec<_>>(), both);
    assert_eq!(by_url.uploads().count(), 0);
    for (order, field) in [
        (serde_json::json!({"image": {}}), "image"),
        (serde_json::json!({"image": {"url": url, "upload": upload.id()}}), "image"),
        (serde_json::json!({"image": {"url": url}, "image_url": url}), "image"),
        (serde_json::json!({"image": {"url": "http://example.com/a.png"}}), "image.url"),
        (serde_json::json!({"image": {"upload": upload.url()}}), "image.upload"),
        (
            serde_json::json!({"image_url": url, "last_frame": {"upload": "../config/catalog.toml"}}),
            "last_frame.upload",
        ),
        (serde_json::json!({"last_frame": {"url": url}}), "last_frame"),
    ] {
        let errors = veo(order.clone()).unwrap_err();
        assert_eq!(errors.iter().map(|error| &*error.field).collect::<Vec<_>>(), [field], "{order}");
    }
}
