//! The buttons of an endpoint's page.

use domain::id::{AccountId, EventId};
use harness::{Receiver, World};
use http::StatusCode;
use shared::store::keystore::Scope;

use super::Browser;

/// An endpoint of the world's account: its path in the console.
pub(super) async fn endpoint(world: &World, url: &str) -> String {
    let body = format!(r#"{{"url": "{url}", "types": ["job.*"]}}"#);
    let made = world.call(reqwest::Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    assert_eq!(made.status.as_u16(), 201, "{made:?}");
    format!("/endpoints/{}", made.text("/id"))
}

/// The event that a page was shown for.
pub(super) fn sent(location: &str) -> EventId {
    location.split_once("?sent=").expect(location).1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_event_is_sent_shown_and_sent_again() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let browser = Browser::signed_in(&world, &world.key).await;
    let path = endpoint(&world, &receiver.url("/hook")).await;

    let tested = browser.post(&format!("{path}/test"), &[]).await;
    assert_eq!(tested.status, StatusCode::SEE_OTHER, "{tested:?}");
    let (event, page) = (sent(&tested.location), tested.location.strip_prefix("/console").unwrap());
    let waiting = browser.get(page).await;
    assert!(waiting.html.contains("is being sent.") && waiting.html.contains("every 3s"), "{waiting:?}");
    world.drain().await;
    let done = browser.get(page).await;
    assert!(done.html.contains("status delivered") && done.html.contains("200  after "), "{done:?}");
    assert!(!done.html.contains("every 3s"), "it polls no more: {done:?}");
    assert_eq!(receiver.at("/hook")[0].header("webhook-id"), event.as_str());

    let fields = [("event", event.as_str())];
    let again = browser.post(&format!("{path}/redeliver"), &fields).await;
    assert_eq!(sent(&again.location), event, "its id stays");
    assert!(browser.get(page).await.html.contains("is being sent."));
    world.drain().await;
    let ids: Vec<_> = receiver.at("/hook").iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [event.as_str(); 2]);

    // A server that fails: the page says so, and waits no longer than the first try.
    receiver.answers("/hook", 503, &[], "");
    let failing = browser.post(&format!("{path}/test"), &[]).await;
    world.drain().await;
    let shown = browser.get(failing.location.strip_prefix("/console").unwrap()).await;
    assert!(shown.html.contains("status pending") && !shown.html.contains("every 3s"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_paused_and_resumed() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let browser = Browser::signed_in(&world, &world.key).await;
    let path = endpoint(&world, &receiver.url("/hook")).await;
    for (action, status, button) in
        [("pause", "paused", "Resume"), ("resume", "enabled", "Send a test event")]
    {
        for _ in 0..2 {
            let changed = browser.post(&format!("{path}/{action}"), &[]).await;
            assert_eq!(changed.location, format!("/console{path}"), "{changed:?}");
        }
        let shown = browser.get(&path).await;
        assert!(shown.html.contains(&format!("status {status}")) && shown.html.contains(button), "{shown:?}");
    }
    browser.post(&format!("{path}/pause"), &[]).await;
    let refused = browser.post(&format!("{path}/test"), &[]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.html.contains("The endpoint is paused. Enable it first."), "{refused:?}");
    world.drain().await;
    assert_eq!(receiver.count("/hook"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_changes_only_what_its_account_has_with_a_key_that_writes() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let owner = Browser::signed_in(&world, &world.key).await;
    let path = endpoint(&world, &receiver.url("/hook")).await;
    let event = sent(&owner.post(&format!("{path}/test"), &[]).await.location);
    world.drain().await;
    let reader = Browser::signed_in(&world, &world.new_key(&world.account, vec![Scope::Read]).await).await;
    let other: AccountId = "acct_other".parse().unwrap();
    let other =
        Browser::signed_in(&world, &world.new_key(&other, vec![Scope::Read, Scope::Write]).await).await;
    let fields = [("event", event.as_str())];
    for action in ["test", "pause", "resume", "redeliver"] {
        let path = format!("{path}/{action}");
        assert_eq!(reader.post(&path, &fields).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(other.post(&path, &fields).await.status, StatusCode::NOT_FOUND, "{path}");
        let forged = owner.http.post(format!("{}{path}", owner.url)).header("cookie", &owner.cookie);
        let forged = forged.header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(forged.status(), StatusCode::FORBIDDEN, "{path}");
    }
    // An event of another account, and what is none.
    let unknown = EventId::from_bytes([0; 16]);
    for event in [unknown.as_str(), "", "evt_x", "\u{0}", &"e".repeat(100_000)] {
        let refused = owner.post(&format!("{path}/redeliver"), &[("event", event)]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    }
    for path in
        ["/endpoints/x/test", "/endpoints/ep_callback/test", "/endpoints/ep_callback/pause", "/endpoints/x"]
    {
        assert_eq!(owner.post(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    world.drain().await;
    assert_eq!(receiver.count("/hook"), 1);
    // An event of another account is shown as one that was not sent yet.
    let shown = other.get(&format!("/endpoints/ep_callback?sent={event}")).await;
    assert!(shown.html.contains("is being sent.") && !shown.html.contains("delivered"), "{shown:?}");
}
