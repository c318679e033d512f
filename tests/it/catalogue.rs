//! Every model that can be ordered, ordered: by webhook and by polling alone.

use domain::catalog::{Catalog, Kind, Model};
use domain::id::JobId;
use domain::job::{Job, State};
use domain::provider::Provider;
use harness::World;
use reqwest::StatusCode;
use serde_json::json;

/// Orders a model by each of its routes' providers in turn; gives what became of each.
async fn make(world: &World, model: &Model) -> Vec<(Provider, Job)> {
    let mut made = Vec::new();
    for route in &model.routes {
        let image = route.endpoint.is_none().then_some("https://images.example/boat.png");
        let (duration_s, resolution, audio) = route.takes()[0];
        let ratios = if image.is_some() { &route.image_aspect_ratios } else { &route.aspect_ratios };
        let order = json!({
            "model": model.name, "prompt": "a paper boat", "image_url": image,
            "duration_s": duration_s, "resolution": resolution, "aspect_ratio": ratios.first(),
            "audio": model.defaults.audio.map(|_| audio), "provider": route.provider, "pin": true,
        });
        let answer = world.post_job(&order, &route.name()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}: {answer:?}", route.name());
        let id: JobId = answer.text("/id").parse().unwrap();
        made.push((route.provider, world.finish(&id).await));
    }
    made
}

async fn make_all(webhooks: bool) {
    let world = World::with(|options| options.webhooks = webhooks).await;
    for model in Catalog::for_providers(Provider::ALL).models() {
        for (provider, job) in make(&world, model).await {
            assert_eq!(job.state(), State::Succeeded, "{} at {provider}: {job:?}", model.name);
            assert_eq!(job.attempts().len(), 1, "{} at {provider}: {job:?}", model.name);
            let kind = &job.media().unwrap().content_type;
            let wanted = match model.kind {
                Kind::Video => "video/mp4",
                Kind::Image => "image/png",
            };
            assert_eq!(kind, wanted, "{} at {provider}", model.name);
        }
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_every_model_makes_its_media_by_webhook() {
    make_all(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_every_model_makes_its_media_by_polling_alone() {
    make_all(false).await;
}
