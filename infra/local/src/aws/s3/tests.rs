use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::complete_multipart_upload::{
    CompleteMultipartUploadError, CompleteMultipartUploadOutput,
};
use aws_sdk_s3::operation::copy_object::CopyObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart,
    CorsConfiguration, CorsRule, ExpirationStatus, LifecycleRule, MetadataDirective,
    PublicAccessBlockConfiguration, Tag, Tagging,
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};

use super::*;

const BUCKET: &str = "media";
/// The least that S3 takes as a part that is not the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

struct Local {
    s3: S3,
    client: Client,
    _folder: TempDir,
}

async fn start() -> Local {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let s3 = S3::start(listener, folder.path(), CancellationToken::new()).await.unwrap();
    s3.ensure_bucket(BUCKET).await.unwrap();
    let list = |words: &str| words.split_whitespace().map(str::to_owned).collect();
    let rule = |origin: &str, methods: &str, headers: &str, exposed: &str| BucketCors {
        allowed_origins: vec![origin.to_owned()],
        allowed_methods: list(methods),
        allowed_headers: list(headers),
        exposed_headers: list(exposed),
        max_age: 3_600,
    };
    let pages = rule("*", "GET HEAD", "*", "Content-Range");
    s3.set_cors(vec![pages, rule("https://films.example", "POST", "content-type X-Amz-*", "")]);
    let client = client(&s3.url(), CREDENTIAL);
    Local { s3, client, _folder: folder }
}

