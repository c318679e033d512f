//! Functions that die or fail at any effect on the way of a purchase, and processors whose answers are lost.

use harness::Moment;
use sim::payments::Play;

use super::*;

/// From the request to the refund of all.
async fn play(shop: &Shop<'_>, way: impl Into<Way>, key: &str) {
    let before = shop.balance().await;
    let bought = shop.bought(way, key).await.body;
    let id = bought["id"].as_str().unwrap().to_owned();
    let session = shop.session(&bought);
    shop.payments().pay(&session, Pay::Now);
    let paid = shop.until(&id, "paid").await;
    assert_eq!(shop.balance().await, before + CREDITS, "{key}");
    shop.payments().refund(paid["payment"].as_str().unwrap(), 1_000);
    shop.until(&id, "refunded").await;
    assert_eq!(shop.balance().await, before, "{key}");
}

async fn effects(shop: &Shop<'_>, way: Way) -> usize {
    play(shop, way, &format!("{way} warm")).await;
    shop.world.wire.reset();
    play(shop, way, &format!("{way} counted")).await;
    shop.world.wire.effects()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_survives_a_crash_and_a_failure_at_every_effect() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    for way in WAYS {
        let effects = effects(&shop, way).await;
        for moment in [Moment::Before, Moment::After] {
            // A play may have an effect less or more than another: what is due is asked about as time passes.
            for k in 0.. {
                shop.world.wire.reset();
                shop.world.wire.crash_at(k, moment);
                play(&shop, way, &format!("{way} crash {moment:?} {k}")).await;
                if !shop.world.wire.is_spent() {
                    assert!(k >= 5 && k + 2 >= effects, "{way} crash {moment:?}: {k} of {effects} effects");
                    break;
                }
                // What follows an error is the same at each processor.
                if way.0 == Processor::Stripe {
                    shop.world.wire.reset();
                    shop.world.wire.fail_at(k, moment);
                    play(&shop, way, &format!("failure {moment:?} {k}")).await;
                }
            }
        }
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_the_table_or_a_queue_moves_nothing_twice() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let effects = effects(&shop, Processor::Stripe.into()).await;
    for k in 0..effects {
        shop.world.wire.reset();
        shop.world.wire.lose_answer_at(k);
        play(&shop, Processor::Stripe, &format!("lost answer {k}")).await;
    }
    shop.world.audit().await;
}

/// Each call of a processor in turn: refused, carried out without an answer, and cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_survives_every_fault_at_every_call_of_its_processor() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    for way in WAYS {
        let before = shop.payments().calls().len();
        play(&shop, way, &format!("{way} undisturbed")).await;
        let mut calls: Vec<_> = shop.payments().calls().split_off(before);
        calls.sort();
        calls.dedup_by(|one, other| kind(one) == kind(other));
        for call in calls {
            for fault in [Play::FailBefore, Play::FailAfter, Play::Lost, Play::Busy(3), Play::Unauthorized] {
                if call.contains("oauth2") {
                    // Until the access token has expired.
                    shop.world.clock.advance(Duration::from_secs(9 * 3_600));
                }
                shop.payments().play(&kind(&call), fault);
                play(&shop, way, &format!("{way} {} {fault:?}", kind(&call))).await;
            }
        }
        shop.world.audit().await;
    }
}

/// A call without the id in its path.
fn kind(call: &str) -> String {
    let is_id =
        |step: &&str| ["cs_", "pi_", "ORDER-", "CAPTURE-", "PP-D-"].iter().any(|id| step.starts_with(id));
    let steps: Vec<_> = call.split('/').take_while(|step| !is_id(step)).collect();
    steps.join("/")
}
