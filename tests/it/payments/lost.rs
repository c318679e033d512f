//! Webhooks that are lost, doubled or in disorder: the books end the same.

use harness::Log;
use sim::payments::{Disorder, Play};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_webhook_is_lost_is_found_after_15_minutes() {
    for way in WAYS {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        shop.payments().disorder(Disorder::Lost);
        let bought = shop.bought(way, "a").await.body;
        shop.payments().pay(&shop.session(&bought), Pay::Now);
        shop.world.drain().await;
        assert_eq!(shop.balance().await, 0, "{way}");
        shop.world.clock.advance(MINUTES_15 + Duration::from_secs(1));
        shop.world.reconcile().await;
        assert_eq!(shop.balance().await, CREDITS, "{way}");
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_paid_expires_after_a_day_and_a_late_payment_still_counts() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    shop.payments().disorder(Disorder::Lost);
    for way in WAYS {
        let bought = shop.bought(way, &way.to_string()).await.body;
        let id = bought["id"].as_str().unwrap();
        let before = shop.world.clock.now();
        let expired = shop.until(id, "expired").await;
        assert_eq!((&expired["url"], &expired["pix_code"]), (&Value::Null, &Value::Null));
        let hours = shop.world.clock.now().since(before).as_secs() / 3_600;
        assert!((23..=24).contains(&hours), "{way}: {hours}");
    }
    // PayPal's order may still be approved.
    shop.payments().disorder(Disorder::None);
    let bought = shop.bought(Processor::Paypal, "late").await.body;
    shop.until(bought["id"].as_str().unwrap(), "expired").await;
    shop.pay(&bought).await;
    assert_eq!(shop.topup(bought["id"].as_str().unwrap()).await["status"], "paid");
    assert_eq!(shop.balance().await, CREDITS);
    shop.world.audit().await;
}

/// A hosted checkout may be paid after its purchase has expired, and its processor lists no events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_payment_whose_webhook_is_lost_is_found_within_a_week() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    shop.payments().disorder(Disorder::Lost);
    let bought = shop.bought(HOSTED_IN_BRAZIL, "late").await.body;
    let id = bought["id"].as_str().unwrap();
    shop.until(id, "expired").await;
    shop.pay(&bought).await;
    assert_eq!(shop.balance().await, 0);
    shop.world.clock.advance(Duration::from_secs(7 * 24 * 3_600));
    shop.world.reconcile().await;
    assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("paid"), CREDITS));
    shop.world.audit().await;
}

/// The daily list of Stripe and PayPal; AbacatePay has none, and is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_whose_webhook_is_lost_is_found_within_a_day() {
    for way in WAYS {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(way, "a").await.body;
        let payment = shop.pay(&bought).await;
        shop.payments().disorder(Disorder::Lost);
        shop.world.clock.advance(MINUTES_15);
        shop.payments().refund(&payment, 1_000);
        let refunded = shop.until(bought["id"].as_str().unwrap(), "refunded").await;
        assert_eq!(shop.balance().await, 0, "{way}: {refunded}");
        shop.world.audit().await;
    }
}

/// More than one list takes, all in one hour: it is listed by parts, and each goes further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_events_in_an_hour_hide_no_refund() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Paypal, "a").await.body;
    let payment = shop.pay(&bought).await;
    shop.payments().disorder(Disorder::Lost);
    let dispute = shop.payments().dispute(&payment);
    for _ in 0..30 {
        for _ in 0..100 {
            shop.payments().win(&dispute);
        }
        shop.world.clock.advance(Duration::from_secs(60));
    }
    shop.payments().refund(&payment, 1_000);
    let refunded = shop.until(bought["id"].as_str().unwrap(), "refunded").await;
    assert_eq!(shop.balance().await, 0, "{refunded}");
    let lists = shop.payments().calls();
    let pages = lists.iter().filter(|call| call.starts_with("GET /v1/notifications/webhooks-events"));
    assert!(pages.count() > 40, "they fitted into one list");
    shop.world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_and_reversed_webhooks_count_once() {
    for disorder in [Disorder::Doubled, Disorder::Reversed] {
        for way in WAYS {
            let world = World::new().await;
            let shop = Shop::of(&world).await;
            shop.payments().disorder(disorder);
            let bought = shop.bought(way, "a").await.body;
            let session = shop.session(&bought);
            shop.payments().pay(&session, Pay::Now);
            if way.0 == Processor::Paypal {
                // It is captured first.
                shop.world.drain().await;
            }
            let payment = shop.payments().payment_of(&session).unwrap();
            // All at once, and reported in the wrong order.
            let dispute = shop.payments().dispute(&payment);
            shop.payments().win(&dispute);
            if way.0 != Processor::Abacatepay {
                shop.payments().refund(&payment, 400);
            }
            shop.world.drain().await;
            let expected = if way.0 == Processor::Abacatepay { CREDITS } else { CREDITS * 6 / 10 };
            assert_eq!(shop.balance().await, expected, "{disorder:?} {way}");
            shop.world.audit().await;
        }
    }
}

