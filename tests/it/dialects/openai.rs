//! OpenAI's videos.

use std::time::Duration;

use domain::id::JobId;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::json;
use shared::boot::Env;
use shared::store::keystore::Scope;

use super::{IMAGE, create, follow, get, header, post};

const LEAST: [(&str, &str); 2] = [("model", "pika-2.2"), ("prompt", "a paper boat")];

async fn created(world: &World, texts: &[(&str, &str)]) -> JobId {
    let answer = create(world, &[], texts, None).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.text("/id").parse().unwrap()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str, param: &str, words: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{answer:?}");
    assert_eq!(answer.text("/error/param"), param, "{answer:?}");
    assert!(answer.text("/error/message").contains(words), "{answer:?}");
    let may_retry = status >= 500 || (status == 429 && code != "insufficient_quota");
    assert_eq!(header(answer, "x-should-retry").is_empty(), may_retry, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_goes_from_a_form_to_a_file() {
    let world = World::new().await;
    let texts = [&LEAST[..], &[("seconds", "5"), ("size", "1280x720"), ("seed", "7")]].concat();
    let made = create(&world, &[], &texts, None).await;
    assert_eq!(made.status.as_u16(), 200, "{made:?}");
    let fields =
        ["object", "status", "model", "prompt", "size", "seconds"].map(|name| made.body[name].clone());
    assert_eq!(json!(fields), json!(["video", "queued", "pika-2.2", "a paper boat", "1280x720", "5"]));
    assert_eq!((&made.body["progress"], &made.body["error"]), (&json!(0), &json!(null)));
    assert!((2_000..=15_000).contains(&header(&made, "openai-poll-after-ms").parse::<u32>().unwrap()));
    let id: JobId = made.text("/id").parse().unwrap();
    let job = world.status(&id).await;
    assert_eq!(job.body["request"]["seed"], 7, "{job:?}");

    let (path, mut progress) = (format!("/v1/videos/{id}"), 0);
    assert_error(&get(&world, &format!("{path}/content")).await, 409, "not_finished", "", "no file yet");
    world.drain().await;
    for _ in 0..5 {
        let now = get(&world, &path).await;
        assert_eq!(now.text("/status"), "in_progress", "{now:?}");
        assert!(now.body["progress"].as_u64().unwrap() >= progress, "{now:?}");
        progress = now.body["progress"].as_u64().unwrap();
        world.clock.advance(Duration::from_secs(5));
    }
    assert!((1..100).contains(&progress));
    world.finish(&id).await;
    let done = get(&world, &path).await;
    assert_eq!((done.text("/status"), &done.body["progress"]), ("completed", &json!(100)), "{done:?}");
    assert!(done.body["completed_at"].as_i64() >= done.body["created_at"].as_i64(), "{done:?}");
    assert_eq!(header(&done, "openai-poll-after-ms"), "");
    for path in [format!("{path}/content"), format!("/v1/jobs/{id}/content")] {
        assert_eq!(follow(&get(&world, &path).await).await[4..8], *b"ftyp");
    }
    let head = world.call(Method::HEAD, &format!("/v1/jobs/{id}/content"), &[], None).await;
    let found = reqwest::Client::new().head(header(&head, "location")).send().await.unwrap();
    assert_eq!(
        (found.status().as_u16(), &found.headers()["content-type"]),
        (200, &"video/mp4".parse().unwrap())
    );
    let variant = get(&world, &format!("{path}/content?variant=thumbnail")).await;
    assert_error(&variant, 400, "invalid_value", "variant", "allowed: video");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_and_a_canceled_video_say_why() {
    let world = World::new().await;
    let refused = created(&world, &[LEAST[0], ("prompt", "a [[sim: fail=content_policy]]")]).await;
    let canceled = created(&world, &LEAST).await;
    world.cancel(&canceled).await;
    for (id, code) in [(refused, "moderation_blocked"), (canceled, "canceled")] {
        world.finish(&id).await;
        let video = get(&world, &format!("/v1/videos/{id}")).await;
        assert_eq!((video.text("/status"), video.text("/error/code")), ("failed", code), "{video:?}");
        assert!(video.body["progress"].as_u64().unwrap() < 100);
        assert_error(
            &get(&world, &format!("/v1/videos/{id}/content")).await,
            404,
            "no_file",
            "",
            "without one",
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn videos_are_listed_in_both_orders_and_images_and_deleted_ones_are_left_out() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(created(&world, &LEAST).await.to_string());
        world.clock.advance(Duration::from_secs(1));
        let image = world.post_job(&json!({"model": "nano-banana-2", "prompt": "a boat"}), "").await;
        assert_eq!(image.status.as_u16(), 202, "{image:?}");
        assert_eq!(get(&world, &format!("/v1/videos/{}", image.text("/id"))).await.status.as_u16(), 404);
        world.clock.advance(Duration::from_secs(1));
    }
    let deleted = ids.remove(2);
    world.finish(&deleted.parse().unwrap()).await;
    world.call(Method::DELETE, &format!("/v1/videos/{deleted}"), &[], None).await;
    for order in ["asc", "desc"] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&world, &format!("/v1/videos?limit=2&order={order}{after}")).await;
            assert_eq!(page.text("/object"), "list", "{page:?}");
            let data = page.body["data"].as_array().unwrap();
            found.extend(data.iter().map(|video| video["id"].as_str().unwrap().to_owned()));
            assert_eq!(page.body["first_id"], data.first().map_or(json!(null), |it| it["id"].clone()));
            if page.body["has_more"] == false {
                break;
            }
            after = format!("&after={}", page.text("/last_id"));
        }
        if order == "desc" {
            found.reverse();
        }
        assert_eq!(found, ids, "{order}");
    }
    for (query, param) in [("limit=0", "limit"), ("order=up", "order"), ("after=video_1", "after")] {
        assert_error(&get(&world, &format!("/v1/videos?{query}")).await, 400, "invalid_value", param, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_video_loses_its_file_and_keeps_its_job_and_its_money() {
    let world = World::new().await;
    let id = created(&world, &LEAST).await;
    let path = format!("/v1/videos/{id}");
    let delete = async || world.call(Method::DELETE, &path, &[], None).await;
    assert_error(&delete().await, 409, "not_finished", "", "once it has ended");
    let key = world.finish(&id).await.media().unwrap().key.clone();
    let balance = world.balance().await;
    // Where a function dies, a repeat goes on; where nothing fails, a repeat changes nothing.
    for k in 0.. {
        world.wire.reset();
        world.wire.crash_at(k, harness::Moment::After);
        let answer = delete().await;
        if world.wire.is_spent() {
            continue;
        }
        assert_eq!(answer.body, json!({"id": id.as_str(), "object": "video.deleted", "deleted": true}));
        break;
    }
    world.wire.reset();
    assert!(!world.books().await.objects.contains_key(&key));
    assert_error(&get(&world, &path).await, 404, "not_found", "", "");
    assert_error(&get(&world, &format!("{path}/content")).await, 404, "not_found", "", "");
    let content = get(&world, &format!("/v1/jobs/{id}/content")).await;
    assert_eq!((content.status.as_u16(), content.code()), (410, "media_deleted"), "{content:?}");
    let job = world.status(&id).await;
    assert_eq!((job.text("/status"), job.body.get("media")), ("succeeded", None), "{job:?}");
    assert!(!job.text("/media_deleted_at").is_empty(), "{job:?}");
    assert_eq!(world.balance().await, balance);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_accounts_video_is_none() {
    let world = World::new().await;
    let id = created(&world, &LEAST).await;
    world.finish(&id).await;
    let key = world.new_key(&"acct_other".parse().unwrap(), vec![Scope::Read, Scope::Write]).await;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    for (method, path) in [
        (Method::GET, format!("/v1/videos/{id}")),
        (Method::GET, format!("/v1/videos/{id}/content")),
        (Method::DELETE, format!("/v1/videos/{id}")),
        (Method::GET, "/v1/videos/video_123".to_owned()),
    ] {
        let answer = world.call(method, &path, &headers, None).await;
        assert_error(&answer, 404, "not_found", "", "");
    }
    let after = world.call(Method::GET, &format!("/v1/videos?after={id}"), &headers, None).await;
    assert_error(&after, 400, "invalid_value", "after", "");
    let content = world.call(Method::GET, &format!("/v1/jobs/{id}/content"), &headers, None).await;
    assert_eq!((content.status.as_u16(), content.code()), (404, "not_found"), "{content:?}");
    let status = json!({"operation": {"id": id.as_str()}});
    let status = post(&world, "/v1/ai/video-model/status", &headers, &status).await;
    assert_eq!((status.status.as_u16(), status.text("/error/type")), (404, "not_found"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_in_their_words() {
    let world = World::new().await;
    let refused = async |more: &[(&str, &str)], code: &str, param: &str, words: &str| {
        let answer = create(&world, &[], &[&LEAST[..], more].concat(), None).await;
        assert_error(&answer, 400, code, param, words);
    };
    refused(&[("seconds", "7")], "invalid_value", "seconds", "allowed: 5, 10").await;
    refused(&[("seconds", "soon")], "invalid_value", "seconds", "whole number").await;
    refused(&[("size", "1x1")], "invalid_value", "size", "1280x720").await;
    refused(&[("colour", "red")], "invalid_value", "colour", "unknown field").await;
    refused(&[("duration_s", "5"), ("seconds", "5")], "invalid_value", "seconds", "send one of them").await;
    refused(&[("input_reference[file_id]", "file_1")], "invalid_value", "input_reference", "id of an upload")
        .await;
    refused(&[("input_reference[image_url]", "data:,a")], "invalid_value", "input_reference", "base64").await;
    refused(&[("prompt", "twice")], "malformed_form", "", "twice").await;
    let json = async |body| post(&world, "/v1/videos", &[], &body).await;
    for (model, words) in
        [("sora-2", "retired"), ("veo-99", "no such model"), ("nano-banana-2", "makes images")]
    {
        let answer = json(json!({"model": model, "prompt": "a"})).await;
        assert_error(&answer, 400, "model_not_found", "model", words);
    }
    assert_error(&json(json!({"prompt": "a"})).await, 400, "model_not_found", "model", "retired");
    assert_error(&json(json!({"model": "pika-2.2"})).await, 400, "invalid_value", "body", "prompt");
    let file = create(&world, &[], &LEAST, Some(b"GIF89a: no image that providers take")).await;
    assert_error(&file, 400, "invalid_value", "input_reference", "PNG, JPEG or WebP");
    let large = create(&world, &[], &LEAST, Some(&vec![0; 4 << 20])).await;
    assert_error(&large, 413, "body_too_large", "", "4194304 bytes");
    let bad = world.call(Method::GET, "/v1/videos", &[("authorization", "Bearer sk-123")], None).await;
    assert_error(&bad, 401, "invalid_api_key", "", "gmx_");
    assert_eq!(bad.text("/error/type"), "invalid_request_error");
    let poor = world.new_key(&"acct_poor".parse().unwrap(), vec![Scope::Write]).await;
    let poor = create(&world, &[("authorization", &format!("Bearer {poor}"))], &LEAST, None).await;
    assert_error(&poor, 429, "insufficient_quota", "", "balance is 0");
    assert_eq!(poor.text("/error/type"), "insufficient_quota");
    for path in ["job_1/remix", "edits", "extensions"] {
        let answer = json_at(&world, &format!("/v1/videos/{path}")).await;
        assert_error(&answer, 400, "unsupported", "", "takes a video");
    }
    assert_error(&get(&world, "/v1/videos/a/b").await, 404, "not_found", "", "no such path");
    assert!(world.books().await.jobs.is_empty());
}

async fn json_at(world: &World, path: &str) -> Answer {
    post(world, path, &[], &json!({"prompt": "a"})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_died_makes_a_video_if_the_owner_says_of_which_model() {
    let world = World::with(|options| {
        options.env = Env::from_pairs([("OPENAI_VIDEO_ALIASES", "sora-2:pika-2.2")]);
    })
    .await;
    for body in
        [json!({"prompt": "a"}), json!({"prompt": "a", "model": "sora-2", "seconds": 5, "size": null})]
    {
        let made = post(&world, "/v1/videos", &[], &body).await;
        assert_eq!((made.status.as_u16(), made.text("/model")), (200, "pika-2.2"), "{made:?}");
    }
    let native = world.post_job(&json!({"model": "sora-2", "prompt": "a"}), "").await;
    assert_eq!(native.code(), "invalid_request", "an alias is of this dialect alone: {native:?}");
}

#[tokio::test]
async fn the_models_are_listed_for_their_clients_beside_ours() {
    let world = World::new().await;
    let models = get(&world, "/v1/models").await;
    assert_eq!(models.text("/object"), "list");
    let data = models.body["data"].as_array().unwrap();
    assert_eq!(data.len(), models.body["models"].as_array().unwrap().len());
    assert!(data.iter().any(|model| model["id"] == "veo-3.1" && model["object"] == "model"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_with_an_image_leaves_its_ratio_to_the_image() {
    let world = World::new().await;
    let texts = [&LEAST[..], &[("size", "1280x720")]].concat();
    let made = create(&world, &[], &texts, Some(IMAGE)).await;
    assert_eq!(made.status.as_u16(), 200, "{made:?}");
    let job = world.status(&made.text("/id").parse().unwrap()).await;
    assert_eq!(job.body["request"].get("aspect_ratio"), None, "{job:?}");
    assert_eq!(job.text("/request/resolution"), "720p");
}
