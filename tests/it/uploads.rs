//! Images that callers upload: what the bucket takes of a form, and what a job makes of an upload.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use data_encoding::{BASE64, HEXLOWER};
use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::job::State;
use domain::time::Timestamp;
use domain::upload::Upload;
use harness::{Answer, Moment, World};
use reqwest::Method;
use reqwest::multipart::{self, Part};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::store::keystore::Scope;
use shared::store::uploads::{Signer, Uploads};

use crate::dialects::IMAGE;

type Fields = BTreeMap<String, String>;

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// What is announced of a PNG.
pub(crate) fn announced(bytes: &[u8]) -> Value {
    json!({"content_type": "image/png", "bytes": bytes.len(), "sha256": sha256(bytes)})
}

/// Asks for a form.
pub(crate) async fn ask(world: &World, headers: &[(&str, &str)], body: &Value) -> Answer {
    world.call(Method::POST, "/v1/uploads", headers, Some(&body.to_string())).await
}

/// The URL and the fields of a form.
fn form_of(answer: &Answer) -> (String, Fields) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let fields = serde_json::from_value(answer.body["fields"].clone()).unwrap();
    (answer.text("/url").to_owned(), fields)
}

/// Posts a form: the status, and the code of an error.
async fn post(url: &str, fields: &Fields, file: &[u8]) -> (u16, String) {
    let form = fields
        .iter()
        .fold(multipart::Form::new(), |form, (name, value)| form.text(name.clone(), value.clone()));
    let form = form.part("file", Part::bytes(file.to_vec()).file_name("boat.png"));
    let answer = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    (status, code.map_or(text.clone(), |(code, _)| code.to_owned()))
}

/// Uploads an image as a caller does, and returns its id.
async fn upload(world: &World, bytes: &[u8]) -> String {
    let asked = ask(world, &[], &announced(bytes)).await;
    let (url, fields) = form_of(&asked);
    assert_eq!(post(&url, &fields, bytes).await, (204, String::new()));
    asked.text("/id").to_owned()
}

fn order(id: &str) -> Value {
    json!({"model": "pika-2.2", "prompt": "a boat", "image": {"upload": id}})
}

/// What only uploads make the functions do.
pub(crate) async fn everything(world: &World) {
    let id = upload(world, IMAGE).await;
    assert_eq!(world.post_job(&order(&id), "uploaded").await.status, 202);
}

