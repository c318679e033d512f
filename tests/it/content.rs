//! The files of jobs: read by range, looked at, deleted; how far a job is; pages of other origins.

use std::time::Duration;

use domain::catalog::Catalog;
use domain::id::JobId;
use domain::job::State;
use domain::provider::Provider;
use harness::{Answer, World};
use reqwest::{Client, Method};
use serde_json::json;
use shared::boot::Env;
use shared::store::keystore::Scope;

use crate::dialects::IMAGE;
use crate::uploads::{announced, ask};

async fn get(world: &World, path: &str) -> Answer {
    world.call(Method::GET, path, &[], None).await
}

async fn delete(world: &World, id: &JobId) -> Answer {
    world.call(Method::DELETE, &format!("/v1/jobs/{id}/media"), &[], None).await
}

async fn finished(world: &World, prompt: &str) -> JobId {
    let id = world.submit("pika-2.2", prompt, prompt).await;
    world.finish(&id).await;
    id
}

/// A player seeks, a download resumes: both by ranges, through the redirect and without the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_by_ranges_and_looked_at_through_its_redirect() {
    let world = World::new().await;
    let id = finished(&world, "a boat").await;
    let media = world.job(&id).await.media().unwrap().clone();
    let url = format!("{}/v1/jobs/{id}/content", world.stack.api_url);
    let key = format!("Bearer {}", world.key);
    let client = Client::builder().no_proxy().build().unwrap();
    let read = async |method: Method, range: &str| {
        let request = client.request(method, &url).header("authorization", &key);
        let request = if range.is_empty() { request } else { request.header("range", range) };
        let answer = request.send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, range, length) =
            (answer.status().as_u16(), header("content-range"), header("content-length"));
        assert_eq!(
            (status, header("content-type")),
            (status, if status < 300 { "video/mp4".to_owned() } else { header("content-type") })
        );
        (status, range, length, answer.bytes().await.unwrap())
    };
    let (status, _, length, whole) = read(Method::GET, "").await;
    assert_eq!((status, length, whole.len() as u64), (200, media.bytes.to_string(), media.bytes));
    for (range, part) in [
        ("bytes=0-7", &whole[..8]),
        ("bytes=100-", &whole[100..]),
        ("bytes=-5", &whole[whole.len() - 5..]),
        ("bytes=8-999999999", &whole[8..]),
    ] {
        let (status, shown, length, bytes) = read(Method::GET, range).await;
        assert_eq!((status, &bytes[..], length), (206, part, part.len().to_string()), "{range}");
        assert!(shown.starts_with("bytes ") && shown.ends_with(&format!("/{}", media.bytes)), "{shown}");
    }
    assert_eq!(read(Method::GET, &format!("bytes={}-", media.bytes)).await.0, 416);
    let (status, _, length, bytes) = read(Method::HEAD, "").await;
    assert_eq!((status, length, bytes.len()), (200, media.bytes.to_string(), 0));
    // A link is for its method alone.
    let link = world.call(Method::HEAD, &format!("/v1/jobs/{id}/content"), &[], None).await;
    let link = link.headers["location"].to_str().unwrap();
    assert_eq!(client.get(link).send().await.unwrap().status().as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_file_is_no_more_and_its_job_stays() {
    let world = World::new().await;
    let running = world.submit("pika-2.2", "a moat", "moat").await;
    let early = delete(&world, &running).await;
    assert_eq!((early.status.as_u16(), early.code()), (409, "not_finished"), "{early:?}");
    let id = finished(&world, "a boat").await;
    let media = world.job(&id).await.media().unwrap().clone();
    let link = get(&world, &format!("/v1/jobs/{id}")).await.text("/media/0/url").to_owned();
    let balance = world.balance().await;

    let foreign = world.new_key(&"acct_other".parse().unwrap(), vec![Scope::Write]).await;
    let reader = world.new_key(&world.account, vec![Scope::Read]).await;
    let path = format!("/v1/jobs/{id}/media");
    for (key, status) in [(foreign, 404), (reader, 403)] {
        let bearer = format!("Bearer {key}");
        let answer = world.call(Method::DELETE, &path, &[("authorization", &bearer)], None).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
    // Where a function dies, a repeat goes on.
    for k in 0.. {
        world.wire.reset();
        world.wire.crash_at(k, harness::Moment::After);
        let answer = delete(&world, &id).await;
        if !world.wire.is_spent() {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(k > 0, "a deletion has effects");
            break;
        }
    }
    world.wire.reset();
    let (one, other) = tokio::join!(delete(&world, &id), delete(&world, &id));
    assert_eq!((one.status.as_u16(), &one.body), (200, &other.body));
    assert_eq!((one.text("/status"), one.body.get("media")), ("succeeded", None), "{one:?}");
    let deleted_at = one.text("/media_deleted_at").to_owned();
    assert!(!deleted_at.is_empty());
    assert!(!world.books().await.objects.contains_key(&media.key));
    assert_eq!(reqwest::get(&link).await.unwrap().status().as_u16(), 404, "an earlier link");
    for method in [Method::GET, Method::HEAD] {
        let content = world.call(method, &format!("/v1/jobs/{id}/content"), &[], None).await;
        assert_eq!(content.status.as_u16(), 410, "{content:?}");
    }
    let job = get(&world, &format!("/v1/jobs/{id}")).await;
    assert_eq!((job.text("/media_deleted_at"), job.body.get("media")), (&*deleted_at, None), "{job:?}");
    // A job without a file has none to delete, and that is no error.
    let failed = finished(&world, "a goat [[sim: fail=content_policy]]").await;
    assert_eq!(delete(&world, &failed).await.status, 200);
    // The key of a deleted job's order makes no second one.
    assert_eq!(world.submit("pika-2.2", "a boat", "a boat").await, id);
    assert_eq!(world.balance().await, balance);
    world.finish(&running).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_video_is_not_ordered_again_by_its_key() {
    let world = World::new().await;
    let order = json!({"model": "pika-2.2", "prompt": "a boat"}).to_string();
    let create =
        async || world.call(Method::POST, "/v1/videos", &[("idempotency-key", "boat")], Some(&order)).await;
    let id: JobId = create().await.text("/id").parse().unwrap();
    world.finish(&id).await;
    assert_eq!(create().await.text("/status"), "completed");
    let balance = world.balance().await;
    assert_eq!(world.call(Method::DELETE, &format!("/v1/videos/{id}"), &[], None).await.status, 200);
    let again = create().await;
    assert_eq!(
        (again.status.as_u16(), again.body["error"]["code"].as_str()),
        (409, Some("video_deleted")),
        "{again:?}"
    );
    assert_eq!(again.headers["x-should-retry"], "false");
    assert!(again.body["error"]["message"].as_str().unwrap().contains(id.as_str()), "{again:?}");
    assert_eq!(world.balance().await, balance);
    // The job is still there for our own dialect.
    let native = world.submit("pika-2.2", "a boat", "boat").await;
    assert_eq!(native, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_rises_with_the_usual_time_and_ends_at_100_for_a_success_alone() {
    let world = World::new().await;
    let expected = Catalog::for_providers(Provider::ALL).model("pika-2.2").unwrap().expected_s;
    for (prompt, end) in
        [("a boat", State::Succeeded), ("a goat [[sim: fail=content_policy]]", State::Failed)]
    {
        let made = world.post_job(&json!({"model": "pika-2.2", "prompt": prompt}), prompt).await;
        let id: JobId = made.text("/id").parse().unwrap();
        assert_eq!(
            (&made.body["progress"], &made.body["expected_s"]),
            (&json!(0), &json!(expected)),
            "{made:?}"
        );
        world.drain().await;
        let (mut last, mut seen) = (0, Vec::new());
        for _ in 0..5 {
            let job = get(&world, &format!("/v1/jobs/{id}")).await;
            let progress = job.body["progress"].as_u64().unwrap();
            assert!(progress >= last && progress < 100, "{job:?}");
            seen.push(progress);
            last = progress;
            world.clock.advance(Duration::from_secs(u64::from(expected) / 10 + 1));
        }
        assert!(last > seen[0], "{seen:?}");
        assert_eq!(world.finish(&id).await.state(), end);
        let ended = get(&world, &format!("/v1/jobs/{id}")).await.body["progress"].as_u64().unwrap();
        assert!(ended >= last && (ended == 100) == (end == State::Succeeded), "{ended}");
        world.clock.advance(Duration::from_secs(3_600));
        let listed = get(&world, "/v1/jobs?limit=1").await;
        assert_eq!(listed.body["jobs"][0]["progress"], ended, "an ended job stands still");
        let deleted = world.call(Method::DELETE, &format!("/v1/jobs/{id}/media"), &[], None).await;
        assert_eq!(deleted.status, 200, "{deleted:?}");
        let shown = get(&world, &format!("/v1/jobs/{id}")).await;
        assert!(shown.body["updated_at"] != listed.body["jobs"][0]["updated_at"], "it is a move: {shown:?}");
        assert_eq!(shown.body["progress"], ended, "which is not its end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_of_the_named_origins_may_call_the_api_and_post_uploads() {
    const PAGE: &str = "https://app.example.com";
    let named = |options: &mut local::stack::Options| {
        options.env = Env::from_pairs([("CORS_ORIGINS", "https://app.example.com,http://localhost:3000")]);
    };
    let (open, closed) = (World::with(named).await, World::new().await);
    let client = Client::builder().no_proxy().build().unwrap();
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let preflight = async |url: String, origin: &str, method: &str| {
        let asked = client.request(Method::OPTIONS, url).header("origin", origin);
        let asked = asked.header("access-control-request-method", method);
        asked.header("access-control-request-headers", "authorization,idempotency-key").send().await.unwrap()
    };
    let jobs = |world: &World| format!("{}/v1/jobs", world.stack.api_url);
    for (origin, is_allowed) in
        [(PAGE, true), ("http://localhost:3000", true), ("https://evil.example", false), ("null", false)]
    {
        let answer = preflight(jobs(&open), origin, "POST").await;
        assert_eq!(answer.status().as_u16(), 204, "{origin}");
        assert_eq!(
            header(&answer, "access-control-allow-origin") == origin,
            is_allowed,
            "{origin}: {answer:?}"
        );
        assert_eq!(
            header(&answer, "access-control-allow-headers").contains("idempotency-key"),
            is_allowed,
            "{origin}"
        );
        let body = json!({"model": "pika-2.2", "prompt": "a boat"}).to_string();
        let post = client.post(jobs(&open)).header("origin", origin).bearer_auth(&open.key).body(body);
        let posted = post.send().await.unwrap();
        assert_eq!(posted.status().as_u16(), if is_allowed { 202 } else { 403 }, "{origin}");
        assert_eq!(header(&posted, "access-control-allow-origin") == origin, is_allowed, "{origin}");
        assert_eq!(
            header(&posted, "access-control-expose-headers").contains("retry-after"),
            is_allowed,
            "{origin}"
        );
    }
    // Without the parameter, no page may.
    assert_eq!(header(&preflight(jobs(&closed), PAGE, "POST").await, "access-control-allow-origin"), "");

    for (world, is_allowed) in [(&open, true), (&closed, false)] {
        let form = ask(world, &[], &announced(IMAGE)).await;
        let asked = preflight(form.text("/url").to_owned(), PAGE, "POST").await;
        assert_eq!(asked.status().is_success(), is_allowed, "{asked:?}");
        assert_eq!(header(&asked, "access-control-allow-origin") == PAGE, is_allowed, "{asked:?}");
        // Files are read with a link alone, by pages of any origin: a redirect hides the page's own.
        let read = preflight(form.text("/url").to_owned(), "null", "GET").await;
        assert_eq!(header(&read, "access-control-allow-origin"), "*");
    }
}

/// By a CDN of the operator, which gets the link or the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_shows_the_variants_that_the_operator_has() {
    let templates = "poster=https://img.example.com/frame/{url} preview=https://cdn.example.com/{key}";
    let world = World::with(|options| options.env = Env::from_pairs([("MEDIA_VARIANTS", templates)])).await;
    let id = finished(&world, "a boat").await;
    let job = get(&world, &format!("/v1/jobs/{id}")).await;
    let media = &job.body["media"][0];
    let encoded: String =
        url::form_urlencoded::byte_serialize(media["url"].as_str().unwrap().as_bytes()).collect();
    let key = world.job(&id).await.media().unwrap().key.clone();
    let poster = format!("https://img.example.com/frame/{encoded}");
    assert_eq!(
        media["variants"],
        json!({"poster": poster, "preview": format!("https://cdn.example.com/{key}")})
    );
    // In OpenAI's dialect they are variants of the content, a poster also by OpenAI's name.
    for (name, prefix) in [
        ("video", "http://127.0.0.1"),
        ("poster", "https://img.example.com/frame/http"),
        ("thumbnail", "https://img.example.com/frame/http"),
        ("preview", &*format!("https://cdn.example.com/{key}")),
    ] {
        let answer = get(&world, &format!("/v1/videos/{id}/content?variant={name}")).await;
        let location = answer.headers["location"].to_str().unwrap();
        assert!(answer.status == 302 && location.starts_with(prefix), "{name}: {location}");
    }
    let refused = get(&world, &format!("/v1/videos/{id}/content?variant=spritesheet")).await;
    assert_eq!((refused.status.as_u16(), refused.text("/error/param")), (400, "variant"), "{refused:?}");
    assert!(
        refused.text("/error/message").contains("allowed: video, poster, preview, thumbnail"),
        "{refused:?}"
    );
}

/// The document names every header of an answer to a key.
#[tokio::test]
async fn a_page_may_read_every_header_that_the_document_has() {
    let named = |options: &mut local::stack::Options| options.env = Env::from_pairs([("CORS_ORIGINS", "*")]);
    let world = World::with(named).await;
    let document = get(&world, "/openapi.json").await.body;
    let cors = world.stack.host.template().cors.clone().unwrap();
    for path in document["paths"].as_object().unwrap().values() {
        for operation in
            path.as_object().unwrap().values().filter(|it| it.is_object() && it.get("security").is_none())
        {
            for response in operation["responses"].as_object().unwrap().values() {
                let at = response["$ref"].as_str().map(|at| at.trim_start_matches('#'));
                let response = at.map_or(response, |at| document.pointer(at).unwrap());
                for name in
                    response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase())
                {
                    // These any page may read.
                    let is_simple = ["cache-control", "content-type"].contains(&&*name);
                    assert!(is_simple || cors.expose_headers.contains(&name), "{name}");
                }
            }
        }
    }
}
