//! Choice of the first route and of the next.

use ErrorClass::{Auth, InsufficientFunds, ProviderUnavailable, RateLimited};
use Health::{Degraded, Down, Healthy};
use Phase::{Broke, NotSent, Refused};
use Provider::{Fal, Runway};

use std::collections::BTreeMap;

use super::*;
use crate::attempt::Attempt;
use crate::credit::Credits;
use crate::id::JobId;

use crate::time::Timestamp;
use crate::verdict::{Billed, Fault};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Model `boat`: at fal cheap, at fal dear, at Runway in between; its fallback `ship` at both.
fn catalog() -> Catalog {
    let route = |provider: &str, endpoint: &str, cost: u32, prompt_max: u32| {
        format!(
            r#"{{ provider = "{provider}", endpoint = "{endpoint}", durations_s = [5], aspect_ratios = ["16:9"],
            resolutions = ["720p"], prompt_max = {prompt_max}, cost = {{ "720p" = {{ per_second = {cost} }} }} }}"#
        )
        .replace('\n', " ")
    };
    let model = |name: &str, routes: &[String]| {
        format!(
            r#"[[models]]
            name = "{name}"
            title = "{name}"
            expected_s = 60
            defaults = {{ duration_s = 5, aspect_ratio = "16:9", resolution = "720p" }}
            price = {{ "720p" = {{ per_second = 1 }} }}
            routes = [{}]
            "#,
            routes.join(", ")
        )
    };
    let boat =
        [route("fal", "dear", 30, 1_000), route("fal", "cheap", 10, 10), route("runway", "mid", 20, 100)];
    let ship = [route("runway", "ship", 2, 1_000), route("fal", "ship", 1, 1_000)];
    Catalog::parse(&(model("boat", &boat) + &model("ship", &ship))).unwrap()
}

/// An order of `boat`, changed by these fields.
fn order(fields: serde_json::Value) -> JobRequest {
    let mut order = serde_json::json!({"model": "boat", "prompt": "a boat"});
    order.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    JobRequest::new(serde_json::from_value(order).unwrap(), &catalog()).unwrap()
}

/// A queued job whose attempts came to this.
fn job(attempts: &[(&str, Phase, ErrorClass)]) -> Job {
    let account = "acct_anna".parse().unwrap();
    let mut job =
        Job::new(JobId::from_bytes([1; 16]), account, "boat".to_owned(), Credits::ONE, String::new(), NOW);
    job.attempts = attempts
        .iter()
        .zip(1..)
        .map(|((route, phase, class), number)| Attempt {
            number,
            claim: 7,
            provider: route.split('/').next().unwrap().parse().unwrap(),
            route: (*route).to_owned(),
            phase: *phase,
            remote: None,
            cost: None,
            billed: Billed::No,
            fault: Some(Fault::new(*class, None, Billed::No)),
            started_at: NOW,
            ended_at: Some(NOW),
            key_mark: None,
            reports: false,
            stop_is_free: false,
            simulated: false,
            missing: None,
            wrong_since: None,
            rest: BTreeMap::new(),
        })
        .collect();
    job
}

fn chosen(job: &Job, request: &JobRequest, health: &[(Provider, Health)]) -> Result<String, NoRoute> {
    let standing = |health| Standing { health, ..Standing::default() };
    stood(job, request, &health.iter().map(|(provider, health)| (*provider, standing(*health))).collect())
}

fn stood(
    job: &Job,
    request: &JobRequest,
    standings: &BTreeMap<Provider, Standing>,
) -> Result<String, NoRoute> {
    choose(job, request, &catalog(), standings).map(Route::name)
}

/// The choice for a first attempt of this order.
fn first(fields: serde_json::Value, health: &[(Provider, Health)]) -> String {
    chosen(&job(&[]), &order(fields), health).unwrap()
}

/// The choice after attempts that came to this.
fn next(attempts: &[(&str, Phase, ErrorClass)], fields: serde_json::Value) -> Result<String, NoRoute> {
    chosen(&job(attempts), &order(fields), &[])
}

