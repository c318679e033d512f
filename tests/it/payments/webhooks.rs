//! Webhooks that are forged, stale, of something else or of the other mode move nothing.

use data_encoding::HEXLOWER;
use sim::payments::Disorder;

use super::*;

pub(crate) const SECRET: &str = "whsec_simulated";

fn mac(secret: &str, text: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Stripe's signature of a body at this time.
pub(crate) fn signature(body: &str, secret: &str, at: i64) -> String {
    format!("t={at},v1={}", mac(secret, &format!("{at}.{body}")))
}

pub(crate) fn event(object: &Value) -> Value {
    json!({"id": "evt_1", "object": "event", "livemode": false, "type": "checkout.session.completed",
        "data": {"object": object}})
}

/// Sends an event as Stripe does.
async fn send(shop: &Shop<'_>, body: &str, secret: &str, at: i64) -> Answer {
    let signature = signature(body, secret, at);
    let headers = [("authorization", ""), ("stripe-signature", &*signature)];
    shop.world.call(Method::POST, "/v1/payments/stripe", &headers, Some(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_stale_and_foreign_webhooks_move_nothing() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    shop.payments().disorder(Disorder::Lost);
    let bought = shop.bought(Processor::Stripe, "a").await.body;
    let (id, session) = (bought["id"].as_str().unwrap(), shop.session(&bought));
    let now = shop.world.clock.now().as_secs();
    // Signed by us, it claims that the session is paid. Stripe says that it is not.
    let claim = json!({"id": session, "object": "checkout.session", "client_reference_id": id,
        "payment_status": "paid", "amount_total": 1_000, "currency": "usd", "payment_intent": "pi_9"});
    let text = event(&claim).to_string();
    for (body, secret, at, status, code) in [
        (text.clone(), "whsec_other", now, 401, "bad_signature"),
        (text.clone(), SECRET, now - 301, 401, "bad_signature"),
        (text.replace("false", "true"), SECRET, now, 400, "wrong_mode"),
        ("{}".to_owned(), SECRET, now, 400, "malformed_webhook"),
        ("[]".to_owned(), SECRET, now, 400, "malformed_webhook"),
        ("\u{0}".to_owned(), SECRET, now, 400, "malformed_webhook"),
        (text.replace("\"event\"", "\"v2.core.event\""), SECRET, now, 400, "malformed_webhook"),
    ] {
        let answer = send(&shop, &body, secret, at).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body:.60}: {answer:?}");
    }
    let path = "/v1/payments/cash";
    assert_eq!(shop.world.call(Method::POST, path, &[], Some("{}")).await.status, StatusCode::NOT_FOUND);
    // Genuine: it is asked about, and what it claims is not believed.
    let strange =
        event(&json!({"id": "cs_test_9", "object": "checkout.session", "client_reference_id": "top_x"}));
    let other = event(&json!({"id": "prod_1", "object": "product"}));
    let path = event(&json!({"id": "../../v1/refunds", "object": "checkout.session"}));
    let lost = event(&json!({"object": "refund", "payment_intent": "pi_404"}));
    for body in [text, strange.to_string(), other.to_string(), path.to_string(), lost.to_string()] {
        assert_eq!(send(&shop, &body, SECRET, now).await.status, StatusCode::OK, "{body}");
        shop.world.drain().await;
    }
    assert_eq!((shop.topup(id).await["status"].clone(), shop.balance().await), (json!("pending"), 0));
    assert_eq!(shop.ledger().await, []);
    shop.world.audit().await;
}

/// The session of one purchase cannot pay another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_pays_its_own_purchase_alone() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let paid = shop.bought(Processor::Stripe, "a").await.body;
    let open = shop.bought(Processor::Stripe, "b").await.body;
    shop.pay(&paid).await;
    let claim =
        json!({"id": shop.session(&paid), "object": "checkout.session", "client_reference_id": open["id"]});
    let now = shop.world.clock.now().as_secs();
    assert_eq!(send(&shop, &event(&claim).to_string(), SECRET, now).await.status, StatusCode::OK);
    shop.world.drain().await;
    assert_eq!(shop.topup(open["id"].as_str().unwrap()).await["status"], "pending");
    assert_eq!(shop.balance().await, CREDITS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paypal_and_abacatepay_are_proved_and_of_one_mode_too() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    for processor in [Processor::Paypal, Processor::Abacatepay] {
        let path = format!("/v1/payments/{processor}");
        let forged = shop.world.call(Method::POST, &path, &[("authorization", "")], Some("{}")).await;
        assert_eq!((forged.status.as_u16(), forged.code()), (401, "bad_signature"), "{processor}");
    }
    // A live deployment takes none of the sandbox, whose webhooks are genuine.
    let live = shop.world.start("webhook", &[("PAYMENT_MODE", "live")]).await;
    for way in WAYS {
        shop.world.wire.reset();
        let bought = shop.bought(way, &way.to_string()).await.body;
        shop.pay(&bought).await;
        let invoked = shop.world.wire.invocations();
        let (_, event) = invoked.into_iter().find(|(name, _)| name == "webhook").expect("a webhook");
        let answer = live.invoke(event).await;
        assert_eq!(answer["statusCode"], 400, "{way}: {answer}");
        assert!(answer["body"].as_str().unwrap().contains("wrong_mode"), "{way}: {answer}");
    }
}
