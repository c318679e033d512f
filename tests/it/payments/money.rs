//! From the purchase to the balance, and back by refunds and disputes.

use harness::Receiver;

use sim::payments::Disorder;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_dollars_buy_a_video_and_their_refund_leaves_a_debt() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.buy(Processor::Stripe, "order-1").await;
    assert_eq!((bought.status, bought.text("/status")), (StatusCode::CREATED, "pending"), "{bought:?}");
    // The buyer presses the button of the page, and is led back.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = bought.text("/url").to_owned();
    assert!(
        client.get(&page).send().await.unwrap().text().await.unwrap().contains("1000 minor units of usd")
    );
    let paid = client.post(&page).body("paid=1").send().await.unwrap();
    let back = paid.headers()["location"].to_str().unwrap();
    assert_eq!(back, format!("{BACK}?topup={}", bought.text("/id")));
    shop.world.drain().await;
    let topup = shop.topup(bought.text("/id")).await;
    assert_eq!((&topup["status"], shop.balance().await), (&json!("paid"), CREDITS));

    let body = json!({"model": "gen-4.5", "prompt": "a paper boat"});
    let job = shop.call(Method::POST, "/v1/jobs", "", &body).await;
    assert_eq!(job.status, StatusCode::ACCEPTED, "{job:?}");
    let id = job.text("/id").parse().unwrap();
    shop.world.finish(&id).await;
    let left = shop.balance().await;
    assert!(left < CREDITS && left > 0);

    shop.payments().refund(topup["payment"].as_str().unwrap(), 1_000);
    shop.world.drain().await;
    let topup = shop.topup(bought.text("/id")).await;
    assert_eq!((&topup["status"], &topup["withdrawn_amount"]), (&json!("refunded"), &json!(1_000)));
    assert_eq!(shop.balance().await, left - CREDITS, "below zero");
    let refused = shop.call(Method::POST, "/v1/jobs", "", &body).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (402, "insufficient_credits"), "{refused:?}");
    let report = shop.world.audit().await.to_string();
    assert!(report.contains("clawed back 1000 - reinstated 0"), "{report}");
    assert!(report.contains("stripe: paid 1000, clawed back 1000, reinstated 0"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_processor_grants_takes_back_and_gives_back() {
    for way in WAYS {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(way, "a").await.body;
        let id = bought["id"].as_str().unwrap().to_owned();
        let payment = shop.pay(&bought).await;
        assert_eq!((shop.topup(&id).await["status"].clone(), shop.balance().await), (json!("paid"), CREDITS));
        let dispute = shop.payments().dispute(&payment);
        shop.world.drain().await;
        let disputed = shop.topup(&id).await;
        assert_eq!((&disputed["status"], shop.balance().await), (&json!("disputed"), 0), "{way}");
        shop.payments().win(&dispute);
        shop.world.drain().await;
        let won = shop.topup(&id).await;
        assert_eq!((&won["status"], shop.balance().await), (&json!("reinstated"), CREDITS), "{way}");
        let kinds: Vec<_> = shop.ledger().await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["clawback", "grant", "reinstate"], "{way}");
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refund_takes_its_own_share_and_one_that_fails_gives_it_back() {
    for processor in [Processor::Stripe, Processor::Paypal] {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(processor, "a").await.body;
        let id = bought["id"].as_str().unwrap().to_owned();
        let payment = shop.pay(&bought).await;
        let first = shop.payments().refund(&payment, 333);
        shop.world.drain().await;
        shop.payments().refund(&payment, 667);
        shop.world.drain().await;
        assert_eq!((shop.topup(&id).await["status"].clone(), shop.balance().await), (json!("refunded"), 0));
        shop.payments().fail_refund(&first);
        shop.world.drain().await;
        assert_eq!(shop.balance().await, 333_000_000, "{processor}");
        let amounts: Vec<_> = shop.ledger().await.into_iter().map(|(_, amount)| amount / 1_000_000).collect();
        assert_eq!(amounts, [333, 667, 1_000, 333], "{processor}");
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_payment_is_granted_when_the_money_is_there() {
    for is_paid in [true, false] {
        let world = World::new().await;
        let shop = Shop::of(&world).await;
        let bought = shop.bought(Processor::Stripe, "a").await.body;
        let (id, session) = (bought["id"].as_str().unwrap(), shop.session(&bought));
        shop.payments().pay(&session, Pay::Delayed);
        shop.world.drain().await;
        assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("pending"), 0));
        // A bank transfer takes days, and nothing more may be heard of it.
        for _ in 0..20 {
            shop.world.clock.advance(DAY / 2);
            shop.world.reconcile().await;
        }
        assert_eq!(shop.topup(id).await["status"], "pending", "the money is on its way");
        shop.payments().disorder(Disorder::Lost);
        shop.payments().clear(&session, is_paid);
        shop.world.clock.advance(DAY);
        shop.world.reconcile().await;
        let topup = shop.topup(id).await;
        let expected = if is_paid { ("paid", CREDITS) } else { ("failed", 0) };
        assert_eq!((topup["status"].as_str().unwrap(), shop.balance().await), expected);
        assert_eq!(topup["failure"].is_string(), !is_paid, "{topup}");
        shop.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_who_is_declined_pays_nothing_and_is_shown_so() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Paypal, "a").await.body;
    shop.payments().pay(&shop.session(&bought), Pay::Declined);
    shop.world.drain().await;
    let topup = shop.topup(bought["id"].as_str().unwrap()).await;
    assert_eq!((&topup["status"], &topup["failure"]), (&json!("failed"), &json!("instrument_declined")));
    assert_eq!(shop.balance().await, 0);
    // At Stripe the page says so, and another card may be taken.
    let bought = shop.bought(Processor::Stripe, "b").await.body;
    shop.payments().pay(&shop.session(&bought), Pay::Declined);
    shop.pay(&bought).await;
    assert_eq!(shop.balance().await, CREDITS);
    shop.world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_move_is_an_event_with_the_purchase() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url("/hook"), "types": ["topup.*", "credits.granted"]});
    assert_eq!(shop.call(Method::POST, "/v1/endpoints", "", &body).await.status, StatusCode::CREATED);
    let bought = shop.bought(Processor::Stripe, "a").await.body;
    let payment = shop.pay(&bought).await;
    shop.payments().refund(&payment, 100);
    shop.world.drain().await;
    let dispute = shop.payments().dispute(&payment);
    shop.world.drain().await;
    shop.payments().win(&dispute);
    shop.world.drain().await;
    let received: Vec<_> = receiver.at("/hook").iter().map(|one| one.json()).collect();
    let mut kinds: Vec<_> = received.iter().map(|body| body["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = ["credits.granted", "topup.disputed", "topup.paid", "topup.refunded", "topup.reinstated"];
    assert_eq!(kinds, expected);
    let paid = received.iter().find(|body| body["type"] == "topup.paid").unwrap();
    assert_eq!((&paid["data"]["id"], &paid["data"]["price"]), (&bought["id"], &json!("10.00")));
    let granted = received.iter().find(|body| body["type"] == "credits.granted").unwrap();
    assert_eq!(granted["data"]["id"], format!("stripe:{payment}"));
}
