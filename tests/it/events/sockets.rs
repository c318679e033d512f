//! WebSocket clients: a faster poll, with which nothing is lost.

use domain::delivery::Outcome;
use domain::endpoint::FAILURES_MAX;
use domain::event::Event;
use domain::id::{EndpointId, EventId};
use domain::socket::{CONNECTION_FOR, CONNECTIONS_MAX, Connection, Subscriber, TICKET_FOR};
use futures_util::future::join_all;
use harness::Moment;
use harness::socket::Socket;
use shared::store::endpoints::EndpointStore;
use shared::store::sockets::Sockets;

use super::*;

async fn socket_endpoint(world: &World, types: &[&str]) -> String {
    let body = json!({"kind": "websocket", "types": types});
    let made = api(world, Method::POST, "/v1/endpoints", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert!(made.body.get("url").is_none() && made.body.get("to").is_none(), "{made:?}");
    made.text("/id").to_owned()
}

/// The URL of one connection.
async fn ticket(world: &World, endpoint: &str) -> String {
    let path = format!("/v1/endpoints/{endpoint}/tickets");
    let made = api(world, Method::POST, &path, Value::Null).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.text("/url").to_owned()
}

async fn connect(world: &World, endpoint: &str) -> Socket {
    Socket::connect(&ticket(world, endpoint).await).await.expect("a connection")
}

async fn open(world: &World, endpoint: &str) -> usize {
    let id: EndpointId = endpoint.parse().unwrap();
    Sockets::new(world.table()).of_endpoint(&id, world.clock.now()).await.unwrap().len()
}

/// A client of a browser, from its ticket to what it missed. For `rights` as well.
pub(crate) async fn a_client_watches(world: &World) -> Socket {
    let endpoint = socket_endpoint(world, &["job.*"]).await;
    let mut client = connect(world, &endpoint).await;
    let (one, other) = (
        world.submit("gen-4.5", "a boat", "watched").await,
        world.submit("gen-4.5", "a car", "not watched").await,
    );
    let (_, answer) = client.ask(&json!({"watch": [one], "ping": "here"})).await;
    assert_eq!(answer, json!({"watching": [one], "pong": "here"}));
    for id in [&one, &other] {
        world.finish(id).await;
    }
    world.drain().await;
    let mut last = Value::Null;
    for kind in ["job.running", "job.succeeded"] {
        let event = client.next().await.expect("an event");
        assert_eq!((event["type"].as_str(), &event["data"]["id"]), (Some(kind), &json!(one)), "{event}");
        last = event["id"].clone();
    }
    for delivery in deliveries(world, &endpoint).await {
        let path = format!("/v1/events/{}", delivery["event"].as_str().unwrap());
        let is_its = api(world, Method::GET, &path, Value::Null).await.body["job"] == json!(one);
        assert_eq!(delivery["status"], if is_its { "delivered" } else { "skipped" }, "{delivery}");
    }
    client.close().await;
    while open(world, &endpoint).await > 0 {
        tokio::task::yield_now().await;
    }

    world.clock.advance(Duration::from_secs(120));
    let missed = succeed(world, "missed").await;
    let mut again = connect(world, &endpoint).await;
    let (events, answer) = again.ask(&json!({"watch": null, "since": last})).await;
    let newest = &events.last().expect("what was missed")["id"];
    let expected = json!({"watching": null, "replayed": events.len(), "last": newest, "more": false});
    assert_eq!(answer, expected);
    let told: Vec<_> =
        events.iter().map(|event| (event["type"].as_str().unwrap(), event["data"]["id"].clone())).collect();
    assert_eq!(&told[told.len() - 2..], [("job.running", json!(missed)), ("job.succeeded", json!(missed))]);
    assert!(told.contains(&("job.succeeded", json!(other))), "{told:?}");
    assert!(events.iter().all(|event| event["id"] != last), "the last one was seen");
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_sent_the_events_that_it_watches_and_those_that_it_missed() {
    let world = World::new().await;
    a_client_watches(&world).await.close().await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_connection_within_a_minute() {
    let world = World::new().await;
    let endpoint = socket_endpoint(&world, &["*"]).await;
    let url = ticket(&world, &endpoint).await;
    let base = url.split('?').next().unwrap();
    for bad in [base.to_owned(), format!("{base}?ticket="), format!("{base}?ticket=x"), format!("{url}x")] {
        assert_eq!(Socket::connect(&bad).await.unwrap_err(), 401, "{bad}");
    }
    let first = Socket::connect(&url).await.expect("a connection");
    assert_eq!(Socket::connect(&url).await.unwrap_err(), 401, "it was used");
    first.close().await;
    let late = ticket(&world, &endpoint).await;
    world.clock.advance(TICKET_FOR);
    assert_eq!(Socket::connect(&late).await.unwrap_err(), 401, "it has expired");

    let mut clients = Vec::new();
    while open(&world, &endpoint).await < CONNECTIONS_MAX {
        clients.push(connect(&world, &endpoint).await);
    }
    assert_eq!(Socket::connect(&ticket(&world, &endpoint).await).await.unwrap_err(), 429);
    // At once, too: of more, none is connected and deaf.
    let crowd = socket_endpoint(&world, &["*"]).await;
    let tickets = join_all((0..CONNECTIONS_MAX + 10).map(|_| ticket(&world, &crowd))).await;
    let connected = join_all(tickets.iter().map(|url| Socket::connect(url))).await;
    for mut client in connected.into_iter().flatten() {
        let (_, answer) = client.ask(&json!({"watch": null})).await;
        assert_eq!(answer, json!({"watching": null}));
    }
    assert!(open(&world, &crowd).await <= CONNECTIONS_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_followed_is_answered_in_a_sentence() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let (webhook, _) = endpoint(&world, &receiver.url("/all"), &["*"]).await;
    let refused = api(&world, Method::POST, &format!("/v1/endpoints/{webhook}/tickets"), Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "not_a_websocket"));
    for address in ["url", "to"] {
        let body = json!({"kind": "websocket", address: "https://example.com", "types": ["*"]});
        let refused = api(&world, Method::POST, "/v1/endpoints", body).await;
        assert_eq!(refused.body["errors"][0]["field"], address, "{refused:?}");
    }

    let socket = socket_endpoint(&world, &["*"]).await;
    let mut client = connect(&world, &socket).await;
    for message in [json!([]), json!({}), json!({"watch": "x"}), json!({"since": 1}), json!({"a": 1})] {
        let (_, answer) = client.ask(&message).await;
        assert_eq!(answer["error"]["code"], "invalid_message", "{message}: {answer}");
    }
    client.send_raw(vec![0, 159].into()).await;
    assert_eq!(client.next().await.unwrap()["error"]["code"], "invalid_message");
    // An event of another account is none.
    let other: AccountId = "acct_other".parse().unwrap();
    let event = Event::new(EventId::of(&["x"]), other, "credits.low", &json!({}), world.clock.now());
    EventStore::new(world.table()).put(&event).await.unwrap();
    let (_, answer) = client.ask(&json!({"since": event.id})).await;
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    // An endpoint that is deleted has no client.
    api(&world, Method::DELETE, &format!("/v1/endpoints/{socket}"), Value::Null).await;
    let (_, answer) = client.ask(&json!({"watch": null})).await;
    assert_eq!(answer["error"]["code"], "not_connected", "{answer}");
}

/// A client that missed many pages them by what it was answered, whatever comes live meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_missed_hundreds_of_events_gets_them_all() {
    let world = World::new().await;
    let endpoint = socket_endpoint(&world, &["credits.*"]).await;
    let store = EventStore::new(world.table());
    let mut missed = Vec::new();
    for number in 0..=250 {
        let id = EventId::of(&["missed", &number.to_string()]);
        let event = Event::new(id, world.account.clone(), "credits.low", &json!({}), world.clock.now());
        store.put(&event).await.unwrap();
        store.fanned_out(&event, event.body.as_deref().unwrap()).await.unwrap();
        missed.push(json!(event.id));
        world.clock.advance(Duration::from_secs(61));
    }
    let mut client = connect(&world, &endpoint).await;
    let (mut since, mut got, mut pages) = (missed[0].clone(), Vec::new(), 0);
    loop {
        let (events, answer) = client.ask(&json!({"since": since})).await;
        got.extend(events.into_iter().map(|event| event["id"].clone()));
        (since, pages) = (answer["last"].clone(), pages + 1);
        if answer["more"] == false {
            break;
        }
    }
    assert_eq!((got.as_slice(), pages), (&missed[1..], 3));
    let (events, answer) = client.ask(&json!({"since": since})).await;
    assert_eq!((events.len(), &answer["last"]), (0, &since), "nothing is new");
}

/// `$disconnect` is not always reported: a delivery finds the connection closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ended_unnoticed_is_removed_by_the_next_event() {
    let world = World::new().await;
    let endpoint = socket_endpoint(&world, &["job.succeeded"]).await;
    let subscriber = Subscriber { account: world.account.clone(), endpoint: endpoint.parse().unwrap() };
    let dead = Connection { id: "a/dead+one=".to_owned(), subscriber, watched: None };
    Sockets::new(world.table()).connect(&dead, world.clock.now()).await.unwrap();
    succeed(&world, "to none").await;
    let delivery = &deliveries(&world, &endpoint).await[0];
    assert_eq!(delivery["status"], "skipped", "{delivery}");
    assert_eq!(open(&world, &endpoint).await, 0);

    Sockets::new(world.table()).connect(&dead, world.clock.now()).await.unwrap();
    let mut client = connect(&world, &endpoint).await;
    let job = succeed(&world, "to one").await;
    assert_eq!(client.next().await.unwrap()["data"]["id"], job.as_str());
    let delivery = &deliveries(&world, &endpoint).await[0];
    assert_eq!((&delivery["status"], open(&world, &endpoint).await), (&json!("delivered"), 1), "{delivery}");
}

/// An endpoint that has failed, by what an earlier release recorded, is well again once a client has an event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_a_client_takes_is_on_record_as_the_last_success() {
    let world = World::new().await;
    let id = socket_endpoint(&world, &["job.succeeded"]).await;
    let (store, endpoint_id) = (EndpointStore::new(world.table()), id.parse().unwrap());
    for _ in 0..FAILURES_MAX {
        let now = world.clock.now();
        let before = store.get(&world.account, &endpoint_id).await.unwrap().unwrap();
        let failed = before.after(Outcome::Later { wait: None }, now, now).unwrap();
        assert!(store.replace(&before, &failed, None).await.unwrap());
    }
    world.clock.advance(Duration::from_secs(60));
    let mut client = connect(&world, &id).await;
    let job = succeed(&world, "watched").await;
    assert_eq!(client.next().await.unwrap()["data"]["id"], job.as_str());
    let shown = api(&world, Method::GET, &format!("/v1/endpoints/{id}"), Value::Null).await.body;
    assert!(shown["last_success_at"].is_string(), "{shown}");
    assert_eq!((&shown["failures"], &shown["failing_since"]), (&json!(0), &Value::Null), "{shown}");
}

