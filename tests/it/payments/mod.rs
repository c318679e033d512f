//! Purchases of credits, from the request to the processor and back, and what becomes of their money.

use std::time::Duration;

use domain::id::AccountId;
use domain::payment::{Method as Pays, Processor};
use harness::{Answer, Receiver, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::store::keystore::Scope;
use shared::store::ledger::Ledger;
use shared::store::purchases::Purchases;
use sim::payments::{Pay, Payments};

mod api;
mod crash;
mod lost;
mod mismatch;
mod money;
pub(crate) mod webhooks;

pub(crate) const BACK: &str = "https://shop.example/back";
const ACCOUNT: &str = "acct_buyer";
const MINUTES_15: Duration = Duration::from_secs(900);

/// A way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way(Processor, Pays);

const HOSTED_IN_BRAZIL: Way = Way(Processor::Abacatepay, Pays::Hosted);
/// Every way.
pub(crate) const WAYS: [Way; 4] = [
    Way(Processor::Stripe, Pays::Hosted),
    Way(Processor::Paypal, Pays::Hosted),
    Way(Processor::Abacatepay, Pays::Pix),
    HOSTED_IN_BRAZIL,
];

impl From<Processor> for Way {
    fn from(processor: Processor) -> Self {
        Self(processor, processor.methods()[0])
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1.name())
    }
}

/// An account that has nothing, and buys.
pub(crate) struct Shop<'a> {
    pub(crate) world: &'a World,
    bearer: String,
}

impl<'a> Shop<'a> {
    pub(crate) async fn of(world: &'a World) -> Self {
        let account: AccountId = ACCOUNT.parse().unwrap();
        let key = world.new_key(&account, vec![Scope::Read, Scope::Write]).await;
        world.wire.reset();
        Self { world, bearer: format!("Bearer {key}") }
    }

    pub(crate) fn payments(&self) -> &Payments {
        &self.world.stack.payments
    }

    pub(crate) async fn call(&self, method: Method, path: &str, key: &str, body: &Value) -> Answer {
        let text = if body.is_null() { None } else { Some(body.to_string()) };
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key)];
        self.world.call(method, path, &headers, text.as_deref()).await
    }

    /// Ten dollars, or fifty-five reais.
    pub(crate) async fn buy(&self, way: impl Into<Way>, key: &str) -> Answer {
        self.call(Method::POST, "/v1/topups", key, &order(way)).await
    }

    /// Buys until it is answered: the same order under the same key, as callers shall.
    pub(crate) async fn bought(&self, way: impl Into<Way>, key: &str) -> Answer {
        let way = way.into();
        for _ in 0..5 {
            let answer = self.buy(way, key).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert!(answer.status.is_server_error(), "{answer:?}");
        }
        panic!("the purchase is never taken");
    }

    /// As the API shows it, read behind its back.
    pub(crate) async fn topup(&self, id: &str) -> Value {
        let purchase = Purchases::new(self.world.table()).get(&id.parse().unwrap()).await;
        purchase.expect("the table answers").expect("the purchase exists").shown()
    }

    /// In micro-credits.
    pub(crate) async fn balance(&self) -> i64 {
        let account = ACCOUNT.parse().unwrap();
        Ledger::new(self.world.table()).balance(&account).await.expect("the table answers").micros()
    }

    /// The session of a purchase, as the processor's page or the PIX code names it.
    pub(crate) fn session(&self, bought: &Value) -> String {
        let by_page = bought["url"].as_str().and_then(|url| url.rsplit('/').next());
        let by_code = || {
            let code = bought["pix_code"].as_str()?;
            Some(code.split("simulated").nth(1)?.split("5204").next()?.to_owned())
        };
        by_page.map(str::to_owned).or_else(by_code).expect("a session")
    }

    /// Pays what was bought, and lets what follows happen; the processor's id of the payment.
    pub(crate) async fn pay(&self, bought: &Value) -> String {
        let session = self.session(bought);
        self.payments().pay(&session, Pay::Now);
        self.world.drain().await;
        self.payments().payment_of(&session).expect("a payment")
    }

    /// Lets the time pass until the purchase has this status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        for _ in 0..130 {
            self.world.drain().await;
            let topup = self.topup(id).await;
            if topup["status"] == status {
                return topup;
            }
            self.world.clock.advance(MINUTES_15);
            self.world.reconcile().await;
        }
        panic!("it never is {status}: {}", self.topup(id).await);
    }

    /// The kinds and amounts of the account's ledger lines, in their order.
    pub(crate) async fn ledger(&self) -> Vec<(String, u64)> {
        let answer = self.call(Method::GET, "/v1/account?limit=100", "", &Value::Null).await;
        let lines = answer.body["ledger"].as_array().unwrap().iter();
        let mut lines: Vec<_> = lines
            .map(|line| (line["kind"].as_str().unwrap().to_owned(), line["micro_credits"].as_u64().unwrap()))
            .collect();
        lines.sort();
        lines
    }
}

pub(crate) fn order(way: impl Into<Way>) -> Value {
    let Way(processor, method) = way.into();
    match (processor, method) {
        (Processor::Abacatepay, Pays::Pix) => {
            json!({"processor": processor, "amount": 5_500, "currency": "BRL"})
        }
        (Processor::Abacatepay, Pays::Hosted) => {
            json!({"processor": processor, "method": method, "amount": 5_500, "currency": "BRL", "return_url": BACK})
        }
        _ => json!({"processor": processor, "amount": 1_000, "currency": "USD", "return_url": BACK}),
    }
}

/// The credits of [`order`].
pub(crate) const CREDITS: i64 = 1_000_000_000;

/// Whatever can be done with purchases.
pub(crate) async fn everything(world: &World) {
    let shop = Shop::of(world).await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url("/topups"), "types": ["topup.*"]});
    assert_eq!(shop.call(Method::POST, "/v1/endpoints", "", &body).await.status, StatusCode::CREATED);
    for way in WAYS {
        let bought = shop.bought(way, &way.to_string()).await.body;
        let payment = shop.pay(&bought).await;
        shop.payments().refund(&payment, 100);
        shop.world.drain().await;
        // One whose payment only `reconcile` finds.
        let lost = shop.bought(way, &format!("{way} late")).await.body;
        shop.world.clock.advance(MINUTES_15);
        shop.world.reconcile().await;
        shop.pay(&lost).await;
    }
    shop.call(Method::GET, "/v1/topups", "", &Value::Null).await;
    shop.call(Method::GET, "/v1/packs", "", &Value::Null).await;
    shop.world.clock.advance(Duration::from_secs(25 * 3_600));
    shop.world.reconcile().await;
}
