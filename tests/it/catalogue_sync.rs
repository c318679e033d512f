//! Providers' lists against the catalogue: as the simulators give them, and as a provider may.

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use domain::catalog::Catalog;
use domain::catalog::sync::{Change, Diff, Synced, Theirs, diff};
use domain::provider::Provider::{self, Fal, Replicate};
use harness::World;
use serde_json::{Value, json};
use shared::provider::{Listing, NoList, ProviderClient, ProviderConfig, Timeouts, adapter};
use signatures::Secret;

async fn listing(provider: Provider, url: &str, catalog: &Catalog) -> Result<Listing, NoList> {
    let base_url = Some(url.parse().unwrap());
    let config = ProviderConfig { base_url, ..ProviderConfig::new(provider, Secret::new("key")) };
    let client = ProviderClient::new(vec![config], Timeouts::default()).unwrap();
    let routes = catalog.models().flat_map(|model| &model.routes).filter(|route| route.provider == provider);
    client
        .listing(provider, &routes.collect::<Vec<_>>(), domain::time::Timestamp::from_secs(1_800_000_000))
        .await
}

fn theirs(provider: Provider, listing: &Listing, catalog: &Catalog) -> Theirs {
    let mut theirs = Theirs::of_prices(catalog, provider, &listing.prices);
    theirs.unclear.extend(listing.unclear.iter().cloned());
    theirs.lacking(catalog, provider, &listing.gone);
    theirs.offering(catalog, provider, &listing.offered, adapter(provider).family());
    theirs
}

fn compared(theirs: &Theirs, catalog: &Catalog) -> Diff {
    diff(theirs, catalog, &Catalog::built_in(), &Synced::new())
}

/// A server that answers each call by its decoded path and query.
async fn served(answer: fn(&str) -> (u16, Value)) -> String {
    let answer = move |uri: Uri| async move {
        let (status, body) = answer(&uri.to_string().replace("%2F", "/").replace("%2C", ","));
        (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulators_lists_agree_with_the_catalogue_and_offer_more() {
    let world = World::new().await;
    let catalog = Catalog::built_in();
    for (provider, new) in [(Fal, "fal-ai/veo3.1/extend-video"), (Replicate, "google/veo-4")] {
        let listing = listing(provider, &world.simulator(provider).base(), &catalog).await.unwrap();
        let theirs = theirs(provider, &listing, &catalog);
        assert_eq!((listing.gone.len(), &theirs.unclear), (0, &Vec::new()));
        assert_eq!(theirs.created, [new.to_owned()].into());
        let diff = compared(&theirs, &catalog);
        assert_eq!((diff.changes, diff.conflicts, diff.kept), (Vec::new(), Vec::new(), 0));
        assert_eq!(diff.same > 0, provider == Fal, "Replicate lists no prices");
    }
}

/// An endpoint that fal does not know spoils the call for many; alone, its 404 shows that it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_no_longer_knows_is_gone_and_the_rest_is_compared() {
    const PIKA: &str = "fal-ai/pika/v2.2/";
    const HAILUO: &str = "fal-ai/minimax/hailuo-2.3/pro/text-to-video";
    let url = served(|call| {
        let line = |unit: &str, price: Value| json!({"endpoint_id": HAILUO, "unit": unit, "unit_price": price, "currency": "USD"});
        match call {
            call if call.starts_with("/v1/models?") => (200, json!({"models": [], "has_more": false})),
            call if call.contains(PIKA) => (404, json!({"error": {"type": "not_found"}})),
            // An unknown unit, no price, other money, and the line that counts.
            call if call.ends_with(HAILUO) => {
                let odd = [line("unicorn", json!(1)), line("video", Value::Null), json!({"endpoint_id": HAILUO})];
                let lines: Vec<_> = odd.into_iter().chain([line("video", json!(0.5))]).collect();
                (200, json!({"prices": lines}))
            }
            _ => (200, json!({"prices": []})),
        }
    })
    .await;
    let catalog = Catalog::built_in();
    let listing = listing(Fal, &url, &catalog).await.unwrap();
    assert_eq!(listing.gone.len(), 2);
    let theirs = theirs(Fal, &listing, &catalog);
    let unclear: Vec<_> = theirs.unclear.iter().map(|(of, why)| format!("{of}: {why}")).collect();
    let odd = |what| format!("{HAILUO}: its price has the {what}, which is not understood");
    assert_eq!(unclear, [odd("unit `unicorn`"), odd("amount ``"), odd("unit ``")]);
    let diff = compared(&theirs, &catalog);
    assert_eq!((diff.counts(), diff.conflicts.len()), ((1, 1), 0), "{diff:?}");
    assert!(matches!(&diff.changes[0], Change::Amount { ours: 490_000, theirs: 500_000, .. }));
    assert!(matches!(&diff.changes[1], Change::Gone { model, .. } if model == "pika-2.2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_list_takes_no_route_out_of_sale() {
    let catalog = Catalog::built_in();
    for (provider, answer, wrong) in [
        (
            Fal,
            (|_| (401, json!({"error": {"message": "bad key"}}))) as fn(&str) -> (u16, Value),
            "it answered 401: bad key",
        ),
        (Fal, |_| (500, Value::Null), "it answered 500: server_error"),
        (Fal, |_| (200, json!("no")), "its answer is not a page of its list"),
        // A proxy's page.
        (Replicate, |_| (404, json!("not here")), "it answered 404: not_found"),
        (Replicate, |_| (401, json!({"detail": "Unauthenticated"})), "it answered 401: Unauthenticated"),
        (Provider::Runway, |_| (200, json!({})), "it has no such list"),
    ] {
        let url = served(answer).await;
        let found = listing(provider, &url, &catalog).await.unwrap_err();
        assert_eq!(found.to_string(), wrong);
    }
}