fn nothing() -> serde_json::Value {
    serde_json::json!({})
}

#[test]
fn all_else_equal_the_cheapest_is_taken() {
    assert_eq!(first(nothing(), &[]), "fal/cheap");
    assert_eq!(first(nothing(), &[(Fal, Healthy), (Runway, Healthy)]), "fal/cheap");
}

#[test]
fn an_incapable_route_is_not_taken_however_cheap_and_healthy() {
    let long = serde_json::json!({"prompt": "x".repeat(50)});
    assert_eq!(first(long.clone(), &[]), "runway/mid");
    assert_eq!(first(long, &[(Runway, Degraded)]), "fal/dear");
    let longer = serde_json::json!({"prompt": "x".repeat(500)});
    assert_eq!(first(longer, &[(Fal, Down)]), "fal/dear");
}

#[test]
fn a_healthy_provider_goes_before_a_preferred_and_a_preferred_before_a_cheap_one() {
    let runway = serde_json::json!({"provider": "runway"});
    assert_eq!(first(runway.clone(), &[]), "runway/mid");
    assert_eq!(first(runway.clone(), &[(Runway, Degraded)]), "fal/cheap");
    assert_eq!(first(runway, &[(Runway, Degraded), (Fal, Degraded)]), "runway/mid");
    assert_eq!(first(nothing(), &[(Fal, Degraded)]), "runway/mid");
}

#[test]
fn a_provider_that_looks_down_is_taken_last() {
    assert_eq!(first(nothing(), &[(Fal, Down), (Runway, Degraded)]), "runway/mid");
    assert_eq!(first(nothing(), &[(Fal, Down), (Runway, Down)]), "fal/cheap");
    // A fallback model that works goes before the model itself where that does not.
    let long = serde_json::json!({"prompt": "x".repeat(500), "fallback_models": ["ship"]});
    assert_eq!(first(long.clone(), &[(Fal, Degraded)]), "fal/dear");
    assert_eq!(first(long.clone(), &[(Fal, Down)]), "runway/ship");
    assert_eq!(first(long, &[(Fal, Down), (Runway, Down)]), "fal/dear");
}

#[test]
fn a_pin_allows_no_other_provider_whatever_its_health() {
    let pinned = serde_json::json!({"provider": "runway", "pin": true});
    assert_eq!(first(pinned.clone(), &[(Runway, Down)]), "runway/mid");
    let out_of_money = [("runway/mid", Refused, InsufficientFunds)];
    assert_eq!(next(&out_of_money, pinned), Err(NoRoute::Exhausted(InsufficientFunds)));
}

#[test]
fn a_key_that_fails_rules_out_its_provider_for_this_job() {
    for class in [Auth, InsufficientFunds] {
        assert_eq!(next(&[("fal/cheap", Refused, class)], nothing()), Ok("runway/mid".to_owned()));
    }
    // So does an unknown failure, or one that may have been billed.
    for class in [ErrorClass::Unknown, ErrorClass::Timeout, ErrorClass::Expired] {
        assert_eq!(next(&[("fal/cheap", Broke, class)], nothing()), Ok("runway/mid".to_owned()));
    }
}

#[test]
fn a_retry_goes_to_a_route_that_was_not_tried() {
    let mut tried = vec![];
    for expected in ["fal/cheap", "runway/mid", "fal/dear", "fal/cheap"] {
        assert_eq!(next(&tried, nothing()), Ok(expected.to_owned()));
        tried.push((expected, Refused, RateLimited));
    }
    let preferred = serde_json::json!({"provider": "fal"});
    assert_eq!(next(&[("fal/cheap", Broke, ProviderUnavailable)], preferred), Ok("fal/dear".to_owned()));
}

