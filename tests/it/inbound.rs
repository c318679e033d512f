//! Webhooks of other platforms, from their HTTP request to an endpoint of the account.

use std::time::Duration;

use domain::id::AccountId;
use harness::platform::{KINDS, source};
use harness::{Answer, Moment, Platform, Receiver, World};
use local::stack::Options;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::boot::Env;
use shared::inbound::TokenKeys;

mod certificates;
mod lost;
mod receipts;

/// The account of every world.
const ACCOUNT: &str = "acct_test";

/// A world with these sources of the account.
async fn world(sources: Vec<Value>) -> World {
    let list = Value::from(sources).to_string();
    let with = |options: &mut Options| options.env = Env::from_pairs([("INBOUND_SOURCES", &*list)]);
    World::with(with).await
}

/// A world with one source of the platform's kind, under its name.
async fn world_of(platform: &Platform) -> World {
    world(vec![source(ACCOUNT, platform.kind, &[platform])]).await
}

/// Gives a world one source, of [`github`].
pub(crate) fn with_github(options: &mut Options) {
    let list = json!([source(ACCOUNT, "github", &[&github()])]).to_string();
    options.env = options.env.clone().with("INBOUND_SOURCES", list);
}

/// The platform of [`with_github`].
pub(crate) fn github() -> Platform {
    Platform::new("github", 1)
}

/// Whatever can be done with an inbound source.
pub(crate) async fn everything(world: &World) {
    Webhook::new(world, &github(), "id_1", "opened").is_taken(world).await;
    world.drain().await;
}

/// The path of a source of this account.
pub(crate) fn path(world: &World, account: &str, name: &str) -> String {
    let arn = &world.stack.host.template().secrets["InboundSources"];
    let keys = TokenKeys::parse(&world.stack.secrets.get(arn).unwrap()["INBOUND_TOKEN_SECRET"]).unwrap();
    let account: AccountId = account.parse().unwrap();
    let url = keys.url(&"http://a.example/".parse().unwrap(), &account, &name.parse().unwrap()).unwrap();
    url.strip_prefix("http://a.example").unwrap().to_owned()
}

/// What a platform sends to one source.
struct Webhook<'a> {
    platform: &'a Platform,
    path: String,
    url: String,
    id: &'a str,
    theirs: &'a str,
    body: String,
    at_s: i64,
}

impl<'a> Webhook<'a> {
    fn new(world: &World, platform: &'a Platform, id: &'a str, theirs: &'a str) -> Self {
        Self::to(world, platform, platform.kind, id, theirs)
    }

    fn to(world: &World, platform: &'a Platform, name: &str, id: &'a str, theirs: &'a str) -> Self {
        let path = path(world, ACCOUNT, name) + &platform.query();
        let url = format!("{}{path}", world.stack.api_url);
        let (body, at_s) = (platform.body(id, theirs), world.clock.now().as_secs());
        Self { platform, path, url, id, theirs, body, at_s }
    }

    /// Sends it; `body` may be another than the signed one.
    async fn send_with(&self, world: &World, body: &str) -> Answer {
        let signed = self.platform.headers(&self.url, self.id, self.theirs, &self.body, self.at_s);
        let headers = signed.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = headers.chain([("authorization", "")]).collect();
        world.call(Method::POST, &self.path, &headers, Some(body)).await
    }

    async fn send(&self, world: &World) -> Answer {
        self.send_with(world, &self.body).await
    }

    async fn is_taken(&self, world: &World) {
        let answer = self.send(world).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &json!({"received": true})), "{answer:?}");
    }
}

