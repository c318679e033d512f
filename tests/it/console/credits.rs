//! Credits are bought on the console's pages.

use std::time::Duration;

use domain::payment::Processor;
use harness::Log;
use serde_json::json;
use sim::payments::Pay;

use super::*;

/// The page of a purchase that was made by a form.
async fn buy(browser: &Browser, key: &str, choice: &[(&str, &str)]) -> Shown {
    browser.post("/credits/buy", &[&[("form", key)], choice].concat()).await
}

fn page_of(bought: &Shown) -> &str {
    assert_eq!(bought.status, StatusCode::SEE_OTHER, "{bought:?}");
    bought.location.strip_prefix("/console").unwrap()
}

/// What follows a text, up to a quote.
fn after<'a>(html: &'a str, text: &str) -> &'a str {
    html.split_once(text).unwrap_or_else(|| panic!("{text} is not in {html}")).1.split('"').next().unwrap()
}

pub(super) async fn everything(browser: &Browser, world: &World) {
    let bought = buy(browser, "all", &[("pack", "stripe hosted starter USD")]).await;
    let page = browser.get(page_of(&bought)).await.html;
    world.stack.payments.pay(after(&page, "/pay/"), Pay::Now);
    world.drain().await;
    browser.get("/credits").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_is_bought_paid_and_refunded_on_pages() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let before = world.balance().await;
    let credits = browser.get("/credits").await.html;
    assert!(
        credits.contains("1,000 credits: 10.00 USD") && credits.contains("Nothing was bought yet."),
        "{credits}"
    );
    let key = form_key(&credits);
    let bought = buy(&browser, &key, &[("pack", "stripe hosted starter USD")]).await;
    let path = page_of(&bought);
    // The same form makes one purchase, and no other.
    assert_eq!(page_of(&buy(&browser, &key, &[("pack", "stripe hosted starter USD")]).await), path);
    let other = buy(&browser, &key, &[("pack", "stripe hosted studio USD")]).await;
    assert!(
        other.status == StatusCode::UNPROCESSABLE_ENTITY && other.html.contains("something else already")
    );

    let pending = browser.get(path).await;
    assert!(
        pending.html.contains("hx-trigger=\"every 3s\"") && pending.html.contains("Pay by Stripe"),
        "{pending:?}"
    );
    let url = after(&pending.html, "class=\"button\" href=\"");
    let paid = browser.http.post(url).body("paid=1").send().await.unwrap();
    let back = paid.headers()["location"].to_str().unwrap();
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(back, format!("{}{path}?topup={id}", browser.url), "the buyer is led back to the same page");
    world.drain().await;
    let shown = browser.get(path).await.html;
    assert!(shown.contains("1000 credits were added") && !shown.contains("every 3s"), "{shown}");
    assert!(shown.contains("href=\"https://receipts.example/pi_"), "{shown}");
    assert_eq!(world.balance().await.micros() - before.micros(), 1_000_000_000);

    let payment = after(&shown, "https://receipts.example/").to_owned();
    world.stack.payments.refund(&payment, 250);
    world.drain().await;
    let shown = browser.get(path).await.html;
    assert!(shown.contains("paid back to you") && shown.contains("2.50 USD"), "{shown}");
    let credits = browser.get("/credits").await.html;
    for text in ["10.00 USD", &payment, "clawback", &format!("/console/credits/{id}")] {
        assert!(credits.contains(text), "{text}: {credits}");
    }
    world.audit().await;
}