/// Two functions at once on the same payment, and everything again in reverse when all is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_messages_move_nothing_twice() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    shop.world.wire.double();
    for way in WAYS {
        let bought = shop.bought(way, &way.to_string()).await.body;
        let payment = shop.pay(&bought).await;
        shop.payments().refund(&payment, 1_000);
        shop.world.drain().await;
    }
    let (balance, ledger) = (shop.balance().await, shop.ledger().await);
    assert_eq!((balance, ledger.len()), (0, 8));
    let invocations = shop.world.wire.invocations();
    for (function, event) in invocations.into_iter().rev() {
        let _answer = shop.world.stack.host.invoke(&function, event).await;
    }
    shop.world.drain().await;
    assert_eq!((shop.balance().await, shop.ledger().await), (balance, ledger));
    shop.world.audit().await;
}

/// A purchase is due, its payment is found, and its disputes cannot be read: what left is asked for again by the same
/// message, long before the daily list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_is_found_although_the_disputes_could_not_be_read_at_first() {
    for (processor, call) in
        [(Processor::Stripe, "GET /v1/disputes"), (Processor::Paypal, "GET /v1/customer/disputes")]
    {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(processor, "a").await.body;
        let (id, session) = (bought["id"].as_str().unwrap(), shop.session(&bought));
        shop.payments().disorder(Disorder::Lost);
        shop.payments().pay(&session, Pay::Now);
        let dispute = || Some(shop.payments().dispute(&shop.payments().payment_of(&session)?));
        // PayPal's payment is made when it is asked about.
        let is_disputed = dispute().is_some();
        for _ in 0..3 {
            shop.payments().play(call, Play::FailBefore);
        }
        shop.world.clock.advance(MINUTES_15 + Duration::from_secs(1));
        shop.world.reconcile().await;
        assert_eq!(shop.balance().await, CREDITS, "{processor}: what is known counts");
        assert!(is_disputed || dispute().is_some());
        for _ in 0..12 {
            shop.world.advance(MINUTES_15).await;
        }
        assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("disputed"), 0));
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_is_down_for_hours_is_asked_again() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Stripe, "a").await.body;
    for _ in 0..20 {
        shop.payments().play("GET /v1/checkout/sessions", Play::FailBefore);
    }
    shop.payments().pay(&shop.session(&bought), Pay::Now);
    shop.until(bought["id"].as_str().unwrap(), "paid").await;
    assert_eq!(shop.balance().await, CREDITS);
    shop.world.audit().await;
}

/// The buyer has approved, and the owner's account may not take the money: that fails no buyer.
#[tokio::test]
async fn an_order_that_the_owners_account_cannot_take_is_asked_about_again_with_an_alert() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Paypal, "a").await.body;
    let id = bought["id"].as_str().unwrap();
    let log = Log::start();
    shop.payments().play("POST /v2/checkout/orders/", Play::Refused);
    shop.payments().pay(&shop.session(&bought), Pay::Now);
    shop.world.drain().await;
    let alerts = log.of("processor.needs_attention");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((&alerts[0]["alert"], &alerts[0]["code"]), (&json!(true), &json!("payee_account_restricted")));
    assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("pending"), 0));
    shop.world.clock.advance(MINUTES_15 + Duration::from_secs(1));
    shop.world.reconcile().await;
    assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("paid"), CREDITS));
    shop.world.audit().await;
}

/// What is known of a payment counts, although what is asked next does not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_granted_although_its_disputes_cannot_be_read() {
    for (processor, call) in
        [(Processor::Stripe, "GET /v1/disputes"), (Processor::Paypal, "GET /v1/customer/disputes")]
    {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(processor, "a").await.body;
        for _ in 0..20 {
            shop.payments().play(call, Play::FailBefore);
        }
        shop.pay(&bought).await;
        assert_eq!(shop.balance().await, CREDITS, "{processor}");
        shop.world.audit().await;
    }
}
