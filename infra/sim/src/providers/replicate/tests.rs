use std::time::Duration;

use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Replicate,
    wire: &super::Replicate,
    headers: &[("Authorization", "Bearer r8_secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, text(&job["urls"], "get")),
    word: "/status",
    words: ["starting", "processing", "succeeded"],
    video: |bench, job| {
        async move { text(&bench.get(text(&job["urls"], "get")).await.1, "output").to_owned() }.boxed()
    },
};

const PREDICTIONS: &str = "/v1/predictions";
const VEO: &str = "google/veo-3.1";

fn make(bench: &Bench, prompt: &str, callback: Option<&str>) -> RequestBuilder {
    let mut body = json!({"version": VEO, "input": {"prompt": prompt, "duration": 4}});
    if let Some(url) = callback {
        body["webhook"] = json!(url);
        body["webhook_events_filter"] = json!(["completed"]);
    }
    bench.call(Method::POST, PREDICTIONS).json(&body)
}

async fn look(bench: &Bench, job: &Value) -> Value {
    let (code, answer) = bench.get(&format!("{PREDICTIONS}/{}", text(job, "id"))).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_prediction_starts_runs_and_gives_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    assert_eq!((text(&job, "id").len(), &job["status"]), (26, &json!("starting")));
    assert_eq!(
        (&job["version"], &job["model"], &job["output"]),
        (&json!("hidden"), &json!(VEO), &Value::Null)
    );
    assert_eq!(job["input"], json!({"prompt": "a boat", "duration": 4}));
    assert_eq!(job["deadline"], Value::Null);
    bench.wait(30);
    assert_eq!(look(&bench, &job).await["status"], "processing");
    bench.wait(30);
    let answer = look(&bench, &job).await;
    assert_eq!((&answer["status"], &answer["data_removed"]), (&json!("succeeded"), &json!(false)));
    assert_eq!(answer["output"], json!(format!("{}/media/{}.mp4", bench.base, text(&job, "id"))));
    assert_eq!(answer["completed_at"], "2023-11-14T22:14:20.000Z");
}

#[tokio::test]
async fn an_output_is_a_text_a_list_or_an_object() {
    let bench = Bench::of(&CLIENT).await;
    for (shape, pointer) in [("string", ""), ("list", "/0"), ("object", "/video/url")] {
        let job = bench.create(&format!("a [[sim: output={shape}]]")).await;
        bench.wait(60);
        let answer = look(&bench, &job).await;
        let url = answer["output"].pointer(pointer).unwrap().as_str().unwrap();
        assert!(url.ends_with(".mp4"), "{shape}: {answer}");
    }
    let input = json!({"prompt": "a boat", "output_format": "png"});
    for (model, pointer) in [("stable-diffusion-3.5-large", "/0"), ("stable-diffusion-3.5-large-turbo", "")] {
        let body = json!({"version": format!("stability-ai/{model}"), "input": input});
        let (code, job) = bench.post(PREDICTIONS, &body).await;
        assert_eq!(code, 201, "{job}");
        bench.wait(60);
        let answer = look(&bench, &job).await;
        assert!(answer["output"].pointer(pointer).unwrap().as_str().unwrap().ends_with(".png"), "{answer}");
    }
}

#[tokio::test]
async fn an_hour_after_the_end_its_data_are_gone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    bench.wait(60 + 3_599);
    assert_eq!(look(&bench, &job).await["data_removed"], false);
    bench.wait(1);
    let answer = look(&bench, &job).await;
    assert_eq!((&answer["status"], &answer["data_removed"]), (&json!("succeeded"), &json!(true)));
    assert_eq!((&answer["output"], &answer["input"]), (&Value::Null, &json!({})));
    let early = bench.create("a [[sim: result=404]]").await;
    let none = bench.create("a [[sim: result=422]]").await;
    bench.wait(60);
    assert_eq!(look(&bench, &early).await["data_removed"], true);
    let answer = look(&bench, &none).await;
    assert_eq!((&answer["data_removed"], &answer["output"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_run_fails_in_the_words_of_its_model() {
    let bench = Bench::of(&CLIENT).await;
    for (play, words) in [
        ("content_policy", "flagged as sensitive"),
        ("internal", "(E9828)"),
        ("invalid", "image"),
        ("no_code", "went wrong"),
    ] {
        let job = bench.create(&format!("a [[sim: fail={play}]]")).await;
        bench.wait(60);
        let answer = look(&bench, &job).await;
        assert_eq!((&answer["status"], &answer["output"]), (&json!("failed"), &Value::Null));
        assert!(text(&answer, "error").contains(words), "{answer}");
    }
}

#[tokio::test]
async fn a_deadline_stops_a_run_before_it_began_or_in_the_middle() {
    let bench = Bench::of(&CLIENT).await;
    for (prompt, after, status) in [
        ("a", "30s", "canceled"),
        ("a [[sim: throttled=40]]", "30", "aborted"),
        ("a [[sim: throttled=20]]", "0h1m", "canceled"),
        ("a", "1h30m", "succeeded"),
        ("a [[sim: ended=aborted]]", "1h", "aborted"),
        ("a [[sim: ended=deadline]]", "1h", "canceled"),
    ] {
        let call = make(&bench, prompt, None).header("Cancel-After", after);
        let (code, job) = read(call.send().await.unwrap()).await;
        assert_eq!(code, 201, "{job}");
        bench.wait(80);
        let answer = look(&bench, &job).await;
        assert_eq!(answer["status"], status, "{prompt} {after}");
        let at_deadline = answer["completed_at"] == answer["deadline"];
        assert_eq!(at_deadline, status != "succeeded", "{answer}");
    }
    for after in ["4", "soon", "1x", "", "5m3"] {
        let call = make(&bench, "a", None).header("Cancel-After", after);
        let (code, body) = read(call.send().await.unwrap()).await;
        assert_eq!(code, 422, "{after}: {body}");
    }
}

#[tokio::test]
async fn it_refuses_in_its_own_words() {
    let bench = Bench::of(&CLIENT).await;
    for (play, code) in [
        ("401", 401),
        ("403-balance", 402),
        ("422", 422),
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("policy", 422),
    ] {
        let prompt = format!("a [[sim: create=refuse:{play}]]");
        let (status, body) = read(make(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!((status, body["detail"].is_string(), &body["status"]), (code, true, &json!(code)));
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_order_is_refused_by_name() {
    let bench = Bench::of(&CLIENT).await;
    let good = json!({"version": VEO, "input": {"prompt": "a"}});
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        body
    };
    for (body, words) in [
        (json!([]), "body:"),
        (json!({"input": {"prompt": "a"}}), "version: is required"),
        (json!({"version": VEO}), "input: is required"),
        (with("/version", json!("unknown/unknown")), "version does not exist"),
        (with("/input", json!({})), "input.prompt: is required"),
        (with("/input/duration", json!("8s")), "input.duration: must be one of"),
        (with("/input/duration", json!(7)), "input.duration: must be one of"),
        (with("/input/resolution", json!("480p")), "input.resolution"),
        (with("/input/image", json!("boat.png")), "input.image: Does not match format"),
        (with("/input/generate_audio", json!("yes")), "input.generate_audio: Invalid type"),
        (with("/webhook", json!("ftp://a/b")), "webhook: Does not match format"),
        (with("/webhook_events_filter", json!(["ended"])), "webhook_events_filter"),
        (with("/input/prompt", json!("a [[sim: output=film]]")), "unknown directive output=film"),
    ] {
        let (code, answer) = bench.post(PREDICTIONS, &body).await;
        assert_eq!(code, 422, "{body}: {answer}");
        assert!(text(&answer, "detail").contains(words), "{body}: {answer}");
    }
    assert_eq!(bench.post("/v1/models/unknown/unknown/predictions", &good).await.0, 404);
    assert_eq!(bench.post(&format!("/v1/models/{VEO}/predictions"), &good).await.0, 201);
}

#[tokio::test]
async fn it_is_canceled_while_it_runs_and_reports_it() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    bench.wait(20);
    let (code, answer) = bench.post(&format!("{PREDICTIONS}/{}/cancel", text(&job, "id")), &json!({})).await;
    assert_eq!((code, &answer["status"]), (200, &json!("canceled")));
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    assert_eq!(receiver.bodies()[0]["status"], "canceled");

    let done = bench.create("a boat").await;
    bench.wait(60);
    let (code, answer) = bench.post(&format!("{PREDICTIONS}/{}/cancel", text(&done, "id")), &json!({})).await;
    assert_eq!((code, &answer["status"]), (200, &json!("succeeded")));
    let ignored = bench.create("a [[sim: cancel=ignored]]").await;
    bench.post(&format!("{PREDICTIONS}/{}/cancel", text(&ignored, "id")), &json!({})).await;
    bench.wait(60);
    assert_eq!(look(&bench, &ignored).await["status"], "succeeded");
    assert_eq!(bench.post(&format!("{PREDICTIONS}/none/cancel"), &json!({})).await.0, 404);
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
}

#[tokio::test]
async fn its_end_is_reported_and_signed_with_its_published_secret() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    bench.wait(59);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    bench.wait(1);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    let (headers, body) = receiver.payloads().remove(0);
    let value = |name: &str| headers[name].to_str().unwrap().to_owned();
    let at = Timestamp::from_secs(value("webhook-timestamp").parse().unwrap());
    let expected =
        bench.simulator.webhook_secret().headers(&value("webhook-id"), at, str::from_utf8(&body).unwrap());
    assert_eq!(value("webhook-signature"), expected[2].1);
    assert_eq!(receiver.bodies()[0], look(&bench, &job).await);
    let (code, secret) = bench.get("/v1/webhooks/default/secret").await;
    assert_eq!((code, text(&secret, "key")), (200, &*bench.simulator.webhook_secret().expose()));
}

#[tokio::test]
async fn without_a_filter_the_start_is_reported_too() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let body = json!({"version": VEO, "input": {"prompt": "a"}, "webhook": receiver.url});
    assert_eq!(bench.post(PREDICTIONS, &body).await.0, 201);
    while let Some(due) = bench.simulator.next_due().unwrap() {
        bench.clock.advance(due.since(bench.clock.now()));
        bench.simulator.deliver_due().await.unwrap();
    }
    let answer: Vec<_> = receiver.bodies().iter().map(|body| text(body, "status").to_owned()).collect();
    assert_eq!(answer, ["processing", "succeeded"]);
}

#[tokio::test]
async fn the_list_is_newest_first_within_its_bounds_and_in_pages() {
    let bench = Bench::of(&CLIENT).await;
    for n in 0..101 {
        bench.create(&format!("boat {n}")).await;
        bench.clock.advance(Duration::from_secs(1));
    }
    let (code, list) = bench.get(PREDICTIONS).await;
    assert_eq!((code, list["results"].as_array().unwrap().len()), (200, 100));
    assert_eq!(list["results"][0]["input"]["prompt"], "boat 100");
    let (_, rest) = bench.get(text(&list, "next")).await;
    assert_eq!((rest["results"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(rest["results"][0]["input"]["prompt"], "boat 0");
    let bounds = "created_after=2023-11-14T22:13:25Z&created_before=2023-11-14T22:13:27Z";
    let (_, some) = bench.get(&format!("{PREDICTIONS}?{bounds}")).await;
    let prompts: Vec<_> =
        some["results"].as_array().unwrap().iter().map(|job| &job["input"]["prompt"]).collect();
    assert_eq!(prompts, ["boat 6", "boat 5"]);
    assert_eq!(bench.get(&format!("{PREDICTIONS}?created_after=then")).await.0, 422);
}

#[tokio::test]
async fn every_call_needs_the_key_and_is_known_for_what_it_is() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a").await;
    let id = text(&job, "id").to_owned();
    let calls = [
        (Method::GET, PREDICTIONS.to_owned(), CallKind::LookUp),
        (Method::GET, format!("{PREDICTIONS}/{id}"), CallKind::Poll),
        (Method::POST, format!("{PREDICTIONS}/{id}/cancel"), CallKind::Cancel),
        (Method::GET, "/v1/account".to_owned(), CallKind::Ping),
        (Method::GET, "/v1/webhooks/default/secret".to_owned(), CallKind::Keys),
        (Method::GET, "/v1/predictions/none/other".to_owned(), CallKind::Poll),
        (Method::DELETE, PREDICTIONS.to_owned(), CallKind::Other),
        (Method::GET, "/predictions".to_owned(), CallKind::Other),
    ];
    for (method, path, kind) in calls {
        let refused =
            bench.http.request(method.clone(), format!("{}{path}", bench.base)).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        let call = bench.simulator.calls().pop().unwrap();
        assert_eq!((call.kind, call.authorized), (kind, false), "{method} {path}");
    }
    assert_eq!(bench.get("/v1/predictions/none").await.0, 404);
    let (code, account) = bench.get("/v1/account").await;
    assert_eq!((code, account["username"].is_string()), (200, true));
}