#[test]
fn an_attempt_that_was_not_sent_rules_nothing_out() {
    let pinned = serde_json::json!({"provider": "runway", "pin": true});
    assert_eq!(next(&[("runway/mid", NotSent, Auth)], pinned), Ok("runway/mid".to_owned()));
}

#[test]
fn a_fallback_model_comes_after_the_models_own_routes() {
    let ship = serde_json::json!({"fallback_models": ["ship"]});
    let mut tried = vec![];
    for expected in ["fal/cheap", "runway/mid", "fal/dear", "fal/ship"] {
        assert_eq!(next(&tried, ship.clone()), Ok(expected.to_owned()));
        tried.push((expected, Refused, RateLimited));
    }
    // Among the fallback's routes, as among its own: the preferred before the cheapest.
    let runway = serde_json::json!({"fallback_models": ["ship"], "provider": "runway"});
    assert_eq!(next(&tried[..3], runway), Ok("runway/ship".to_owned()));
}

#[test]
fn without_a_usable_route_the_last_failure_is_the_reason() {
    let both = [("fal/cheap", Refused, Auth), ("runway/mid", Refused, InsufficientFunds)];
    assert_eq!(next(&both, nothing()), Err(NoRoute::Exhausted(InsufficientFunds)));
    let none = Catalog::for_providers(&[]);
    assert_eq!(
        choose(&job(&[]), &order(nothing()), &none, &BTreeMap::new()).map(Route::name),
        Err(NoRoute::Exhausted(ProviderUnavailable))
    );
}

#[test]
fn a_provider_with_an_open_breaker_comes_after_one_that_only_looks_down() {
    let broken = || Standing { breaker_open: true, ..Standing::default() };
    let down = || Standing { health: Down, ..Standing::default() };
    let standings = |fal, runway| BTreeMap::from([(Fal, fal), (Runway, runway)]);
    let first = |standings| stood(&job(&[]), &order(nothing()), &standings).unwrap();
    assert_eq!(first(standings(broken(), Standing::default())), "runway/mid");
    assert_eq!(first(standings(broken(), down())), "runway/mid");
    assert_eq!(first(standings(down(), broken())), "fal/cheap");
    assert_eq!(first(standings(broken(), broken())), "fal/cheap", "the least bad, if all are broken");
}

#[test]
fn a_missing_route_comes_last_and_rules_out_no_other_of_its_provider() {
    let missing = Standing { missing_routes: vec!["fal/cheap".to_owned()], ..Standing::default() };
    let standings = BTreeMap::from([(Fal, missing)]);
    assert_eq!(stood(&job(&[]), &order(nothing()), &standings), Ok("runway/mid".to_owned()));
    let fal = order(serde_json::json!({"provider": "fal", "pin": true}));
    assert_eq!(stood(&job(&[]), &fal, &standings), Ok("fal/dear".to_owned()));
    // This job has met it itself.
    let refused = [("fal/cheap", Refused, ErrorClass::RouteGone)];
    assert_eq!(stood(&job(&refused), &fal, &BTreeMap::new()), Ok("fal/dear".to_owned()));
    let both = [refused[0], ("fal/dear", Refused, ErrorClass::RouteGone)];
    let none = stood(&job(&both), &fal, &BTreeMap::new());
    assert_eq!(none, Err(NoRoute::Exhausted(ErrorClass::RouteGone)));
}

#[test]
fn a_provider_that_admits_nothing_is_awaited_only_if_no_other_can_serve() {
    let closed = || Standing { not_admitted: true, ..Standing::default() };
    let both = BTreeMap::from([(Fal, closed()), (Runway, closed())]);
    let fal = BTreeMap::from([(Fal, closed())]);
    assert_eq!(stood(&job(&[]), &order(nothing()), &fal), Ok("runway/mid".to_owned()));
    assert_eq!(stood(&job(&[]), &order(nothing()), &both), Err(NoRoute::NotAdmitted));
    let pinned = order(serde_json::json!({"provider": "fal", "pin": true}));
    assert_eq!(stood(&job(&[]), &pinned, &fal), Err(NoRoute::NotAdmitted));
    let refused = job(&[("fal/cheap", Refused, Auth)]);
    assert_eq!(stood(&refused, &pinned, &fal), Err(NoRoute::Exhausted(Auth)), "waiting would not help");
}

