//! Functions that die or fail on the way of a webhook.

use std::collections::BTreeSet;

use super::*;

const MINUTES_MAX: usize = 20;

/// Sends it until it is taken, as a platform does, and lets time pass until its events have come.
async fn delivered(world: &World, webhook: &Webhook<'_>, have_come: impl Fn() -> bool) {
    let mut answers = Vec::new();
    for _ in 0..5 {
        let answer = webhook.send(world).await.status.as_u16();
        answers.push(answer);
        if answer == 200 {
            break;
        }
        assert!(answer >= 500, "{answers:?}");
    }
    assert_eq!(answers.last(), Some(&200), "{answers:?}");
    world.drain().await;
    for _ in 0..MINUTES_MAX {
        if have_come() {
            return;
        }
        world.advance(Duration::from_secs(60)).await;
        world.reconcile().await;
    }
    panic!("its events never come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_on_the_queue_is_not_acknowledged() {
    let platform = Platform::new("stripe", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    let webhook = Webhook::new(&world, &platform, "evt_1", "paid");
    for moment in [Moment::Before, Moment::After] {
        world.wire.reset();
        world.wire.fail_at(0, moment);
        let answer = webhook.send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"), "{answer:?}");
    }
    world.wire.reset();
    webhook.is_taken(&world).await;
    world.drain().await;
    assert_eq!(types(&receiver, "/hook"), ["inbound.stripe.paid"]);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_survives_a_crash_at_every_effect() {
    let platform = Platform::new("sendgrid", 1);
    let (world, receiver) = (world_of(&platform).await, Receiver::start().await);
    listen(&world, &receiver, "/hook", &["inbound.*"]).await;
    let two = |id: &str| {
        json!([
            {"sg_message_id": id, "event": "delivered", "timestamp": 1},
            {"sg_message_id": id, "event": "open", "timestamp": 1},
        ])
    };
    let webhook = |id: &str| Webhook { body: two(id).to_string(), ..Webhook::new(&world, &platform, "", "") };
    // The ids under which the events of a message came.
    let about = |id: &str, kind: &str| {
        let ours = receiver.at("/hook").into_iter().filter(|one| {
            let event = one.json();
            event["type"] == *kind && event["data"]["payload"]["sg_message_id"] == *id
        });
        ours.map(|one| one.header("webhook-id").to_owned()).collect::<BTreeSet<_>>()
    };
    let kinds = ["inbound.sendgrid.delivered", "inbound.sendgrid.open"];
    let play = async |id: &str| {
        delivered(&world, &webhook(id), || kinds.iter().all(|kind| !about(id, kind).is_empty())).await;
    };
    play("warm").await;
    world.wire.reset();
    play("undisturbed").await;
    let effects = world.wire.effects();
    assert!(effects > 5, "{effects}");
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            let id = format!("{moment:?}-{k}");
            world.wire.reset();
            world.wire.crash_at(k, moment);
            play(&id).await;
            world.wire.reset();
            for kind in kinds {
                assert_eq!(about(&id, kind).len(), 1, "{id}: {kind}");
            }
        }
    }
    world.audit().await;
}