/// At every processor, by the button of its simulated page: the whole sum, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_page_pays_back_what_was_paid_there() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let (before, url) = (world.balance().await, world.stack.payments_url());
    for choice in [
        [("pack", "stripe hosted starter USD")].as_slice(),
        &[("pack", "paypal hosted starter EUR")],
        &[("amount", "55"), ("in", "abacatepay pix BRL")],
    ] {
        buy(&browser, choice[0].1, choice).await;
        let index = browser.http.get(&url).send().await.unwrap().text().await.unwrap();
        let page = format!("{url}{}", after(&index, "<a href=\"/pay/"));
        let press = async |name: &str| {
            browser.http.post(&page).body(format!("{name}=1")).send().await.unwrap();
            world.advance(Duration::from_secs(60)).await;
            browser.http.get(&page).send().await.unwrap().text().await.unwrap()
        };
        let paid = press("paid").await;
        assert!(paid.contains("name=refunded") && !paid.contains("name=paid"), "{choice:?}: {paid}");
        assert!(world.balance().await > before, "{choice:?}");
        for _ in 0..2 {
            let refunded = press("refunded").await;
            assert!(!refunded.contains("<button"), "{choice:?}: {refunded}");
            assert_eq!(world.balance().await, before, "{choice:?}");
        }
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pix_code_is_a_picture_that_needs_no_script_and_no_other_site() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let bought = buy(&browser, "a", &[("amount", "55"), ("in", "abacatepay pix BRL")]).await;
    let shown = browser.get(page_of(&bought)).await;
    assert!(
        shown.html.contains("<svg class=\"qr\" role=\"img\" aria-label=\"QR code of the PIX payment\""),
        "{shown:?}"
    );
    let code = shown.html.split("readonly>00020101").nth(1).unwrap();
    assert!(code.contains("BR.GOV") || code.contains("simulatedchar_"), "{code}");
    assert!(
        shown.policy.contains("default-src 'none'") && shown.policy.contains("form-action 'self'"),
        "{shown:?}"
    );
    assert!(!shown.html.contains("style=") && !shown.html.contains("<script>"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_bought_is_said_on_the_form() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    for (choice, text) in [
        (&[("amount", "1"), ("in", "stripe hosted USD")][..], "minor units from 500 to 100000"),
        (&[("amount", "x"), ("in", "stripe hosted USD")], "a number like 25.00"),
        (&[("amount", "25"), ("in", "abacatepay pix USD")], "does not take"),
        (&[("pack", "stripe hosted nothing USD")], "is not sold"),
        (&[("pack", "stripe")], "a number like 25.00"),
        (&[], "a number like 25.00"),
    ] {
        let wrong = buy(&browser, "a", choice).await;
        assert!(
            wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.html.contains(text),
            "{text}: {wrong:?}"
        );
    }
    // What was chosen is still chosen.
    let low = [("amount", "1"), ("in", "abacatepay hosted BRL")];
    let wrong = buy(&browser, "a", &low).await.html;
    for text in ["<option value=\"abacatepay hosted BRL\" selected>", "value=\"1\""] {
        assert!(wrong.contains(text), "{text}: {wrong}");
    }
    assert_eq!(wrong.matches(" selected").count(), 1, "{wrong}");
    // An answer that is lost: the same form is offered again, and makes one purchase.
    world.stack.payments.play("POST /v1/checkout", sim::payments::Play::Lost);
    let choice = [("pack", "stripe hosted starter USD")];
    let lost = buy(&browser, "b", &choice).await;
    assert_eq!(
        (lost.status, form_key(&lost.html)),
        (StatusCode::SERVICE_UNAVAILABLE, "b".to_owned()),
        "{lost:?}"
    );
    assert!(lost.html.contains("<option value=\"stripe hosted starter USD\" selected>"), "{lost:?}");
    assert_eq!(lost.html.matches(" selected").count(), 1, "{lost:?}");
    let again = browser.get(page_of(&buy(&browser, "b", &choice).await)).await.html;
    let sessions = world.stack.payments.calls();
    assert_eq!(sessions.iter().filter(|call| call.starts_with("POST /v1/checkout")).count(), 2);
    assert!(again.contains("Pay by Stripe"), "{again}");

    // A form of another site, a key that may only read, another account's purchase.
    let mut foreign = Browser::signed_in(&world, &world.key).await;
    foreign.origin = "https://evil.example".to_owned();
    assert_eq!(buy(&foreign, "c", &choice).await.status, StatusCode::FORBIDDEN);
    let key = world.new_key(&world.account, vec![Scope::Read]).await;
    let reader = Browser::signed_in(&world, &key).await;
    assert_eq!(buy(&reader, "c", &choice).await.status, StatusCode::FORBIDDEN);
    let other: AccountId = "acct_other".parse().unwrap();
    let stranger = Browser::signed_in(&world, &world.new_key(&other, vec![Scope::Read]).await).await;
    let mine = buy(&browser, "d", &choice).await;
    assert_eq!(stranger.get(page_of(&mine)).await.status, StatusCode::NOT_FOUND);
    for id in ["top_x", "buy", "..%2f", "job_a"] {
        assert_eq!(browser.get(&format!("/credits/{id}")).await.status, StatusCode::NOT_FOUND, "{id}");
    }
}

/// The payment keys are missing, or none: that stops purchases alone, until they are mended.
#[tokio::test]
async fn a_console_without_usable_payment_keys_shows_every_page_and_alerts_at_a_purchase() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let other = world.stack.host.template().secrets["EndpointSecrets"].clone();
    let choice = [("pack", "stripe hosted starter USD")];
    world.wire.reset();
    browser.get("/jobs").await;
    browser.get("/credits").await;
    buy(&browser, "sample", &choice).await;
    let invoked: Vec<_> = world.wire.invocations().into_iter().map(|(_, event)| event).collect();
    let [jobs, credits, order] = &invoked[..] else { panic!("three calls of the console: {invoked:?}") };
    for keys in ["arn:of:nothing", &other] {
        let broken = world.start("console", &[("PAYMENT_KEYS", keys)]).await;
        for page in [jobs, credits] {
            let shown = broken.invoke(page.clone()).await;
            assert_eq!(shown["statusCode"], 200, "{keys}: {shown}");
        }
        let mut order = order.clone();
        order["body"] = json!(format!("form={keys}&pack=stripe+hosted+starter+USD"));
        order["isBase64Encoded"] = json!(false);
        let log = Log::start();
        let answer = broken.invoke(order).await;
        let text = answer["body"].as_str().unwrap();
        assert!(answer["statusCode"] == 503 && text.contains("The operator must act"), "{answer}");
        assert_eq!(log.of("processor.needs_attention")[0]["code"], "not_configured");
        let why = log.of("payments.not_configured")[0]["error"].to_string();
        assert!(why.contains("arn:of:nothing") || why.contains("STRIPE_SECRET_KEY is missing"), "{why}");
        let mended = browser.get(page_of(&buy(&browser, keys, &choice).await)).await.html;
        assert!(mended.contains("Pay by Stripe"), "{mended}");
    }
    let off = world.start("console", &[("PROCESSORS", ""), ("PAYMENT_KEYS", "")]).await;
    let shown = off.invoke(credits.clone()).await;
    assert!(
        shown["statusCode"] == 200 && !shown["body"].as_str().unwrap().contains("Buy credits"),
        "{shown}"
    );
}

/// The processors that are configured, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_configured_processors_are_offered() {
    let world = World::with(|options| {
        options.env = shared::boot::Env::from_pairs([("PROCESSORS", Processor::Paypal.name())]);
    })
    .await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let credits = browser.get("/credits").await.html;
    assert!(
        credits.contains("PayPal") && !credits.contains("Stripe") && !credits.contains("PIX"),
        "{credits}"
    );
    let off = buy(&browser, "a", &[("pack", "stripe hosted starter USD")]).await;
    assert!(
        off.status == StatusCode::UNPROCESSABLE_ENTITY && off.html.contains("configured payment processor")
    );
}
