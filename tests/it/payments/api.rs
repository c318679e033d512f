//! What can be asked for, what is refused, and what a repeat gets.

use harness::Log;
use sim::payments::Play;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_gets_the_same_session_and_another_body_is_refused() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    for way in WAYS {
        let first = shop.buy(way, &way.to_string()).await;
        let again = shop.buy(way, &way.to_string()).await;
        assert_eq!(
            (&again.body, again.headers["idempotent-replayed"].as_bytes()),
            (&first.body, &b"true"[..])
        );
        let got =
            shop.call(Method::GET, &format!("/v1/topups/{}", first.text("/id")), "", &Value::Null).await;
        assert_eq!((got.status, &got.body), (StatusCode::OK, &first.body));
        assert_eq!(first.headers["location"], format!("/v1/topups/{}", first.text("/id")));
        let mut other = order(way);
        other["amount"] = json!(6_000);
        let refused = shop.call(Method::POST, "/v1/topups", &way.to_string(), &other).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "idempotency_key_reused"));
    }
    // Another account's key is another purchase.
    let body = order(Processor::Stripe).to_string();
    let other = shop
        .world
        .call(Method::POST, "/v1/topups", &[("idempotency-key", "stripe hosted")], Some(&body))
        .await;
    assert_eq!(other.status, StatusCode::CREATED);
    let path = format!("/v1/topups/{}", other.text("/id"));
    assert_eq!(shop.call(Method::GET, &path, "", &Value::Null).await.status, StatusCode::NOT_FOUND);
    let listed = shop.call(Method::GET, "/v1/topups?limit=2", "", &Value::Null).await.body;
    assert_eq!(listed["topups"].as_array().unwrap().len(), 2);
    let rest = format!("/v1/topups?cursor={}", listed["next_cursor"].as_str().unwrap());
    let rest = shop.call(Method::GET, &rest, "", &Value::Null).await.body;
    assert_eq!((rest["topups"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
}

/// Carried out or not: the repeat under the same key gets the one session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_a_503_and_its_repeat_makes_no_second_session() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    for (processor, path) in [
        (Way::from(Processor::Stripe), "POST /v1/checkout/sessions"),
        (Processor::Paypal.into(), "POST /v2/checkout/orders"),
        (Processor::Abacatepay.into(), "POST /v2/transparents/create"),
        (HOSTED_IN_BRAZIL, "POST /v2/checkouts/create"),
    ] {
        for play in [Play::FailBefore, Play::FailAfter, Play::Lost, Play::Busy(7), Play::Unauthorized] {
            let key = format!("{path} {play:?}").replace(',', "");
            shop.payments().play(path, play);
            let answer = shop.buy(processor, &key).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"), "{key}: {answer:?}");
            let wait = if play == Play::Busy(7) { "7" } else { "2" };
            assert_eq!(answer.headers["retry-after"], wait, "{key}");
            let bought = shop.buy(processor, &key).await;
            assert_eq!((bought.status, bought.text("/status")), (StatusCode::CREATED, "pending"), "{key}");
            shop.pay(&bought.body).await;
        }
    }
    assert_eq!(shop.balance().await, 20 * CREDITS);
    shop.world.audit().await;
}

/// A hosted checkout in Brazil that costs so many cents.
fn hosted_of(cents: u64) -> Value {
    let mut order = order(HOSTED_IN_BRAZIL);
    order["amount"] = json!(cents);
    order
}

/// The product of a checkout is made for the first purchase of it: a later one needs a single call.
#[tokio::test]
async fn a_product_is_made_where_it_is_missing_and_its_own_trouble_is_what_is_said() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let (checkout, product) = ("POST /v2/checkouts/create", "POST /v2/products/create");
    for (key, expected) in [("first", &[checkout, product, checkout][..]), ("second", &[checkout])] {
        let before = shop.payments().calls().len();
        assert_eq!(shop.buy(HOSTED_IN_BRAZIL, key).await.status, StatusCode::CREATED, "{key}");
        assert_eq!(shop.payments().calls().split_off(before), expected, "{key}");
    }
    let plays = [Play::FailBefore, Play::FailAfter, Play::Lost, Play::Busy(7), Play::Unauthorized];
    for (cents, play) in (6_000..).step_by(100).zip(plays) {
        shop.payments().play(product, play);
        let key = format!("{play:?}");
        let answer = shop.call(Method::POST, "/v1/topups", &key, &hosted_of(cents)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"), "{key}: {answer:?}");
        let bought = shop.call(Method::POST, "/v1/topups", &key, &hosted_of(cents)).await;
        assert_eq!((bought.status, bought.text("/status")), (StatusCode::CREATED, "pending"), "{key}");
        shop.pay(&bought.body).await;
    }
    let log = Log::start();
    shop.payments().play(product, Play::Refused);
    let refused = shop.call(Method::POST, "/v1/topups", "refused", &hosted_of(9_000)).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "topup_refused"), "{refused:?}");
    let alert = &log.of("processor.needs_attention")[0];
    assert_eq!((&alert["class"], &alert["code"]), (&json!("refused"), &json!("refused")), "{alert}");
    shop.world.audit().await;
}

