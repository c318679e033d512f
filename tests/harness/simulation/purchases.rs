//! Purchases of credits beside the orders: paid, declined or left alone, and some paid back.

use domain::payment::Processor;
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::purchases::Purchases;
use sim::payments::Pay;

use super::{Run, SUBMITS_MAX};

/// What it costs, in minor units.
const MINOR: u64 = 5_500;
const BACK: &str = "https://shop.example/back";

/// A purchase whose buyer has paid.
pub(super) struct Bought {
    id: String,
    payment: String,
    is_paid_back: bool,
}

impl Run {
    /// Buys as callers shall: the same order under the same key until it is answered. Most buyers pay.
    pub(super) async fn buy(&mut self, key: &str, number: usize) {
        let (processor, currency) = *self.chance.pick(&[
            (Processor::Stripe, "USD"),
            (Processor::Paypal, "EUR"),
            (Processor::Abacatepay, "BRL"),
        ]);
        let mut order = json!({"processor": processor, "amount": MINOR, "currency": currency});
        if processor != Processor::Abacatepay {
            order["return_url"] = BACK.into();
        }
        let (bearer, name) = (format!("Bearer {key}"), format!("purchase-{number}"));
        let headers = [("idempotency-key", name.as_str()), ("authorization", bearer.as_str())];
        for _ in 0..SUBMITS_MAX {
            let answer =
                self.world.call(Method::POST, "/v1/topups", &headers, Some(&order.to_string())).await;
            if answer.status.is_server_error() {
                continue;
            }
            let Some(session) = session(&answer.body) else {
                self.violation(format!("a purchase was answered {answer:?}"));
                return;
            };
            let payments = &self.world.stack.payments;
            match self.chance.below(8) {
                0 => {}
                1 => payments.pay(&session, Pay::Declined),
                _ => payments.pay(&session, Pay::Now),
            }
            self.sessions.push((answer.text("/id").to_owned(), session));
            return;
        }
    }

    /// Finds the purchases that are paid by now.
    fn find_paid(&mut self) {
        let payments = &self.world.stack.payments;
        for (id, session) in std::mem::take(&mut self.sessions) {
            match payments.payment_of(&session) {
                Some(payment) if payments.is_paid(&session) => {
                    self.bought.push(Bought { id, payment, is_paid_back: false });
                }
                _ => self.sessions.push((id, session)),
            }
        }
    }

    /// Pays one of the purchases back that are paid by now.
    pub(super) fn pay_back(&mut self) {
        self.find_paid();
        let place = self.chance.below(self.bought.len().max(1));
        if let Some(bought) = self.bought.get_mut(place).filter(|bought| !bought.is_paid_back) {
            self.world.stack.payments.refund(&bought.payment, MINOR);
            bought.is_paid_back = true;
        }
    }

    /// Every purchase is what its processor says.
    pub(super) async fn count_purchases(&mut self) {
        self.find_paid();
        let purchases = Purchases::new(self.world.table());
        let mut wrong = Vec::new();
        for bought in &self.bought {
            let id = bought.id.parse().expect("a purchase");
            let known = purchases.get(&id).await.expect("the table answers").map(|known| known.shown());
            let status = if bought.is_paid_back { "refunded" } else { "paid" };
            if known.as_ref().is_none_or(|known| known["status"] != status) {
                wrong.push(format!("a purchase is {status} at its processor: {known:?}"));
            }
        }
        wrong.into_iter().for_each(|problem| self.violation(problem));
        self.outcome.purchases = self.bought.len();
    }
}

/// The session of a purchase, as the processor's page or the PIX code names it.
fn session(bought: &Value) -> Option<String> {
    let by_page = bought["url"].as_str().and_then(|url| url.rsplit('/').next());
    let by_code = || bought["pix_code"].as_str()?.split("simulated").nth(1)?.split("5204").next();
    by_page.or_else(by_code).map(str::to_owned)
}
