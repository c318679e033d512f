//! A processor that reports another amount or currency than was ordered.

use shared::store::dead_letters::DeadLetters;
use sim::payments::Disorder;

use super::*;

/// Where a processor says what was paid, and what else it may say. AbacatePay has one currency.
fn misstatements(way: Way) -> Vec<(&'static str, Value)> {
    let unit = |code: &str, value: &str| json!({"currency_code": code, "value": value});
    match way.0 {
        Processor::Stripe => vec![("/amount_total", json!(999)), ("/currency", json!("eur"))],
        Processor::Paypal => {
            let at = "/purchase_units/0/amount";
            vec![(at, unit("USD", "9.99")), (at, unit("EUR", "10.00")), (at, unit("USD", "10.01"))]
        }
        Processor::Abacatepay => vec![("/amount", json!(5_499)), ("/amount", json!(5_501))],
    }
}

async fn check_health(world: &World) {
    let event = include_str!("../../../events/health/schedule.json");
    world.stack.host.invoke("health", serde_json::from_str(event).unwrap()).await.unwrap();
    world.reconcile().await;
    world.clock.advance(Duration::from_secs(60));
}

/// No credits, an alert for the operator, and a purchase that waits for what they do: when the processor reports the
/// right amount, the same message grants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_amount_than_ordered_grants_nothing_and_the_operator_is_alerted() {
    for way in WAYS {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        let operator = world.new_key(&AccountId::operator(), vec![Scope::Read, Scope::Write]).await;
        let listen = json!({"url": receiver.url("/alerts"), "types": ["queue.*"]}).to_string();
        let operator = format!("Bearer {operator}");
        let headers = [("authorization", operator.as_str())];
        let made = world.call(Method::POST, "/v1/endpoints", &headers, Some(&listen)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let shop = Shop::of(&world).await;
        let url = world.stack.sqs.queue_url("genmux-payment-dead");
        let dead = DeadLetters::at(world.operator.sqs(), url);
        for (n, (at, wrong)) in misstatements(way).into_iter().enumerate() {
            let case = format!("{way} {at} {wrong}");
            let bought = shop.bought(way, &n.to_string()).await.body;
            let (id, session) = (bought["id"].as_str().unwrap(), shop.session(&bought));
            shop.payments().misstate(&session, at, wrong);
            shop.payments().pay(&session, Pay::Now);
            shop.world.drain().await;
            let failed = shop.topup(id).await;
            assert_eq!(
                (&failed["status"], &failed["failure"]),
                (&json!("failed"), &json!("amount_mismatch"))
            );
            assert_eq!((shop.balance().await, shop.ledger().await), (0, Vec::new()), "{case}");
            assert!(dead.depth().await.unwrap() > 0, "{case}");
            if n == 0 {
                check_health(&world).await;
                let alert = receiver.at("/alerts")[0].json();
                assert_eq!(
                    (&alert["type"], &alert["data"]["queue"]),
                    (&json!("queue.dead_letters"), &json!("payment"))
                );
            }
            // A repeat while nothing is mended grants nothing either.
            let moved = dead.redrive().await.unwrap();
            shop.world.drain().await;
            assert_eq!((shop.balance().await, dead.depth().await.unwrap()), (0, moved), "{case}");
            world
                .operator
                .sqs()
                .purge_queue()
                .queue_url(world.stack.sqs.queue_url("genmux-payment-dead"))
                .send()
                .await
                .unwrap();
            shop.world.audit().await;
        }
    }
}

/// One that has expired and is still asked about: it fails once, and is not asked about again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_payment_of_another_amount_is_parked_once() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    shop.payments().disorder(Disorder::Lost);
    let bought = shop.bought(HOSTED_IN_BRAZIL, "late").await.body;
    let (id, session) = (bought["id"].as_str().unwrap(), shop.session(&bought));
    shop.until(id, "expired").await;
    shop.payments().misstate(&session, "/amount", json!(5_499));
    shop.payments().pay(&session, Pay::Now);
    let dead = DeadLetters::at(world.operator.sqs(), world.stack.sqs.queue_url("genmux-payment-dead"));
    shop.world.clock.advance(Duration::from_secs(7 * 24 * 3_600));
    for _ in 0..5 {
        shop.world.reconcile().await;
        let failed = shop.topup(id).await;
        assert_eq!((&failed["status"], &failed["failure"]), (&json!("failed"), &json!("amount_mismatch")));
        assert_eq!((dead.depth().await.unwrap(), shop.balance().await), (1, 0));
        shop.world.clock.advance(MINUTES_15);
    }
    for at in ["/amount", "/paidAmount"] {
        shop.payments().misstate(&session, at, json!(5_500));
    }
    dead.redrive().await.unwrap();
    shop.world.drain().await;
    assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("paid"), CREDITS));
    shop.world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_right_amount_is_granted_with_it() {
    for (way, places) in [
        (Way::from(Processor::Stripe), &[("/amount_total", json!(1_000))][..]),
        (HOSTED_IN_BRAZIL, &[("/amount", json!(5_500)), ("/paidAmount", json!(5_500))]),
    ] {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(way, "a").await.body;
        let session = shop.session(&bought);
        let (at, wrong) = misstatements(way).remove(0);
        shop.payments().misstate(&session, at, wrong);
        shop.pay(&bought).await;
        assert_eq!(shop.balance().await, 0, "{way}");
        for (at, right) in places {
            shop.payments().misstate(&session, at, right.clone());
        }
        let url = world.stack.sqs.queue_url("genmux-payment-dead");
        assert!(DeadLetters::at(world.operator.sqs(), url).redrive().await.unwrap() > 0);
        shop.world.drain().await;
        assert_eq!(shop.balance().await, CREDITS, "{way}");
        assert_eq!(shop.topup(bought["id"].as_str().unwrap()).await["status"], "paid");
        shop.world.audit().await;
    }
}
