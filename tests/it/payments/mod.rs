//! Purchases of credits, from the request to the processor and back, and what becomes of their money.

use std::time::Duration;

use domain::id::AccountId;
use domain::payment::Processor;
use harness::{Answer, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::store::keystore::Scope;
use sim::payments::{Pay, Payments};

mod api;
mod crash;
mod lost;
mod money;
mod webhooks;

pub(crate) const BACK: &str = "https://shop.example/back";
const MINUTES_15: Duration = Duration::from_secs(900);

/// A world with an account that has nothing.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) account: AccountId,
    bearer: String,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::of(World::new().await).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let account: AccountId = "acct_buyer".parse().unwrap();
        let key = world.new_key(&account, vec![Scope::Read, Scope::Write]).await;
        world.wire.reset();
        Self { world, account, bearer: format!("Bearer {key}") }
    }

    pub(crate) fn payments(&self) -> &Payments {
        &self.world.stack.payments
    }

    pub(crate) async fn call(&self, method: Method, path: &str, key: &str, body: &Value) -> Answer {
        let text = if body.is_null() { None } else { Some(body.to_string()) };
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key)];
        self.world.call(method, path, &headers, text.as_deref()).await
    }

    /// Ten dollars, or fifty reais by PIX.
    pub(crate) async fn buy(&self, processor: Processor, key: &str) -> Answer {
        self.call(Method::POST, "/v1/topups", key, &order(processor)).await
    }

    /// Buys until it is answered: the same order under the same key, as callers shall.
    pub(crate) async fn bought(&self, processor: Processor, key: &str) -> Answer {
        for _ in 0..5 {
            let answer = self.buy(processor, key).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert!(answer.status.is_server_error(), "{answer:?}");
        }
        panic!("the purchase is never taken");
    }

    pub(crate) async fn topup(&self, id: &str) -> Value {
        let answer = self.call(Method::GET, &format!("/v1/topups/{id}"), "", &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    /// In micro-credits.
    pub(crate) async fn balance(&self) -> i64 {
        let answer = self.call(Method::GET, "/v1/account", "", &Value::Null).await;
        answer.body["balance_micro_credits"].as_i64().unwrap()
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

    /// The kinds and amounts of the account's ledger lines, the newest first.
    pub(crate) async fn ledger(&self) -> Vec<(String, u64)> {
        let answer = self.call(Method::GET, "/v1/account?limit=100", "", &Value::Null).await;
        let lines = answer.body["ledger"].as_array().unwrap().iter();
        lines
            .map(|line| (line["kind"].as_str().unwrap().to_owned(), line["micro_credits"].as_u64().unwrap()))
            .collect()
    }
}

pub(crate) fn order(processor: Processor) -> Value {
    match processor {
        Processor::Abacatepay => json!({"processor": processor, "amount": 5_500, "currency": "BRL"}),
        _ => json!({"processor": processor, "amount": 1_000, "currency": "USD", "return_url": BACK}),
    }
}

/// The credits of [`order`].
pub(crate) const CREDITS: i64 = 1_000_000_000;

/// Whatever can be done with purchases.
pub(crate) async fn everything(world: World) -> World {
    let shop = Shop::of(world).await;
    for processor in Processor::ALL {
        let bought = shop.bought(processor, processor.name()).await.body;
        let payment = shop.pay(&bought).await;
        shop.payments().refund(&payment, 100);
        shop.world.drain().await;
        // One whose payment only `reconcile` finds.
        let lost = shop.bought(processor, &format!("{processor} late")).await.body;
        shop.world.clock.advance(MINUTES_15);
        shop.world.reconcile().await;
        shop.pay(&lost).await;
    }
    shop.call(Method::GET, "/v1/topups", "", &Value::Null).await;
    shop.call(Method::GET, "/v1/packs", "", &Value::Null).await;
    shop.world.clock.advance(Duration::from_secs(25 * 3_600));
    shop.world.reconcile().await;
    shop.world
}
