//! Images that come with requests: they reach the provider, as a link or as bytes.

use domain::catalog::Catalog;
use domain::id::JobId;
use domain::job::State;
use domain::provider::Provider;
use domain::verdict::ErrorClass;
use harness::World;
use serde_json::json;

use super::{IMAGE, create, header, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uploaded_image_reaches_each_provider() {
    let world = World::new().await;
    let catalog = Catalog::for_providers(Provider::ALL);
    let mut played = Vec::new();
    for model in catalog.models() {
        for route in model.routes.iter().filter(|route| !route.durations_s.is_empty()) {
            if route.image_endpoint.is_none() || played.contains(&route.provider) {
                continue;
            }
            played.push(route.provider);
            let (duration_s, resolution, audio) = route.takes()[0];
            let (duration_s, audio) = (duration_s.unwrap().to_string(), audio.to_string());
            let mut texts = vec![
                ("model", model.name.as_str()),
                ("prompt", "a paper boat"),
                ("seconds", &duration_s),
                ("resolution", resolution),
                ("provider", route.provider.name()),
                ("pin", "true"),
            ];
            texts.extend(route.image_aspect_ratios.first().map(|ratio| ("aspect_ratio", ratio.as_str())));
            texts.extend(model.defaults.audio.map(|_| ("audio", audio.as_str())));
            let made = create(&world, &[], &texts, Some(IMAGE)).await;
            assert_eq!(made.status.as_u16(), 200, "{}: {made:?}", route.name());
            let id: JobId = made.text("/id").parse().unwrap();
            let job = world.finish(&id).await;
            assert_eq!(job.state(), State::Succeeded, "{}: {job:?}", route.name());
        }
    }
    assert!(played.len() > 8, "{played:?}");
    world.audit().await;
}

/// A provider that is asked what it made lists the link of that call: it is the same image.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_with_an_upload_is_found_again() {
    let world = World::new().await;
    let texts = [("model", "pika-2.2"), ("prompt", "a boat [[sim: create=drop-after, webhook=lost]]")];
    let made = create(&world, &[], &texts, Some(IMAGE)).await;
    let job = world.finish(&made.text("/id").parse().unwrap()).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_image_is_the_same_order_however_it_is_sent() {
    let world = World::new().await;
    let key = [("idempotency-key", "order-1")];
    let texts = [("model", "pika-2.2"), ("prompt", "a boat")];
    let first = create(&world, &key, &texts, Some(IMAGE)).await;
    assert_eq!(first.status.as_u16(), 200, "{first:?}");
    let data = format!("data:image/png;base64,{}", data_encoding::BASE64.encode(IMAGE));
    let body = json!({"model": "pika-2.2", "prompt": "a boat", "input_reference": {"image_url": data}});
    let again = post(&world, "/v1/videos", &key, &body).await;
    assert_eq!((again.text("/id"), header(&again, "idempotent-replayed")), (first.text("/id"), "true"));
    let body = json!({"prompt": "a boat", "image": {"type": "file", "mediaType": "image/png",
        "data": data_encoding::BASE64.encode(IMAGE)}});
    let headers = [key[0], ("ai-model-id", "pika-2.2")];
    let third = post(&world, "/v1/ai/video-model/start", &headers, &body).await;
    assert_eq!(third.text("/operation/id"), first.text("/id"), "{third:?}");
    let other = create(&world, &key, &texts, None).await;
    assert_eq!((other.status.as_u16(), other.code()), (400, "idempotency_key_reused"), "{other:?}");
    let job = world.jobs().request(&first.text("/id").parse().unwrap()).await.unwrap().unwrap();
    let named = json!({"model": "pika-2.2", "prompt": "a", "image_url": job.image_url});
    assert_eq!(
        world.post_job(&named, "").await.code(),
        "invalid_request",
        "an upload is named by its id alone"
    );
}

/// The bucket deletes uploads after a day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_upload_is_gone_fails_and_is_refunded() {
    let world = World::new().await;
    let balance = world.balance().await;
    let made = create(&world, &[], &[("model", "pika-2.2"), ("prompt", "a boat")], Some(IMAGE)).await;
    let id: JobId = made.text("/id").parse().unwrap();
    let request = world.jobs().request(&id).await.unwrap().unwrap();
    let key = domain::upload::Upload::named(&request.image_url.unwrap()).unwrap().key();
    let bucket = world.operator.env.get("MEDIA_BUCKET").unwrap();
    world.operator.s3().delete_object().bucket(bucket).key(key).send().await.unwrap();
    let job = world.finish(&id).await;
    assert_eq!(job.fault().map(|fault| fault.class), Some(ErrorClass::InvalidRequest), "{job:?}");
    assert_eq!(world.balance().await, balance);
    world.audit().await;
}

/// A request that names two images would lose one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_images_for_one_frame_are_refused() {
    let world = World::new().await;
    let url = "https://example.com/cat.png";
    let texts = [("model", "pika-2.2"), ("prompt", "a"), ("input_reference[image_url]", url)];
    let form = create(&world, &[], &texts, Some(IMAGE)).await;
    let param = form.body["error"]["param"].clone();
    assert_eq!((form.status.as_u16(), param), (400, json!("input_reference")), "{form:?}");
    assert_eq!(create(&world, &[], &texts, None).await.status.as_u16(), 200);

    let image = |url: &str| json!({"type": "url", "url": url});
    let frame = |url: &str, kind: &str| json!({"image": image(url), "frameType": kind});
    let (one, other) = (url, "https://example.com/dog.png");
    for (body, status) in [
        (json!({"image": image(one), "frameImages": [frame(one, "first_frame")]}), 202),
        (json!({"image": image(one), "frameImages": [frame(other, "first_frame")]}), 400),
        (json!({"frameImages": [frame(one, "last_frame"), frame(other, "last_frame")]}), 400),
        (json!({"image": image(one), "providerOptions": {"genmux": {"image_url": other}}}), 400),
    ] {
        let mut asked = body.clone();
        asked["prompt"] = json!("a boat");
        let answer = post(&world, "/v1/ai/video-model/start", &[("ai-model-id", "pika-2.2")], &asked).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
    }
}

/// As clients write objects and lists in a form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_holds_objects_and_lists() {
    let world = World::new().await;
    let texts = [
        ("model", "veo-3.1"),
        ("prompt", "a boat"),
        ("metadata[order]", "17"),
        ("metadata[shop]", "north"),
        ("fallback_models[]", "veo-3.1-fast"),
        ("fallback_models[]", "kling-3.0"),
    ];
    let made = create(&world, &[], &texts, None).await;
    let request = world.jobs().request(&made.text("/id").parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(json!(request.metadata), json!({"order": "17", "shop": "north"}));
    assert_eq!(request.fallback_models, ["veo-3.1-fast", "kling-3.0"]);
    let twice = create(&world, &[], &[("model", "veo-3.1"), ("prompt", "a"), ("prompt", "b")], None).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (400, "malformed_form"), "{twice:?}");
}
