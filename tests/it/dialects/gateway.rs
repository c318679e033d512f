//! The gateway of the AI SDK.

use domain::id::JobId;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::keystore::Scope;

use super::{get, header, post};

const MODEL: (&str, &str) = ("ai-model-id", "pika-2.2");

async fn start(world: &World, headers: &[(&str, &str)], body: &Value) -> Answer {
    post(world, "/v1/ai/video-model/start", headers, body).await
}

async fn status(world: &World, operation: &Value) -> Answer {
    post(world, "/v1/ai/video-model/status", &[], &json!({"operation": operation})).await
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, kind: &str, param: &str, words: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("/error/type")), (status, kind), "{answer:?}");
    assert_eq!(answer.text("/error/param"), param, "{answer:?}");
    assert!(answer.text("/error/message").contains(words), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_started_once_and_asked_after_until_it_is_there() {
    let world = World::new().await;
    let headers = [MODEL, ("idempotency-key", "aisdk_vid_abc")];
    let body = json!({
        "prompt": "a boat", "n": 1, "resolution": "1280x720", "aspectRatio": "16:9", "duration": 5, "seed": 7,
        "providerOptions": {"genmux": {"metadata": {"order": "7"}}, "fal": {"loop": true}},
    });
    let started = start(&world, &headers, &body).await;
    assert_eq!(started.status.as_u16(), 202, "{started:?}");
    assert_eq!(started.text("/warnings/0/feature"), "providerOptions.fal", "{started:?}");
    let operation = &started.body["operation"];
    let again = start(&world, &headers, &body).await;
    assert_eq!((&again.body["operation"], header(&again, "idempotent-replayed")), (operation, "true"));
    assert_eq!(status(&world, operation).await.body["status"], "pending");
    let id: JobId = started.text("/operation/id").parse().unwrap();
    world.finish(&id).await;
    let done = status(&world, operation).await;
    assert_eq!(
        (done.text("/status"), done.text("/videos/0/mediaType")),
        ("completed", "video/mp4"),
        "{done:?}"
    );
    let file = reqwest::get(done.text("/videos/0/url")).await.unwrap().bytes().await.unwrap();
    assert_eq!(file[4..8], *b"ftyp");
    let job = world.status(&id).await;
    assert_eq!(job.text("/request/metadata/order"), "7", "{job:?}");
    world.call(Method::DELETE, &format!("/v1/videos/{id}"), &[], None).await;
    assert_eq!(status(&world, operation).await.text("/status"), "error");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_under_the_same_key_is_another_request() {
    let world = World::new().await;
    let key = ("idempotency-key", "aisdk_vid_abc");
    let body = json!({"prompt": "a boat"});
    assert_eq!(start(&world, &[MODEL, key], &body).await.status.as_u16(), 202);
    let other = start(&world, &[("ai-model-id", "veo-3.1"), key], &body).await;
    assert_eq!((other.status.as_u16(), other.code()), (400, "idempotency_key_reused"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_that_fails_or_is_canceled_says_so() {
    let world = World::new().await;
    for (prompt, word, cancels) in
        [("a [[sim: fail=content_policy]]", "error", false), ("a boat", "cancelled", true)]
    {
        let started = start(&world, &[MODEL], &json!({"prompt": prompt})).await;
        let id: JobId = started.text("/operation/id").parse().unwrap();
        if cancels {
            world.cancel(&id).await;
        }
        world.finish(&id).await;
        let ended = status(&world, &started.body["operation"]).await;
        assert_eq!(ended.text("/status"), word, "{ended:?}");
        assert_eq!(ended.text("/error").starts_with("content_policy: "), !cancels, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_taken_as_links_or_bytes() {
    let world = World::new().await;
    let file = |bytes: &[u8]| json!({"type": "file", "data": data_encoding::BASE64.encode(bytes)});
    let first = file(super::IMAGE);
    let last = file(&[super::IMAGE, b"!"].concat());
    let frames =
        json!([{"image": first, "frameType": "first_frame"}, {"image": last, "frameType": "last_frame"}]);
    let body = json!({"prompt": "a boat", "image": first, "frameImages": frames});
    let started = start(&world, &[("ai-model-id", "veo-3.1")], &body).await;
    assert_eq!(started.status.as_u16(), 202, "{started:?}");
    let id: JobId = started.text("/operation/id").parse().unwrap();
    let request = world.jobs().request(&id).await.unwrap().unwrap();
    assert!(request.image_url.is_some() && request.last_frame_url.is_some(), "{request:?}");
    assert_ne!(request.image_url, request.last_frame_url);
    assert_eq!(world.finish(&id).await.state().name(), "succeeded");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_has_the_type_that_their_client_sorts_by() {
    let world = World::new().await;
    let refused = async |body: Value| start(&world, &[MODEL], &body).await;
    let invalid = "invalid_request_error";
    assert_error(&refused(json!({"prompt": "a", "n": 2})).await, 400, invalid, "n", "maxVideosPerCall");
    assert_error(
        &refused(json!({"prompt": "a", "duration": 7})).await,
        400,
        invalid,
        "duration",
        "allowed: 5, 10",
    );
    assert_error(&refused(json!({"prompt": "a", "fps": 24})).await, 400, invalid, "fps", "leave it out");
    let size = json!({"prompt": "a", "resolution": "1x1"});
    assert_error(&refused(size).await, 400, invalid, "resolution", "1280x720");
    let other = json!({"prompt": "a", "resolution": "1280x720", "aspectRatio": "9:16"});
    assert_error(&refused(other).await, 400, invalid, "resolution", "9:16");
    let references =
        json!({"prompt": "a", "inputReferences": [{"type": "url", "url": "https://a.example/b"}]});
    assert_error(&refused(references).await, 400, invalid, "inputReferences", "frameImages");
    let image = json!({"prompt": "a", "image": {"type": "file", "data": "?"}});
    assert_error(&refused(image).await, 400, invalid, "image", "base64");
    let twice = json!({"prompt": "a", "providerOptions": {"genmux": {"prompt": "b"}}});
    assert_error(&refused(twice).await, 400, invalid, "prompt", "send one of them");
    let body = json!({"prompt": "a"});
    assert_error(&start(&world, &[], &body).await, 400, invalid, "ai-model-id", "header");
    let model = start(&world, &[("ai-model-id", "google/veo-3.1")], &body).await;
    assert_error(&model, 404, "model_not_found", "model", "veo-3.1");
    let image = start(&world, &[("ai-model-id", "nano-banana-2")], &body).await;
    assert_error(&image, 404, "model_not_found", "model", "makes images");
    let bad = start(&world, &[MODEL, ("authorization", "Bearer x")], &body).await;
    assert_error(&bad, 401, "authentication_error", "", "gmx_");
    let read = world.new_key(&world.account, vec![Scope::Read]).await;
    let read = start(&world, &[MODEL, ("authorization", &format!("Bearer {read}"))], &body).await;
    assert_error(&read, 403, "forbidden", "", "scope");
    let poor = world.new_key(&"acct_poor".parse().unwrap(), vec![Scope::Write]).await;
    let poor = start(&world, &[MODEL, ("authorization", &format!("Bearer {poor}"))], &body).await;
    assert_error(&poor, 402, "insufficient_funds", "", "balance is 0");
    assert_error(&status(&world, &json!({"id": "video_1"})).await, 404, "not_found", "", "");
    let waits = post(&world, "/v1/ai/video-model", &[MODEL], &body).await;
    assert_error(&waits, 400, invalid, "", "`poll: {}`");
    assert!(world.books().await.jobs.is_empty());
}

#[tokio::test]
async fn the_models_are_those_that_can_be_started() {
    let world = World::new().await;
    let config = get(&world, "/v1/ai/config").await;
    let models = config.body["models"].as_array().unwrap();
    assert!(
        models
            .iter()
            .all(|model| model["modelType"] == "video" && model["specification"]["modelId"] == model["id"])
    );
    assert!(models.iter().any(|model| model["id"] == "veo-3.1"));
    assert!(models.iter().all(|model| model["id"] != "nano-banana-2"));
}