/// What fails while a client connects refuses it, and it does not count among those that are connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_refused_by_a_failure_is_not_counted() {
    let world = World::new().await;
    let endpoint = socket_endpoint(&world, &["job.succeeded"]).await;
    for moment in [Moment::Before, Moment::After] {
        for k in 0.. {
            let url = ticket(&world, &endpoint).await;
            world.wire.reset();
            world.wire.fail_at(k, moment);
            let connected = Socket::connect(&url).await;
            if !world.wire.is_spent() {
                assert!(k >= 3 && connected.is_ok(), "{moment:?}: {k} effects");
                break;
            }
            assert!(connected.is_err(), "{moment:?} {k}: it is refused");
            assert_eq!(open(&world, &endpoint).await, 0, "{moment:?} {k}");
        }
        world.wire.reset();
        world.clock.advance(CONNECTION_FOR);
    }
}

/// A connection, as a client makes one that tries again.
async fn connect_again(world: &World, endpoint: &str) -> Socket {
    for _try in 0..3 {
        let path = format!("/v1/endpoints/{endpoint}/tickets");
        let made = api(world, Method::POST, &path, Value::Null).await;
        if made.status == StatusCode::CREATED
            && let Ok(client) = Socket::connect(made.text("/url")).await
        {
            return client;
        }
    }
    panic!("a function dies once");
}