fn client(url: &str, secret: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .credentials_provider(Credentials::new(CREDENTIAL, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

async fn put(client: &Client, key: &str, content: &'static str) -> String {
    let body = ByteStream::from_static(content.as_bytes());
    client.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap().e_tag.unwrap()
}

async fn content(client: &Client, key: &str) -> Bytes {
    let found = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    found.body.collect().await.unwrap().into_bytes()
}

/// The HTTP status of a call, whichever way it went.
fn status<T, E>(result: &Result<T, SdkError<E>>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.raw_response().unwrap().status().as_u16(),
    }
}

/// Begins an upload and sends one part of it.
async fn upload_of_one_part(
    client: &Client,
    key: &str,
    content: Vec<u8>,
) -> (String, CompletedMultipartUpload) {
    let upload = client.create_multipart_upload().bucket(BUCKET).key(key).content_type("video/mp4");
    let upload = upload.send().await.unwrap().upload_id.unwrap();
    let part = send_part(client, key, &upload, 1, content).await;
    (upload, CompletedMultipartUpload::builder().parts(part).build())
}

async fn send_part(client: &Client, key: &str, upload: &str, number: i32, content: Vec<u8>) -> CompletedPart {
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
    let sent = part.body(content.into()).send().await.unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
}

fn numbers(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

#[tokio::test]
async fn a_streamed_put_of_known_length_is_stored_as_it_was_sent() {
    let local = start().await;
    let chunks: Vec<_> = numbers(3_000_000).chunks(70_001).map(Bytes::copy_from_slice).collect();
    let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
    let body = ByteStream::from_body_1_x(reqwest::Body::wrap_stream(chunks));
    let put = local.client.put_object().bucket(BUCKET).key("a/b.mp4").content_length(3_000_000);
    put.content_type("video/mp4").metadata("sha256", "abc").body(body).send().await.unwrap();

    let head = local.client.head_object().bucket(BUCKET).key("a/b.mp4").send().await.unwrap();
    assert_eq!((head.content_type(), head.content_length()), (Some("video/mp4"), Some(3_000_000)));
    assert_eq!(head.metadata().unwrap()["sha256"], "abc");
    assert!(content(&local.client, "a/b.mp4").await == numbers(3_000_000));
}

#[tokio::test]
async fn an_upload_in_parts_becomes_one_object() {
    let local = start().await;
    let (upload, _) = upload_of_one_part(&local.client, "a.mp4", numbers(PART_BYTES)).await;
    let parts = [
        send_part(&local.client, "a.mp4", &upload, 1, numbers(PART_BYTES)).await,
        send_part(&local.client, "a.mp4", &upload, 2, b"the end".to_vec()).await,
    ];
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
    let done = complete(&local.client, "a.mp4", &upload, parts, None).await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{done:?}");

    let head = local.client.head_object().bucket(BUCKET).key("a.mp4").send().await.unwrap();
    assert_eq!((head.content_type(), head.e_tag()), (Some("video/mp4"), done.e_tag()));
    assert!(content(&local.client, "a.mp4").await == [numbers(PART_BYTES), b"the end".to_vec()].concat());
}

#[tokio::test]
async fn an_aborted_upload_is_unknown() {
    let local = start().await;
    let (upload, parts) = upload_of_one_part(&local.client, "a.mp4", b"content".to_vec()).await;
    let abort = local.client.abort_multipart_upload().bucket(BUCKET).key("a.mp4").upload_id(&upload);
    abort.send().await.unwrap();
    let listed = local.client.list_parts().bucket(BUCKET).key("a.mp4").upload_id(&upload).send().await;
    assert_eq!(listed.unwrap_err().code(), Some("NoSuchUpload"));
    let completed = complete(&local.client, "a.mp4", &upload, parts, None).await;
    assert_eq!(completed.unwrap_err().code(), Some("NoSuchUpload"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_16_racing_creators_exactly_one_wins() {
    let local = start().await;
    for round in 0..12_u8 {
        let (key, gate) = (format!("race/{round}"), Arc::new(Barrier::new(16)));
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let (client, key, gate) = (local.client.clone(), key.clone(), Arc::clone(&gate));
            // None, half or all of them upload in parts.
            let in_parts = racer % 2 < round % 3;
            racers.spawn(async move { (racer, race(&client, &key, racer, in_parts, &gate).await) });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            racers.join_all().await.into_iter().partition(|(_, status)| *status == 200);
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        assert!(lost.iter().all(|(_, status)| *status == 412), "round {round}: {lost:?}");
        assert!(content(&local.client, &key).await == vec![won[0].0; 300_000]);
    }
}

/// Creates an object if it is absent, once all racers stand ready.
async fn race(client: &Client, key: &str, racer: u8, in_parts: bool, gate: &Barrier) -> u16 {
    let content = vec![racer; 300_000];
    if in_parts {
        let (upload, parts) = upload_of_one_part(client, key, content).await;
        gate.wait().await;
        return status(&complete(client, key, &upload, parts, Some("*")).await);
    }
    gate.wait().await;
    create(client, key, content).await
}

async fn create(client: &Client, key: &str, content: Vec<u8>) -> u16 {
    let put = client.put_object().bucket(BUCKET).key(key).if_none_match("*");
    status(&put.body(content.into()).send().await)
}

async fn complete(
    client: &Client,
    key: &str,
    upload: &str,
    parts: CompletedMultipartUpload,
    if_none_match: Option<&str>,
) -> Result<CompleteMultipartUploadOutput, SdkError<CompleteMultipartUploadError>> {
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload);
    complete.multipart_upload(parts).set_if_none_match(if_none_match.map(str::to_owned)).send().await
}

#[tokio::test]
async fn a_slow_creator_delays_no_other_and_loses_to_a_faster_one() {
    let local = start().await;
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let chunks = async_stream::stream! {
        yield Ok::<_, std::io::Error>(Bytes::from_static(b"slo"));
        begin.send(()).unwrap();
        finished.await.unwrap();
        yield Ok(Bytes::from_static(b"w"));
    };
    let slow = local.client.put_object().bucket(BUCKET).key("a").if_none_match("*").content_length(4);
    let slow = slow.body(ByteStream::from_body_1_x(reqwest::Body::wrap_stream(chunks)));
    let slow = tokio::spawn(async move { status(&slow.send().await) });
    begun.await.unwrap();
    assert_eq!(create(&local.client, "a", b"fast".to_vec()).await, 200);
    finish.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), 412);
    assert_eq!(content(&local.client, "a").await, "fast");
}

#[tokio::test]
async fn what_the_caller_has_already_is_304() {
    let local = start().await;
    let etag = put(&local.client, "a", "content").await;
    let get = |known: &str| local.client.get_object().bucket(BUCKET).key("a").if_none_match(known).send();
    let head = |known: &str| local.client.head_object().bucket(BUCKET).key("a").if_none_match(known).send();
    let unchanged = get(&etag).await;
    assert_eq!(
        unchanged.as_ref().unwrap_err().raw_response().unwrap().headers().get("etag"),
        Some(etag.as_str())
    );
    assert_eq!((status(&unchanged), status(&head(&etag).await)), (304, 304));
    assert_eq!((status(&get("\"other\"").await), status(&head("\"other\"").await)), (200, 200));
}

#[tokio::test]
async fn a_presigned_url_works_until_it_expires_and_only_as_it_was_signed() {
    let local = start().await;
    put(&local.client, "a.mp4", "content").await;
    put(&local.client, "b.mp4", "secret").await;
    let fresh = presign(&local.client, wall_clock()).await;
    let answer = reqwest::get(&fresh).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "content".to_owned()));

    let an_hour_old = presign(&local.client, wall_clock() - Duration::from_secs(3600)).await;
    let forged = presign(&client(&local.s3.url(), "guessed"), wall_clock()).await;
    let unsigned = fresh.split('?').next().unwrap().to_owned();
    for refused in [fresh.replace("a.mp4", "b.mp4"), an_hour_old, forged, unsigned] {
        assert_eq!(reqwest::get(&refused).await.unwrap().status().as_u16(), 403, "{refused}");
    }
}

/// A URL for one object, good for five minutes.
async fn presign(client: &Client, from: SystemTime) -> String {
    let limits =
        PresigningConfig::builder().start_time(from).expires_in(Duration::from_secs(300)).build().unwrap();
    let get = client.get_object().bucket(BUCKET).key("a.mp4");
    get.presigned(limits).await.unwrap().uri().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the server judges signatures by the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[tokio::test]
async fn a_page_of_any_origin_may_get_and_head_and_nothing_else() {
    let local = start().await;
    put(&local.client, "a.mp4", "content").await;
    let url = presign(&local.client, wall_clock()).await;
    let browser = reqwest::Client::new();
    let ask = |method: &'static str| {
        let asked = browser.request(Method::OPTIONS, &url).header(ORIGIN, "https://example.com");
        asked
            .header(ACCESS_CONTROL_REQUEST_METHOD, method)
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "range")
            .send()
    };
    for method in ["GET", "HEAD"] {
        let allowed = ask(method).await.unwrap();
        assert!(allowed.status().is_success(), "{method}");
        assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "range");
        assert!(allowed.headers()[ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains(method));
    }
    for method in ["PUT", "DELETE"] {
        assert_eq!(ask(method).await.unwrap().status().as_u16(), 403);
        let method = Method::try_from(method).unwrap();
        let forced =
            browser.request(method, &url).header(ORIGIN, "https://example.com").send().await.unwrap();
        assert!(!forced.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(forced.text().await.unwrap(), r#"{"message":"Forbidden"}"#);
    }

    // Only the first rule lets a page send any header.
    for (method, origin, names, status) in [
        ("GET", "https://example.com", "range, x-odd", 200),
        ("POST", "https://films.example", "Content-Type,x-amz-date", 200),
        ("POST", "https://films.example", "content-type,x-odd", 403),
        ("POST", "https://films.example", "x-content-type", 403),
    ] {
        let asked = browser.request(Method::OPTIONS, &url).header(ORIGIN, origin);
        let asked = asked.header(ACCESS_CONTROL_REQUEST_METHOD, method);
        let asked = asked.header(ACCESS_CONTROL_REQUEST_HEADERS, names).send().await.unwrap();
        assert_eq!(asked.status().as_u16(), status, "{method} {names}");
    }

    for (origin, status) in [("https://films.example", 200), ("https://evil.example", 403), ("null", 403)] {
        let asked = browser.request(Method::OPTIONS, local.s3.url() + "/" + BUCKET).header(ORIGIN, origin);
        let asked = asked.header(ACCESS_CONTROL_REQUEST_METHOD, "POST").send().await.unwrap();
        let allowed = asked.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
        assert_eq!(
            (asked.status().as_u16(), allowed),
            (status, (status == 200).then_some(origin)),
            "{origin}"
        );
    }

    let played = browser.get(&url).header(ORIGIN, "https://example.com").header("range", "bytes=2-4");
    let played = played.send().await.unwrap();
    assert_eq!(played.status().as_u16(), 206);
    assert_eq!(played.headers()["content-range"], "bytes 2-4/7");
    assert_eq!(played.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(played.headers()[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("Content-Range"));
    assert_eq!(played.text().await.unwrap(), "nte");
}

#[tokio::test]
async fn a_copy_has_the_checksum_that_it_is_asked_for() {
    let local = start().await;
    put(&local.client, "a", "content").await;
    let copy = || {
        let copy = local.client.copy_object().bucket(BUCKET).key("a").copy_source(format!("{BUCKET}/a"));
        copy.metadata_directive(MetadataDirective::Replace)
    };
    let sha256 = |copied: CopyObjectOutput| copied.copy_object_result?.checksum_sha256;
    assert_eq!(sha256(copy().send().await.unwrap()), None);
    let asked = copy().checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    assert_eq!(sha256(asked).as_deref(), Some("7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="));
    assert_eq!(content(&local.client, "a").await, "content");
}

#[tokio::test]
async fn a_bucket_goes_only_when_it_is_empty_and_takes_nothing_before_it_exists() {
    let local = start().await;
    put(&local.client, "a/b.mp4", "content").await;
    let delete = || local.client.delete_bucket().bucket(BUCKET).send();
    assert_eq!(delete().await.unwrap_err().code(), Some("BucketNotEmpty"));
    assert_eq!(content(&local.client, "a/b.mp4").await, "content");
    local.client.delete_object().bucket(BUCKET).key("a/b.mp4").send().await.unwrap();
    delete().await.unwrap();
    let orphan = local.client.put_object().bucket(BUCKET).key("a").body(ByteStream::from_static(b"content"));
    assert_eq!(orphan.send().await.unwrap_err().code(), Some("NoSuchBucket"));
}

#[tokio::test]
async fn settings_that_only_an_account_needs_are_accepted() {
    let local = start().await;
    let open = PublicAccessBlockConfiguration::builder().block_public_acls(true).build();
    let block = local.client.put_public_access_block().bucket(BUCKET).public_access_block_configuration(open);
    block.send().await.unwrap();
    let rule = LifecycleRule::builder().status(ExpirationStatus::Enabled).build().unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let expire =
        local.client.put_bucket_lifecycle_configuration().bucket(BUCKET).lifecycle_configuration(rules);
    expire.send().await.unwrap();
    let tags =
        Tagging::builder().tag_set(Tag::builder().key("a").value("b").build().unwrap()).build().unwrap();
    local.client.put_bucket_tagging().bucket(BUCKET).tagging(tags).send().await.unwrap();
    let rule = CorsRule::builder().allowed_methods("GET").allowed_origins("*").build().unwrap();
    let rules = CorsConfiguration::builder().cors_rules(rule).build().unwrap();
    local.client.put_bucket_cors().bucket(BUCKET).cors_configuration(rules).send().await.unwrap();
}