async fn stored(world: &World, id: &str) -> Option<(String, String, Vec<u8>)> {
    let key = Upload::of_id(&world.account, id).unwrap().key();
    let get = world.operator.s3().get_object().bucket(world.source().bucket).key(key).send().await.ok()?;
    let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (kind, shown) = (of(get.content_type()), of(get.content_disposition()));
    Some((kind, shown, get.body.collect().await.unwrap().to_vec()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_stores_exactly_the_announced_file() {
    let world = World::new().await;
    let asked = ask(&world, &[], &announced(IMAGE)).await;
    let (url, fields) = form_of(&asked);
    assert_eq!((asked.text("/id"), asked.text("/method")), (&*sha256(IMAGE), "POST"));
    let policy: Value = serde_json::from_slice(&BASE64.decode(fields["policy"].as_bytes()).unwrap()).unwrap();
    assert_eq!(policy["expiration"], asked.body["expires_at"]);

    let mut damaged = IMAGE.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let with = |name: &str, value: &str| {
        let mut fields = fields.clone();
        fields.insert(name.to_owned(), value.to_owned());
        fields
    };
    let without = |name: &str| {
        let mut fields = fields.clone();
        fields.remove(name).unwrap();
        fields
    };
    let (denied, forged) = ("AccessDenied", "SignatureDoesNotMatch");
    let other = BASE64.encode(&Sha256::digest(&damaged));
    let mut looser = policy.clone();
    looser["conditions"].as_array_mut().unwrap().retain(|condition| !condition.is_array());
    let looser = BASE64.encode(looser.to_string().as_bytes());
    for (fields, file, status, code) in [
        (fields.clone(), &[IMAGE, b"1"].concat(), 400, "EntityTooLarge"),
        (fields.clone(), &IMAGE[..IMAGE.len() - 1].to_vec(), 400, "EntityTooSmall"),
        (fields.clone(), &Vec::new(), 400, "EntityTooSmall"),
        (fields.clone(), &damaged, 400, "BadDigest"),
        (with("x-amz-checksum-sha256", &other), &damaged, 403, denied),
        (without("x-amz-checksum-sha256"), &damaged, 403, denied),
        (with("Content-Type", "text/html"), &IMAGE.to_vec(), 403, denied),
        (without("Content-Type"), &IMAGE.to_vec(), 403, denied),
        (with("Content-Disposition", "inline"), &IMAGE.to_vec(), 403, denied),
        (with("key", "media/acct_test/x"), &IMAGE.to_vec(), 403, denied),
        (with("key", &format!("uploads/acct_other/{}", sha256(IMAGE))), &IMAGE.to_vec(), 403, denied),
        (with("x-amz-meta-more", "1"), &IMAGE.to_vec(), 403, denied),
        (with("acl", "public-read"), &IMAGE.to_vec(), 403, denied),
        (with("x-amz-date", "20200101T000000Z"), &IMAGE.to_vec(), 403, denied),
        (with("x-amz-signature", &"0".repeat(64)), &IMAGE.to_vec(), 403, forged),
        (without("x-amz-signature"), &IMAGE.to_vec(), 403, denied),
        (with("policy", &looser), &damaged, 403, forged),
        (with("policy", "bm8gSlNPTg=="), &IMAGE.to_vec(), 400, "InvalidPolicyDocument"),
    ] {
        let (got, text) = post(&url, &fields, file).await;
        assert_eq!((got, &*text), (status, code), "{fields:?}");
        assert_eq!(stored(&world, &sha256(IMAGE)).await, None, "{code}");
    }
    assert_eq!(post(&url, &fields, IMAGE).await.0, 204);
    let expected = ("image/png".to_owned(), "attachment".to_owned(), IMAGE.to_vec());
    assert_eq!(stored(&world, &sha256(IMAGE)).await, Some(expected));
    assert_eq!(post(&url, &fields, IMAGE).await.0, 204, "a repeat stores the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_ends() {
    let world = World::new().await;
    let uploads = Uploads::new(world.operator.s3(), world.source().bucket);
    let signer = Signer::new(&world.operator.aws);
    let upload = Upload::new(&world.account, IMAGE);
    #[expect(clippy::disallowed_methods, reason = "the bucket judges forms by the wall clock")]
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let wall = Timestamp::from_secs(i64::try_from(wall.as_secs()).unwrap());
    for (age, status, code) in
        [(14 * 60, 204, ""), (15 * 60 + 2, 403, "AccessDenied"), (86_400, 403, "AccessDenied")]
    {
        let signed_at = wall.minus(Duration::from_secs(age));
        let form = uploads.form(&signer, &upload, "image/png", IMAGE.len() as u64, signed_at).await.unwrap();
        let fields = form.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(post(&form.url, &fields, IMAGE).await, (status, code.to_owned()), "{age} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_a_fresh_form_for_the_same_upload() {
    let world = World::new().await;
    let key = [("idempotency-key", "image-1")];
    let first = ask(&world, &key, &announced(IMAGE)).await;
    world.clock.advance(Duration::from_secs(60));
    let again = ask(&world, &key, &announced(IMAGE)).await;
    assert_eq!(first.text("/id"), again.text("/id"));
    assert!(first.text("/expires_at") < again.text("/expires_at"));
    let upper =
        json!({"content_type": "image/png", "bytes": IMAGE.len(), "sha256": sha256(IMAGE).to_uppercase()});
    assert_eq!(ask(&world, &[], &upper).await.text("/id"), first.text("/id"));
    let (url, fields) = form_of(&again);
    assert_eq!(post(&url, &fields, IMAGE).await.0, 204);
    let reader = format!("Bearer {}", world.new_key(&world.account, vec![Scope::Read]).await);
    assert_eq!(ask(&world, &[("authorization", &reader)], &announced(IMAGE)).await.status, 403);
    assert_eq!(
        ask(&world, &[("idempotency-key", "\"\"")], &announced(IMAGE)).await.code(),
        "invalid_idempotency_key"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_uploaded_is_refused_by_its_field() {
    let world = World::new().await;
    let good = announced(IMAGE);
    for (field, value) in [
        ("content_type", json!("image/svg+xml")),
        ("content_type", json!("text/html")),
        ("content_type", json!("image/png; charset=utf-8")),
        ("content_type", json!("IMAGE/PNG\r\nx: y")),
        ("content_type", json!(null)),
        ("bytes", json!(0)),
        ("bytes", json!(-1)),
        ("bytes", json!(10_485_761)),
        ("bytes", json!(1e30)),
        ("bytes", json!("12")),
        ("sha256", json!("")),
        ("sha256", json!(sha256(IMAGE)[1..])),
        ("sha256", json!(format!("{}é", &sha256(IMAGE)[2..]))),
        ("sha256", json!(["a"])),
        ("colour", json!("red")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = ask(&world, &[], &body).await;
        assert_eq!((answer.status.as_u16(), answer.text("/errors/0/field")), (422, field), "{answer:?}");
    }
    for field in ["content_type", "bytes", "sha256"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        let answer = ask(&world, &[], &body).await;
        assert!(answer.status == 422 && answer.text("/detail").contains(field), "{answer:?}");
    }
    let all = ask(&world, &[], &json!({"content_type": "a", "bytes": 0, "sha256": "b"})).await;
    assert_eq!(all.body["errors"].as_array().unwrap().len(), 3, "{all:?}");
    assert_eq!(all.body["errors"][0]["allowed"], json!(["image/png", "image/jpeg", "image/webp"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_takes_an_upload_and_shows_it_so_that_it_can_be_sent_again() {
    let world = World::new().await;
    let id = upload(&world, IMAGE).await;
    let made = world.post_job(&order(&id), "boat").await;
    assert_eq!(made.status, 202, "{made:?}");
    assert_eq!(made.body["request"]["image"], json!({"upload": id}));
    assert_eq!(made.body["request"].get("image_url"), None);
    let job: JobId = made.text("/id").parse().unwrap();
    let job = world.finish(&job).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");

    // What a job shows is a request.
    let mut request = world.status(job.id()).await.body["request"].clone();
    request.as_object_mut().unwrap().remove("pin");
    assert_eq!(world.post_job(&request, "again").await.status, 202);
    let quote = world.call(Method::POST, "/v1/quotes", &[], Some(&order(&id).to_string())).await;
    assert_eq!(quote.body["request"]["image"], json!({"upload": id}), "{quote:?}");
    // The same image in OpenAI's dialect is the same upload.
    let reference = json!({"model": "pika-2.2", "prompt": "a boat", "input_reference": {"file_id": id}});
    let video = world
        .call(Method::POST, "/v1/videos", &[("idempotency-key", "boat")], Some(&reference.to_string()))
        .await;
    assert_eq!((video.status.as_u16(), video.text("/id")), (200, job.id().as_str()), "{video:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_be_used_is_refused_before_the_charge() {
    let world = World::new().await;
    let balance = world.balance().await;
    let html = b"<!doctype html><script>alert(1)</script>".as_slice();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".as_slice();
    let program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".as_slice();
    let [html, svg, program] =
        [upload(&world, html).await, upload(&world, svg).await, upload(&world, program).await];
    let missing = sha256(b"never stored");
    let other: AccountId = "acct_other".parse().unwrap();
    world.grant(&other, Credits::ONE).await;
    let foreign = format!("Bearer {}", world.new_key(&other, vec![Scope::Write]).await);
    let asked = ask(&world, &[("authorization", &foreign)], &announced(b"foreign")).await;
    let (url, fields) = form_of(&asked);
    assert_eq!(post(&url, &fields, b"foreign").await.0, 204);
    for (id, detail) in [
        (&*html, "PNG, JPEG or WebP"),
        (&svg, "PNG, JPEG or WebP"),
        (&program, "PNG, JPEG or WebP"),
        (&missing, "names no upload"),
        (asked.text("/id"), "names no upload"),
        ("x", "not the id of an upload"),
    ] {
        let answer = world.post_job(&order(id), "").await;
        let error = (answer.status.as_u16(), answer.text("/errors/0/field"));
        assert_eq!(error, (422, "image.upload"), "{id}: {answer:?}");
        assert!(answer.text("/errors/0/detail").contains(detail), "{answer:?}");
    }
    let image = upload(&world, IMAGE).await;
    let mut last = json!({"model": "veo-3.1", "prompt": "a boat", "image": {"upload": image}});
    last["last_frame"] = json!({"upload": missing});
    assert_eq!(world.post_job(&last, "").await.text("/errors/0/field"), "last_frame.upload");
    assert_eq!(world.balance().await, balance);
}

/// The bucket counts from the last copy: an upload lives as long as its newest job may need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_begins_the_day_of_its_upload_anew_and_a_repeat_needs_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|options| options.media = folder.path().to_owned()).await;
    let id = upload(&world, IMAGE).await;
    let key = Upload::of_id(&world.account, &id).unwrap().key();
    let bucket = world.source().bucket;
    let file = folder.path().join(&bucket).join(&key);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let made = world.post_job(&order(&id), "boat").await;
    assert_eq!(made.status, 202, "{made:?}");
    assert!(file.metadata().unwrap().modified().unwrap() > old);
    assert_eq!(stored(&world, &id).await, Some(("image/png".into(), "attachment".into(), IMAGE.to_vec())));
    let deleted = world.operator.s3().delete_object().bucket(&bucket).key(&key).send().await;
    assert!(deleted.is_ok());
    let again = world.post_job(&order(&id), "boat").await;
    assert_eq!((again.status.as_u16(), again.text("/id")), (202, made.text("/id")), "{again:?}");
    assert_eq!(world.post_job(&order(&id), "other").await.text("/errors/0/field"), "image.upload");
    let mut changed = order(&id);
    changed["prompt"] = json!("a moat");
    let reused = world.post_job(&changed, "boat").await;
    assert_eq!((reused.status.as_u16(), reused.code()), (422, "idempotency_key_reused"), "{reused:?}");
}

/// Also of a store that does not hold a form to its SHA-256.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_holds_must_be_the_announced_file() {
    let world = World::new().await;
    let balance = world.balance().await;
    let id = upload(&world, IMAGE).await;
    let (bucket, key) = (world.source().bucket, Upload::of_id(&world.account, &id).unwrap().key());
    let mut other = IMAGE.to_vec();
    *other.last_mut().unwrap() ^= 1;
    let put = async |content: Vec<u8>| {
        let put = world.operator.s3().put_object().bucket(&bucket).key(&key).body(content.into());
        put.send().await.unwrap();
    };
    put(other).await;
    let refused = world.post_job(&order(&id), "boat").await;
    let error = (refused.status.as_u16(), refused.text("/errors/0/field"));
    assert_eq!(error, (422, "image.upload"), "{refused:?}");
    assert!(refused.text("/errors/0/detail").contains("not the announced file"), "{refused:?}");
    assert_eq!(world.balance().await, balance);
    put(IMAGE.to_vec()).await;
    assert_eq!(world.post_job(&order(&id), "boat").await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_credits_gets_no_form() {
    let world = World::new().await;
    let account: AccountId = "acct_empty".parse().unwrap();
    let caller = format!("Bearer {}", world.new_key(&account, vec![Scope::Write]).await);
    let headers = [("authorization", &*caller)];
    let refused = ask(&world, &headers, &announced(IMAGE)).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (402, "insufficient_credits"), "{refused:?}");
    world.grant(&account, Credits::ONE).await;
    assert_eq!(ask(&world, &headers, &announced(IMAGE)).await.status, 200);
}

/// Two calls of the bucket, and only for a job that names an upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_costs_its_job_two_calls_and_another_job_none() {
    let world = World::new().await;
    let id = upload(&world, IMAGE).await;
    let plain = json!({"model": "pika-2.2", "prompt": "a boat"});
    world.post_job(&plain, "warms the instances").await;
    let calls = async |order: &Value, key: &str| {
        world.wire.reset();
        assert_eq!(world.post_job(order, key).await.status, 202);
        world.wire.calls().iter().filter(|call| call.starts_with("S3.")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(calls(&plain, "plain").await, Vec::<String>::new());
    assert_eq!(calls(&order(&id), "uploaded").await, ["S3.GET", "S3.PUT"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_with_an_upload_survives_a_crash_and_a_lost_answer_at_every_effect() {
    let world = World::new().await;
    let id = upload(&world, IMAGE).await;
    world.wire.reset();
    world.post_job(&order(&id), "undisturbed").await;
    let effects = world.wire.effects();
    assert!(effects > 2, "{effects}");
    for what in ["crash before", "crash after", "lost answer"] {
        for k in 0..effects {
            // Instances that know nothing, so that every effect comes.
            let world = World::new().await;
            let id = upload(&world, IMAGE).await;
            world.wire.reset();
            match what {
                "crash before" => world.wire.crash_at(k, Moment::Before),
                "crash after" => world.wire.crash_at(k, Moment::After),
                _ => world.wire.lose_answer_at(k),
            }
            let balance = world.balance().await;
            let disturbed = world.post_job(&order(&id), "boat").await;
            assert!(world.wire.is_spent(), "{what} {k}: {disturbed:?}");
            let [one, other] =
                [world.post_job(&order(&id), "boat").await, world.post_job(&order(&id), "boat").await];
            assert_eq!(
                (one.status.as_u16(), one.text("/id")),
                (202, other.text("/id")),
                "{what} {k}: {one:?}"
            );
            let job = world.finish(&one.text("/id").parse().unwrap()).await;
            assert_eq!(job.state(), State::Succeeded, "{what} {k}: {job:?}");
            assert_eq!(world.balance().await, balance.less(job.price()), "{what} {k}: charged once");
            world.audit().await;
        }
    }
}