async fn listen(world: &World, receiver: &Receiver, path: &str, types: &[&str]) {
    let body = json!({"url": receiver.url(path), "types": types}).to_string();
    let made = world.call(Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

/// The events of the account, newest first.
async fn events(world: &World) -> Vec<Value> {
    let listed = world.call(Method::GET, "/v1/events", &[], None).await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
    listed.body["events"].as_array().unwrap().clone()
}

fn types(receiver: &Receiver, path: &str) -> Vec<String> {
    receiver.at(path).iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_each_kind_becomes_one_event_however_often_it_comes() {
    let platforms = KINDS.map(|kind| Platform::new(kind, 1));
    let sources = platforms.iter().map(|platform| source(ACCOUNT, platform.kind, &[platform])).collect();
    let (world, receiver) = (world(sources).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    for platform in &platforms {
        let webhook = Webhook::new(&world, platform, "id_1", "paid");
        webhook.is_taken(&world).await;
        world.drain().await;
        webhook.is_taken(&world).await;
        world.drain().await;
        let kind = platform.event_type(platform.kind, "paid");
        let received = receiver.at("/hook").into_iter().filter(|one| one.json()["type"] == *kind);
        let received: Vec<_> = received.collect();
        assert_eq!(received.len(), 1, "{kind}: {:?}", types(&receiver, "/hook"));
        let data = &received[0].json()["data"];
        assert_eq!((&data["source"], &data["type"]), (&json!(platform.kind), &json!(kind)));
        assert!(data["id"].as_str().unwrap().starts_with("id_1"), "{data}");
        assert!(data["payload"].is_object() && data.get("payload_omitted").is_none(), "{data}");
        assert!(received[0].body.len() < 20_000);
    }
    assert_eq!(events(&world).await.len(), KINDS.len());
    world.audit().await;
}

/// What a forger tries with a genuine webhook, and what becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_proved_genuine_is_refused_without_a_reason() {
    let platforms = KINDS.map(|kind| (Platform::new(kind, 1), Platform::new(kind, 2)));
    let sources = platforms.iter().map(|(ours, _)| source(ACCOUNT, ours.kind, &[ours])).collect();
    let (world, receiver) = (world(sources).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    world.wire.reset();
    let refused = |what: String, answer: Answer| {
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "bad_signature"), "{what}: {answer:?}");
        assert_eq!(answer.text("/detail"), "Webhook verification failed.", "{what}");
    };
    for (ours, other) in &platforms {
        let kind = ours.kind;
        let webhook = || Webhook::new(&world, ours, "id_1", "paid");
        let body = webhook().body;
        let longer = ours.signs_the_bytes().then(|| format!("{body} "));
        for altered in
            [body.replace("id", "ie"), body[1..].to_owned(), String::new()].into_iter().chain(longer)
        {
            let answer = webhook().send_with(&world, &altered).await;
            refused(format!("{kind}: {altered}"), answer);
        }
        refused(
            format!("{kind}: other secret"),
            Webhook::new(&world, other, "id_1", "paid").send(&world).await,
        );
        if ours.signs_the_bytes() {
            let unsigned = [("authorization", "")];
            let unsigned = world.call(Method::POST, &webhook().path, &unsigned, Some(&body)).await;
            refused(format!("{kind}: unsigned"), unsigned);
        }
        if ours.signs_the_time() {
            for off in [-301, 301] {
                let late = Webhook { at_s: webhook().at_s + off, ..webhook() };
                refused(format!("{kind}: {off} s"), late.send(&world).await);
            }
            Webhook { at_s: webhook().at_s - 299, ..webhook() }.is_taken(&world).await;
        }
    }
    // Twilio signs the URL, and AbacatePay's secret is in it.
    for kind in ["twilio", "abacatepay"] {
        let (ours, _) = platforms.iter().find(|(ours, _)| ours.kind == kind).unwrap();
        let webhook = Webhook::new(&world, ours, "id_1", "paid");
        let path = format!("{}?a=b", webhook.path.split('?').next().unwrap());
        refused(format!("{kind}: other URL"), Webhook { path, ..webhook }.send(&world).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_we_did_not_make_or_that_has_no_source_is_not_found() {
    let platform = Platform::new("stripe", 1);
    let world = world_of(&platform).await;
    world.wire.reset();
    let genuine = path(&world, ACCOUNT, "stripe");
    let token = genuine.rsplit('/').next().unwrap();
    for path in [
        path(&world, ACCOUNT, "github"),
        path(&world, "acct_other", "stripe"),
        format!("/v1/inbound/github/{token}"),
        format!("/v1/inbound/STRIPE/{token}"),
        "/v1/inbound/stripe/test.aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        "/v1/inbound/stripe/x".to_owned(),
        format!("{genuine}a"),
        format!("/v1/inbound/%00/{token}"),
    ] {
        let url = format!("{}{path}", world.stack.api_url);
        let webhook = Webhook { path, url, ..Webhook::new(&world, &platform, "id_1", "paid") };
        let answer = webhook.send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{}", webhook.path);
    }
    assert_eq!(world.wire.effects(), 0);
    Webhook::new(&world, &platform, "id_1", "paid").is_taken(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_secret_is_replaced_both_are_good_and_one_account_can_have_several_sources_of_a_kind() {
    let [old, new, other] = [1, 2, 3].map(|number| Platform::new("stripe", number));
    let sources = vec![source(ACCOUNT, "shop_1", &[&new, &old]), source(ACCOUNT, "shop_2", &[&other])];
    let (world, receiver) = (world(sources).await, Receiver::start().await);
    listen(&world, &receiver, "/one", &["inbound.shop_1.*"]).await;
    listen(&world, &receiver, "/failed", &["inbound.shop_2.charge.failed", "inbound.shop_1.charge.*"]).await;
    for (platform, source, id, theirs) in [
        (&old, "shop_1", "evt_1", "charge.failed"),
        (&new, "shop_1", "evt_2", "paid"),
        (&other, "shop_2", "evt_1", "charge.failed"),
        (&other, "shop_2", "evt_2", "charge.failed.late"),
    ] {
        Webhook::to(&world, platform, source, id, theirs).is_taken(&world).await;
        world.drain().await;
    }
    assert_eq!(Webhook::to(&world, &old, "shop_2", "evt_3", "paid").send(&world).await.status, 401);
    assert_eq!(types(&receiver, "/one"), ["inbound.shop_1.charge.failed", "inbound.shop_1.paid"]);
    assert_eq!(types(&receiver, "/failed"), ["inbound.shop_1.charge.failed", "inbound.shop_2.charge.failed"]);
    // What no endpoint wants is not kept.
    assert_eq!(events(&world).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_for_an_account_that_wants_no_inbound_events() {
    let platform = Platform::new("github", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    Webhook::new(&world, &platform, "id_1", "opened").is_taken(&world).await;
    world.drain().await;
    assert_eq!(events(&world).await, Vec::<Value>::new());
    listen(&world, &receiver, "/jobs", &["job.*", "inbound.stripe.*"]).await;
    Webhook::new(&world, &platform, "id_2", "opened").is_taken(&world).await;
    world.drain().await;
    assert_eq!((events(&world).await.len(), receiver.count("/jobs")), (0, 0));
    listen(&world, &receiver, "/all", &["inbound.*"]).await;
    Webhook::new(&world, &platform, "id_3", "opened").is_taken(&world).await;
    world.drain().await;
    assert_eq!(types(&receiver, "/all"), ["inbound.github.issues.opened"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_batch_and_in_any_order_come_once_each() {
    let platform = Platform::new("sendgrid", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.sendgrid.*"]).await;
    let event = |n: i64, attempt: &str| {
        json!({"sg_message_id": format!("m{}", n % 4), "event": "delivered", "timestamp": n / 4,
            "email": "a@b.example", "sg_event_id": format!("{attempt}{n}")})
    };
    let batch = |numbers: Vec<i64>, attempt: &str| {
        let events: Vec<_> = numbers.into_iter().map(|n| event(n, attempt)).collect();
        Webhook { body: json!(events).to_string(), ..Webhook::new(&world, &platform, "", "") }
    };
    batch((0..25).rev().collect(), "a").is_taken(&world).await;
    batch((10..35).collect(), "b").is_taken(&world).await;
    world.drain().await;
    batch((0..35).collect(), "c").is_taken(&world).await;
    world.drain().await;
    assert_eq!(receiver.count("/hook"), 35);
    batch(vec![], "").is_taken(&world).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_is_an_event_without_it_and_a_longer_one_is_refused() {
    let platform = Platform::new("github", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    let with = |id, length: usize| {
        let body = json!({"action": "opened", "x": "x".repeat(length)}).to_string();
        Webhook { body, ..Webhook::new(&world, &platform, id, "opened") }
    };
    with("id_1", 1024 * 1024).is_taken(&world).await;
    world.drain().await;
    let received = receiver.at("/hook").remove(0);
    assert!(received.body.len() < 20_000);
    let data = &received.json()["data"];
    assert_eq!((&data["id"], &data["payload"]), (&json!("id_1"), &Value::Null));
    assert_eq!(data["payload_omitted"], true);
    let answer = with("id_2", 5 * 1024 * 1024).send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "body_too_large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_body_that_cannot_be_read_is_refused_and_strange_ones_do_no_harm() {
    let platform = Platform::new("stripe", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    let of = |body: String| Webhook { body, ..Webhook::new(&world, &platform, "", "") };
    let deep =
        format!("{{\"id\":\"evt_1\",\"type\":\"a\",\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for body in ["{", "[]", "null", "\"a\"", "{\"a\": 1e999}", &deep] {
        let answer = of(body.to_owned()).send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "malformed_webhook"), "{body:.20}");
        assert!(answer.text("/detail").len() < 100, "{answer:?}");
    }
    for (body, kind) in [
        (r#"{"id": "evt_1", "type": "../../etc/passwd\u0000<script>"}"#.to_owned(), "etc.passwd__script_"),
        (r#"{"id": "../\n", "type": "\ud83d\ude00"}"#.to_owned(), "_"),
        (r#"{"id": {"a": 1}, "type": ["a"]}"#.to_owned(), "unknown"),
        (r#"{"id": "evt_1", "id": "evt_2", "type": "a", "type": "b"}"#.to_owned(), "b"),
        (format!(r#"{{"id": "{}", "type": "{}"}}"#, "i".repeat(9_000), "t.".repeat(3_000)), ""),
        (format!(r#"{{"id": "evt_3", "type": "c", "{}": "\u0000\uffff"}}"#, "k".repeat(9_000)), "c"),
    ] {
        let before = receiver.count("/hook");
        of(body.clone()).is_taken(&world).await;
        world.drain().await;
        let received = receiver.at("/hook");
        assert_eq!(received.len(), before + 1, "{body:.60}");
        let text = received[before].json()["type"].as_str().unwrap().to_owned();
        assert!(text.starts_with(&format!("inbound.stripe.{kind}")) && text.len() <= 115, "{text}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_answered_its_challenge_once_it_is_proved_genuine() {
    let (platform, other) = (Platform::new("slack", 1), Platform::new("slack", 2));
    let world = world_of(&platform).await;
    world.wire.reset();
    let body = json!({"type": "url_verification", "challenge": "3eZbrw1a", "token": "t"}).to_string();
    let asked = |platform| Webhook { body: body.clone(), ..Webhook::new(&world, platform, "", "") };
    let answer = asked(&platform).send(&world).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"challenge": "3eZbrw1a"})));
    let answer = asked(&other).send(&world).await;
    assert_eq!(answer.status, 401);
    assert!(!answer.body.to_string().contains("3eZbrw1a"));
    assert_eq!(world.wire.effects(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_takes_any_type_of_a_source_and_no_malformed_one() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let new = async |kind: &str| {
        let body = json!({"url": receiver.url("/hook"), "types": [kind]}).to_string();
        world.call(Method::POST, "/v1/endpoints", &[], Some(&body)).await
    };
    for kind in ["inbound.*", "inbound.stripe.*", "inbound.stripe.checkout.session.completed"] {
        assert_eq!(new(kind).await.status, 201, "{kind}");
    }
    for kind in ["inbound", "inbound.", "inbound.stripe", "inbound.Stripe.*", "inbound.stripe.a b"] {
        let answer = new(kind).await;
        assert_eq!((answer.status.as_u16(), answer.text("/errors/0/field")), (422, "types"), "{kind}");
    }
}