/// What it refuses is the owner's price, or the owner's account: they are alerted.
#[tokio::test]
async fn what_a_processor_refuses_fails_at_once_with_an_alert() {
    let own = "[topups]\namounts = { USD = { per_credit = 10_000, min = 1, max = 100 } }".to_owned();
    let world = World::with(|options| options.catalog = Some(own)).await;
    let shop = Shop::of(&world).await;
    let body = json!({"processor": "stripe", "amount": 49, "currency": "USD", "return_url": BACK});
    let log = Log::start();
    let refused = shop.call(Method::POST, "/v1/topups", "a", &body).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "topup_refused"), "{refused:?}");
    assert_eq!(log.of("processor.needs_attention")[0]["code"], "amount_too_small");
    assert!(refused.text("/detail").contains("amount_too_small"), "{refused:?}");
    let again = shop.call(Method::POST, "/v1/topups", "a", &body).await;
    assert_eq!((again.text("/status"), again.text("/failure")), ("failed", "amount_too_small"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_its_field() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let with = |field: &str, value: Value| {
        let mut body = order(Processor::Stripe);
        body[field] = value;
        body
    };
    let long = format!("https://shop.example/{}", "x".repeat(3_000));
    for (body, field) in [
        (with("amount", json!(0)), "amount"),
        (with("amount", json!(-1)), "amount"),
        (with("amount", json!(10.5)), "amount"),
        (with("amount", json!("1000")), "amount"),
        (with("amount", json!(u64::MAX)), "amount"),
        (with("amount", json!(99_999_999)), "amount"),
        (with("currency", json!("usd")), "currency"),
        (with("currency", json!("XXX")), "currency"),
        (with("currency", json!(null)), "currency"),
        (with("currency", json!(["USD"])), "currency"),
        (with("processor", json!("cash")), "processor"),
        (with("processor", json!(7)), "processor"),
        (with("processor", json!("abacatepay")), "amount"),
        (with("method", json!("pix")), "method"),
        (with("method", json!("cash")), "method"),
        (with("method", json!(7)), "method"),
        (with("pack", json!("starter")), "pack"),
        (with("return_url", json!(null)), "return_url"),
        (with("return_url", json!("shop.example")), "return_url"),
        (with("return_url", json!("https://u:p@shop.example/")), "return_url"),
        (with("return_url", json!("https://shop.example/\u{7}")), "return_url"),
        (with("return_url", json!("javascript:alert(1)")), "return_url"),
        (with("return_url", json!(long)), "return_url"),
        (json!({"processor": "stripe", "return_url": BACK}), "pack"),
        (json!({"processor": "stripe", "return_url": BACK, "pack": "x"}), "pack"),
        (json!({"processor": "stripe", "return_url": BACK, "pack": "starter"}), "currency"),
        (json!({"amount": 1_000, "currency": "USD", "return_url": BACK}), "processor"),
        (
            json!({"processor": "abacatepay", "method": "hosted", "amount": 5_500, "currency": "BRL"}),
            "return_url",
        ),
    ] {
        let answer = shop.call(Method::POST, "/v1/topups", "", &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_request"), "{body}: {answer:?}");
        assert_eq!(answer.text("/errors/0/field"), field, "{body}: {answer:?}");
    }
    for path in ["/v1/topups/top_x%00", "/v1/topups/..", "/v1/topups/top_", "/v1/topups/job_a"] {
        assert_eq!(
            shop.call(Method::GET, path, "", &Value::Null).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert!(shop.payments().calls().is_empty(), "nothing was asked of a processor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sold_is_listed_and_without_a_processor_nothing_is() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let sold = shop.call(Method::GET, "/v1/packs", "", &Value::Null).await.body;
    assert_eq!(sold["processors"], json!(["stripe", "paypal", "abacatepay"]));
    assert_eq!((&sold["mode"], &sold["packs"][0]["prices"]["USD"]), (&json!("test"), &json!(1_000)));
    let body = json!({"processor": "paypal", "pack": "starter", "currency": "JPY", "return_url": BACK});
    let bought = shop.call(Method::POST, "/v1/topups", "", &body).await;
    assert_eq!((bought.text("/price"), bought.text("/pack")), ("1500", "starter"), "{bought:?}");
    shop.pay(&bought.body).await;
    assert_eq!(shop.balance().await, CREDITS);

    let started = shop.world.start("topups", &[("PROCESSORS", "")]).await;
    let mut event: Value = serde_json::from_str(include_str!("../../../events/topups/create.json")).unwrap();
    event["headers"]["authorization"] = shop.bearer.as_str().into();
    let answer = started.invoke(event).await;
    assert_eq!(answer["statusCode"], 409, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains("payments_off"), "{answer}");
}