#[test]
fn prefer_fastest_sorts_by_expected_duration_then_latency() {
    let fastest = serde_json::json!({"prefer": "fastest"});
    let answers = |latency_ms| Standing { latency_ms: Some(latency_ms), ..Standing::default() };
    let standings = BTreeMap::from([(Fal, answers(90)), (Runway, answers(20))]);
    let taken = |fields, standings| stood(&job(&[]), &order(fields), standings).unwrap();
    assert_eq!(taken(fastest.clone(), &standings), "runway/mid");
    assert_eq!(taken(serde_json::json!({"prefer": "cheapest"}), &standings), "fal/cheap");
    assert_eq!(taken(nothing(), &standings), "fal/cheap");
    let preferred = serde_json::json!({"prefer": "fastest", "provider": "fal"});
    assert_eq!(taken(preferred, &standings), "fal/cheap", "a named provider goes before a fast one");

    let text = include_str!("../../../catalog.toml");
    let quick = text.replacen("endpoint = \"veo3.1\"", "endpoint = \"veo3.1\"\nexpected_s = 5", 1);
    assert_ne!(quick, text);
    let catalog = Catalog::parse(&quick).unwrap();
    let asked = |prefer| {
        let order = serde_json::json!({"model": "veo-3.1", "prompt": "a boat", "prefer": prefer});
        JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap()
    };
    let slow_to_answer = BTreeMap::from([(Runway, answers(900))]);
    let chosen =
        |prefer| choose(&job(&[]), &asked(prefer), &catalog, &slow_to_answer).map(|route| route.provider);
    assert_eq!(chosen("fastest"), Ok(Runway));
}

/// The choice where fal is real and Runway a simulator.
fn mixed(job: &Job, request: &JobRequest, fal: Standing) -> Result<String, NoRoute> {
    let runway = Standing { simulated: true, ..Standing::default() };
    stood(job, request, &BTreeMap::from([(Fal, fal), (Runway, runway)]))
}

#[test]
fn a_job_that_a_real_provider_could_take_never_goes_to_a_simulator() {
    let down = Standing { health: Down, breaker_open: true, ..Standing::default() };
    let closed = Standing { not_admitted: true, ..Standing::default() };
    let request = order(nothing());
    assert_eq!(mixed(&job(&[]), &request, down.clone()), Ok("fal/cheap".to_owned()));
    assert_eq!(mixed(&job(&[]), &request, closed), Err(NoRoute::NotAdmitted));
    let refused = [("fal/cheap", Refused, Auth)];
    assert_eq!(mixed(&job(&refused), &request, Standing::default()), Err(NoRoute::Exhausted(Auth)));
    let failed = [("fal/cheap", Broke, ProviderUnavailable), ("fal/dear", NotSent, ProviderUnavailable)];
    assert!(mixed(&job(&failed), &request, down).is_ok_and(|route| route.starts_with("fal/")));
}

#[test]
fn a_job_of_a_simulator_stays_among_simulators() {
    let prefers = order(serde_json::json!({"provider": "runway"}));
    assert_eq!(mixed(&job(&[]), &prefers, Standing::default()), Ok("runway/mid".to_owned()));
    let mut begun = job(&[("runway/mid", Refused, Auth)]);
    begun.attempts[0].simulated = true;
    for request in [prefers, order(nothing())] {
        assert_eq!(mixed(&begun, &request, Standing::default()), Err(NoRoute::Exhausted(Auth)));
    }
    // Where no real provider could take it, a simulator may.
    let fallback = order(serde_json::json!({"provider": "runway", "pin": true}));
    assert_eq!(mixed(&job(&[]), &fallback, Standing::default()), Ok("runway/mid".to_owned()));
}
