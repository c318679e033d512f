//! An owner's own catalogue: models that no line of code knows, made at fal and Replicate.

use std::time::Duration;

use domain::credit::MicroUsd;
use domain::job::State;
use domain::provider::Provider;
use domain::time::Timestamp;
use harness::World;
use local::stack::start_function;
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::boot::{Env, Process};
use shared::store::own_catalog::OwnCatalog;
use sim::CallKind;

use crate::documents::root;

const DAY: Duration = Duration::from_secs(86_400);

/// The examples of the page on catalogues, as one file.
fn examples() -> String {
    let page = std::fs::read_to_string(root().join("docs/catalogue.md")).unwrap();
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 4, "the page has four worked examples");
    blocks.concat()
}

async fn world(own: String, webhooks: bool) -> World {
    World::with(|options| (options.catalog, options.webhooks) = (Some(own), webhooks)).await
}

async fn made_with_cost(webhooks: bool) {
    let world = world(examples(), webhooks).await;
    let before = world.balance().await;
    let video = world.submit("paper-boat-1", "a paper boat", "video").await;
    let image = world.submit("ink-2", "a paper boat", "image").await;
    for (id, kind) in [(&video, "video/mp4"), (&image, "image/png")] {
        let job = world.finish(id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
        assert_eq!(job.media().unwrap().content_type, kind);
    }
    let notified = world.stack.simulators[&Provider::Fal].remote_jobs().unwrap();
    assert_eq!(notified[0].webhook_url.is_some(), webhooks);
    // 5 s at $0.08, and one image at $0.04.
    assert_eq!(world.audit().await.cost, MicroUsd(5 * 80_000 + 40_000));
    // 5 s at 10 credits, and one image at 5.
    let charged = before.micros() - world.balance().await.micros();
    assert_eq!(charged, 55_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_only_a_file_names_is_made_by_webhook_and_its_cost_is_audited() {
    made_with_cost(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_only_a_file_names_is_made_by_polling_and_its_cost_is_audited() {
    made_with_cost(false).await;
}

/// A lost create answer is looked up by the same input that was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_of_an_own_route_is_found_again() {
    let world = world(examples(), true).await;
    world.simulator(Provider::Fal).cut(CallKind::Create, sim::Fault::DropAfter);
    let id = world.submit("paper-boat-1", "a paper boat", "lost").await;
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    assert_eq!(world.calls(Provider::Fal, CallKind::Create), 1);
    world.audit().await;
}

/// A list of Replicate shows model and version apart, an order names both in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_of_a_version_of_a_model_is_found_again() {
    let own = examples().replace("\"example/ink-2\"", "\"example/ink-2:0f1e2d3c\"");
    let world = world(own, true).await;
    world.simulator(Provider::Replicate).cut(CallKind::Create, sim::Fault::DropAfter);
    let id = world.submit("ink-2", "a paper boat", "lost").await;
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    assert_eq!(world.calls(Provider::Replicate, CallKind::Create), 1);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_routes_and_models_are_those_of_the_file() {
    let world = world(examples(), true).await;
    let models = world.call(Method::GET, "/v1/models", &[], None).await;
    let of =
        |name: &str| models.body["models"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    let veo = of("veo-3.1-fast").unwrap();
    assert_eq!(veo["price"]["720p"]["micro_credits_per_s"], 15_000_000);
    let routes = veo["routes"].as_array().unwrap();
    assert!(routes.len() > 1 && routes.iter().all(|route| route["provider"] != "runway"), "{routes:?}");
    assert_eq!(of("gen-4-turbo").unwrap()["ends"], "2027-03-01");
    assert!(of("pika-2.2").is_none());
    let refused = world.post_job(&json!({"model": "pika-2.2", "prompt": "a"}), "retired").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["errors"][0]["allowed"], json!(["kling-3.0"]));

    let videos = world.call(Method::GET, "/v1/videos/models", &[], None).await;
    let videos = videos.body["data"].as_array().unwrap();
    let boat = videos.iter().find(|it| it["id"] == "paper-boat-1").unwrap();
    assert_eq!(boat["supported_durations"], json!([5, 10]));
    assert_eq!(boat["supported_frame_images"], json!(["first_frame"]));
    assert_eq!(boat["pricing_skus"], json!({"per_second_720p": "0.1"}));
    assert!(videos.iter().all(|it| it["id"] != "ink-2"), "images are not among them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_warned_of_the_end_of_a_model_and_then_refused() {
    let world = world(examples(), true).await;
    let end = Timestamp::of_day("2027-03-01").unwrap();
    let order = json!({"model": "gen-4-turbo", "prompt": "a", "image_url": "https://a.example/b.png"});
    let at = |time: Timestamp| world.clock.advance(time.since(world.clock.now()));

    let early = world.post_job(&order, "early").await;
    assert_eq!(early.status, StatusCode::ACCEPTED, "{early:?}");
    assert!(!early.headers.contains_key("sunset"));
    at(end.minus(DAY));
    let warned = world.post_job(&order, "late").await;
    assert_eq!(warned.status, StatusCode::ACCEPTED);
    let id = warned.text("/id").parse().unwrap();
    for answer in [&warned, &world.status(&id).await, &world.cancel(&id).await] {
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("sunset"), "Mon, 01 Mar 2027 00:00:00 GMT");
        assert_eq!(header("deprecation"), format!("@{}", end.minus(60 * DAY).as_secs()));
    }
    at(end);
    let refused = world.post_job(&order, "too late").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = "has been retired since 2027-03-01: it has reached its last day";
    assert_eq!(refused.body["errors"][0]["detail"], detail);
    let models = world.call(Method::GET, "/v1/models", &[], None).await.body;
    let names =
        |list: &str| models[list].as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
    assert!(
        names("retired").contains(&json!("gen-4-turbo")) && !names("models").contains(&json!("gen-4-turbo"))
    );
    assert_eq!(refused.body["errors"][0]["allowed"], json!(["gen-4.5"]));
    // A repeat finds its job all the same.
    let again = world.post_job(&order, "late").await;
    assert_eq!((again.status, again.text("/id")), (StatusCode::ACCEPTED, warned.text("/id")));
}

/// Every function that reads the catalogue names every mistake, and does not start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_stops_the_start_and_is_named_with_its_line() {
    let world = world(examples(), true).await;
    let own =
        examples().replace("prompt_max = 4_000", "prompt_max = \"long\"").replace("seed = true", "sed = 1");
    let bucket = world.operator.env.get("MEDIA_BUCKET").unwrap().to_owned();
    OwnCatalog::new(world.operator.s3(), &bucket, "config/bad").write(&own).await.unwrap();
    let start = async |function: &str, address: &str| {
        let spec = &world.stack.host.template().functions[function];
        let endpoints = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"];
        let endpoints =
            endpoints.map(|name| (name.to_owned(), world.operator.env.get(name).unwrap().to_owned()));
        let secrets = ("SECRETS".to_owned(), String::new());
        let catalog = ("CATALOG".to_owned(), address.to_owned());
        let own = spec.environment.clone().into_iter().chain(endpoints).chain([secrets, catalog]);
        let process = Process { env: Env::from_pairs(own), ..world.operator.clone() };
        match process.with_references().await {
            Ok(process) => start_function(function, &process).err().map(|error| format!("{error:#}")),
            Err(error) => Some(format!("{error:?}")),
        }
    };
    let good = format!("s3://{bucket}/{}", OwnCatalog::key_of(&examples()));
    assert_eq!(start("submit", &good).await, None);
    for function in ["submit", "cancel", "reconcile"] {
        let wrong = start(function, &format!("s3://{bucket}/config/bad")).await.unwrap();
        let [boat, ink] = [
            "model `paper-boat-1`, route `fal/example/paper-boat/text-to-video`: sed: unknown field `sed`",
            "model `ink-2`, route `replicate/example/ink-2`: prompt_max: invalid type: string \"long\"",
        ];
        assert!(wrong.contains(boat) && wrong.contains(ink) && wrong.contains("CATALOG, line "), "{wrong}");
    }
    // What is well written, and no call can be built for.
    let unspoken = examples().replace("\"example/paper-boat/image-to-video\"", "\"paper-boat\"");
    OwnCatalog::new(world.operator.s3(), &bucket, "config/unspoken").write(&unspoken).await.unwrap();
    let wrong = start("submit", &format!("s3://{bucket}/config/unspoken")).await.unwrap();
    let boat = "CATALOG, model `paper-boat-1`, route `fal/example/paper-boat/text-to-video`: an endpoint of fal is `owner/app` or longer";
    assert!(wrong.contains(boat), "{wrong}");
    let nothing = start("submit", &format!("s3://{bucket}/config/nothing")).await.unwrap();
    assert!(
        nothing.contains(&format!("the catalogue at s3://{bucket}/config/nothing cannot be read")),
        "{nothing}"
    );
    let no_address = start("submit", "config/catalog").await.unwrap();
    assert!(no_address.contains("CATALOG must be s3://BUCKET/KEY"), "{no_address}");
}
