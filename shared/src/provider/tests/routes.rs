//! The catalogue against the adapters: what a route promises, its adapter can say.

use std::collections::BTreeSet;

use super::fixtures::picture;
use crate::provider::adapter::Settings;
use crate::provider::adapters::adapter;
use crate::provider::call::Call;
use crate::provider::order::CreateOrder;
use crate::provider::unspoken;
use domain::catalog::{Audio, Catalog, Model, Route};
use domain::provider::Provider;
use domain::public_url::{PublicUrl, Reach};
use domain::request::JobRequest;

fn picture_url(name: &str) -> PublicUrl {
    PublicUrl::parse(&format!("https://images.example/{name}.png"), Reach::Public).unwrap()
}

/// Every order that a route takes, but for the texts in it, one choice at a time.
fn orders(model: &Model, route: &Route) -> Vec<JobRequest> {
    let mut all = Vec::new();
    let images = [(route.endpoint.is_some(), None), (route.image_endpoint.is_some(), Some("a"))];
    for (_, image) in images.into_iter().filter(|(possible, _)| *possible) {
        let ratios = if image.is_some() { &route.image_aspect_ratios } else { &route.aspect_ratios };
        let follows = ratios.is_empty().then_some(None);
        for (duration_s, resolution, audio) in route.takes() {
            for aspect_ratio in ratios.iter().cloned().map(Some).chain(follows.clone()) {
                let plain = JobRequest {
                    model: model.name.clone(),
                    prompt: "a boat".to_owned(),
                    image_url: image.map(picture_url),
                    duration_s,
                    aspect_ratio,
                    resolution: resolution.to_owned(),
                    audio: (route.audio != Audio::Never).then_some(audio),
                    ..JobRequest::default()
                };
                let last = Some(picture_url("z"));
                let variants = [
                    (route.seed, JobRequest { seed: Some(7), ..plain.clone() }),
                    (
                        route.negative_prompt,
                        JobRequest { negative_prompt: Some("rain".to_owned()), ..plain.clone() },
                    ),
                    (
                        route.last_frame && image.is_some(),
                        JobRequest { last_frame_url: last, ..plain.clone() },
                    ),
                    (true, plain),
                ];
                all.extend(variants.into_iter().filter(|(possible, _)| *possible).map(|(_, order)| order));
            }
        }
    }
    all
}

fn settings(provider: Provider) -> Settings {
    let settings = adapter(provider).setup().settings.iter();
    settings.map(|(name, default)| (*name, default.unwrap_or("gs://bucket/x").to_owned())).collect()
}

fn call(route: &Route, request: &JobRequest) -> Option<Call> {
    let image = picture("image");
    let order = CreateOrder {
        request,
        route,
        callback: None,
        reference: "job_a.1",
        image: request.image_url.as_ref().map(|_| &image),
        last_frame: request.last_frame_url.as_ref().map(|_| &image),
    };
    adapter(route.provider).create(&order, &settings(route.provider))
}

#[test]
fn every_choice_that_a_route_offers_reaches_its_provider() {
    let catalog = Catalog::for_providers(Provider::ALL);
    assert_eq!(unspoken(&catalog), Vec::<String>::new());
    for model in catalog.models() {
        for route in &model.routes {
            let mut said = BTreeSet::new();
            for request in orders(model, route) {
                assert!(request.fits(route), "{}: {request:?}", route.name());
                let call = call(route, &request);
                let call = call.unwrap_or_else(|| panic!("{} cannot say {request:?}", route.name()));
                let text = format!("{} {:?}", call.path_and_query, call.body);
                assert!(said.insert(text), "{} says two orders alike: {request:?}", route.name());
            }
        }
    }
}

/// An owner may write any endpoint: one that no call can be built for is refused at the start.
#[test]
fn every_order_of_an_endpoint_that_passes_the_check_becomes_a_call() {
    let (catalog, mut refused) = (Catalog::for_providers(Provider::ALL), BTreeSet::new());
    for model in catalog.models() {
        for (route, name) in
            model.routes.iter().flat_map(|route| ["a", "a/b", "a/b/c", "a/b:c"].map(|name| (route, name)))
        {
            let mut other = route.clone();
            let endpoints = [&mut other.endpoint, &mut other.image_endpoint, &mut other.last_frame_endpoint];
            endpoints.into_iter().flatten().for_each(|endpoint| name.clone_into(endpoint));
            if adapter(route.provider).check_route(&other).is_err() {
                refused.insert((route.provider.name(), name));
                continue;
            }
            for request in orders(model, &other) {
                assert!(call(&other, &request).is_some(), "{} {request:?}", other.name());
            }
        }
    }
    for endpoint in [("fal", "a"), ("replicate", "a"), ("replicate", "a/b/c"), ("kling_legacy", "a")] {
        assert!(refused.contains(&endpoint), "{endpoint:?}: {refused:?}");
    }
}

#[test]
fn only_fal_and_replicate_have_inputs_of_many_forms() {
    let catalog = Catalog::for_providers(Provider::ALL);
    for route in catalog.models().flat_map(|model| &model.routes) {
        let mut other = route.clone();
        other.fields.prompt = Some("text".to_owned());
        let has_many = [Provider::Fal, Provider::Replicate].contains(&route.provider);
        assert_eq!(adapter(route.provider).check_route(&other).is_ok(), has_many, "{}", route.name());
    }
}