/// The events since one, asked for until they come.
async fn caught_up(client: &mut Socket, since: &Value, at: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for _ask in 0..3 {
        let (events, answer) = client.ask(&json!({"watch": null, "since": since})).await;
        found.extend(events);
        if answer.get("replayed").is_some() {
            return found;
        }
        let is_death = answer["message"] == "Internal server error";
        assert!(is_death || answer["error"]["code"] == "unavailable", "{at}: {answer}");
    }
    panic!("a function dies once");
}

/// A function that dies while a client connects or asks leaves nothing that stops the next try, and an event comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_tries_again_survives_a_crash_at_every_effect() {
    let world = World::new().await;
    let endpoint = socket_endpoint(&world, &["job.succeeded", "job.failed"]).await;
    let seen = succeed(&world, "the first").await;
    let listed = api(&world, Method::GET, "/v1/events", Value::Null).await;
    assert_eq!(listed.body["events"][0]["job"], seen.as_str());
    let mut since = listed.body["events"][0]["id"].clone();
    for moment in [Moment::Before, Moment::After] {
        for k in 0.. {
            let at = format!("{moment:?} {k}");
            world.wire.reset();
            world.wire.crash_at(k, moment);
            let mut client = connect_again(&world, &endpoint).await;
            caught_up(&mut client, &since, &at).await;
            let job = succeed(&world, &at).await;
            let mut looks = 0;
            loop {
                // It may have taken longer than a connection lasts.
                let mut client = connect_again(&world, &endpoint).await;
                let events = caught_up(&mut client, &since, &at).await;
                client.close().await;
                if let Some(event) = events.iter().find(|event| event["data"]["id"] == job.as_str()) {
                    since = event["id"].clone();
                    break;
                }
                looks += 1;
                assert!(looks < 5, "{at}: the event never came");
                pass(&world, Duration::from_secs(120)).await;
            }
            let is_over = !world.wire.is_spent();
            world.wire.reset();
            client.close().await;
            // Where the function dies at that, the connection expires.
            for _look in 0..200 {
                if open(&world, &endpoint).await == 0 {
                    break;
                }
            }
            world.clock.advance(CONNECTION_FOR);
            if is_over {
                break;
            }
        }
    }
    world.audit().await;
}
