//! What purchases answer, and webhooks of payment processors.

use domain::payment::Processor;
use harness::Moment;
use serde_json::{Value, json};

use super::Caller;
use crate::payments::{order, webhooks};

const NO_TOPUP: &str = "top_aaaaaaaaaaaaaaaaaaaaaaaaaa";

impl Caller {
    /// Every kind of answer.
    pub(super) async fn payments(&self) {
        let buy = async |key: &str, body: &str| {
            self.call("POST /v1/topups", "", &[("idempotency-key", key)], Some(body)).await
        };
        let body = order(Processor::Stripe).to_string();
        let bought = buy("topup", &body).await;
        assert_eq!((bought.status.as_u16(), buy("topup", &body).await.status.as_u16()), (201, 201));
        assert_eq!(buy("topup 2", &order(Processor::Abacatepay).to_string()).await.status, 201);
        for (body, status) in [("{", 400), (r#"{"colour": 1}"#, 422), (" ".repeat(256_001).as_str(), 413)] {
            assert_eq!(buy("topup 3", body).await.status, status, "{body:.20}");
        }
        for (route, id, status) in [
            ("GET /v1/topups/{id}", bought.text("/id"), 200),
            ("GET /v1/topups/{id}", NO_TOPUP, 404),
            ("GET /v1/topups", "", 200),
            ("GET /v1/topups?limit=0", "", 422),
            ("GET /v1/packs", "", 200),
        ] {
            assert_eq!(self.call(route, id, &[], None).await.status, status, "{route}");
        }
        self.without_processors().await;
        self.webhooks_of_processors().await;
    }

    /// A deployment that sells nothing.
    async fn without_processors(&self) {
        let started = self.world.start("topups", &[("PROCESSORS", "")]).await;
        let mut event = crate::documents::event("topups/create");
        event["headers"]["authorization"] = format!("Bearer {}", self.world.key).into();
        event["headers"]["idempotency-key"] = "none".into();
        let answer = started.invoke(event).await;
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!((&answer["statusCode"], &body["code"]), (&json!(409), &json!("payments_off")));
        self.seen.lock().unwrap().insert("POST /v1/topups 409".to_owned());
    }

    async fn webhooks_of_processors(&self) {
        let at = self.world.clock.now().as_secs();
        let post = async |processor: &str, signed: &str, body: &str| {
            let signature = webhooks::signature(signed, webhooks::SECRET, at);
            let headers = [("authorization", ""), ("stripe-signature", &*signature)];
            let answer = self.call("POST /v1/payments/{processor}", processor, &headers, Some(body)).await;
            answer.status.as_u16()
        };
        let body = webhooks::event(&json!({"object": "refund", "payment_intent": "pi_1"})).to_string();
        assert_eq!(post("stripe", &body, &body).await, 200);
        assert_eq!(post("stripe", "{}", "{}").await, 400);
        assert_eq!(post("stripe", "{}", "{ }").await, 401);
        assert_eq!(post("cash", "{}", "{}").await, 404);
        assert_eq!(post("stripe", "{}", &" ".repeat(5 * 1024 * 1024 + 1)).await, 413);
        self.world.wire.reset();
        self.world.wire.fail_at(0, Moment::Before);
        assert_eq!(post("stripe", &body, &body).await, 503);
        self.world.drain().await;
    }
}
