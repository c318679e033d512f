//! Simulated payment processors: all on one port, each with its own paths, in test mode and in memory.
//!
//! They check what is sent as the processors do, show a page with a button to pay, and send signed webhooks, which
//! they retry for three days. A test pays, refunds and disputes by methods, and says by [`Payments::play`] how the
//! next calls are answered.

mod abacate;
mod books;
mod pages;
mod paypal;
mod server;
mod stripe;
mod webhooks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::payment::Processor;
use domain::time::Timestamp;
use serde_json::Value;

use crate::frame::clock::Clock;
use crate::frame::simulator::lock;
use books::Books;
pub use webhooks::Disorder;
use webhooks::Outgoing;

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// The rate limit, for so many seconds. Nothing is carried out.
    Busy(u32),
    /// The credentials are refused.
    Unauthorized,
    /// The owner's account may not do this now.
    Refused,
    /// A server error, and nothing is carried out.
    FailBefore,
    /// It is carried out, and the answer is a server error.
    FailAfter,
    /// It is carried out, and the connection ends without an answer.
    Lost,
}

/// How a buyer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pay {
    /// The money is there at once.
    Now,
    /// The money comes later: see [`Payments::clear`].
    Delayed,
    /// The buyer is declined.
    Declined,
}

/// All processors.
#[derive(Debug, Clone)]
pub struct Payments(Arc<State>);

#[derive(Debug)]
struct State {
    clock: Clock,
    http: reqwest::Client,
    books: Mutex<Books>,
    outgoing: Mutex<Outgoing>,
    plays: Mutex<Vec<(String, Play)>>,
    calls: Mutex<Vec<String>>,
}

impl Payments {
    /// # Panics
    ///
    /// If there is no HTTP client.
    pub fn new(clock: Clock) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        Self(Arc::new(State {
            clock,
            http: http.expect("an HTTP client"),
            books: Mutex::default(),
            outgoing: Mutex::default(),
            plays: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    /// What a stack that uses them is given, by variable: credentials, then what proves webhooks.
    pub fn credentials() -> [Vec<(&'static str, String)>; 2] {
        [[stripe::KEYS, paypal::KEYS, abacate::KEYS], [stripe::PROOFS, paypal::PROOFS, abacate::PROOFS]].map(
            |all| {
                all.iter()
                    .flat_map(|some| some.iter())
                    .map(|(name, value)| (*name, (*value).to_owned()))
                    .collect()
            },
        )
    }

    /// Where webhooks are sent: the API's URL.
    pub fn send_webhooks_to(&self, api: &str) {
        lock(&self.0.outgoing).api = api.trim_end_matches('/').to_owned();
    }

    /// Answers the next call so whose `METHOD /path` begins with this text.
    pub fn play(&self, call: &str, play: Play) {
        lock(&self.0.plays).push((call.to_owned(), play));
    }

    /// Every call so far, as `METHOD /path`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.0.calls).clone()
    }

    /// The buyer pays a session, an order or a PIX code.
    ///
    /// # Panics
    ///
    /// If it does not exist.
    pub fn pay(&self, session: &str, pay: Pay) {
        self.change(|books, now| {
            let paid = if session.starts_with("cs_") {
                stripe::pay(books, session, pay, now)
            } else if processor_of(session) == Processor::Abacatepay {
                abacate::pay(books, session, pay, now)
            } else {
                paypal::approve(books, session, pay, now)
            };
            assert!(paid, "{session} cannot be paid");
        });
    }

    /// Has a processor say something else of a session, order or payment, at this place of it.
    ///
    /// # Panics
    ///
    /// If there is no such place.
    pub fn misstate(&self, object: &str, at: &str, value: Value) {
        self.change(|books, _| {
            let object = books.objects.get_mut(object).expect("the object exists");
            *object.pointer_mut(at).expect("it has this member") = value;
        });
    }

    /// What became of a delayed payment.
    pub fn clear(&self, session: &str, is_paid: bool) {
        self.change(|books, now| stripe::clear(books, session, is_paid, now));
    }

    /// Pays back a part of a payment; the id of the refund.
    pub fn refund(&self, payment: &str, minor: u64) -> String {
        self.change(|books, now| match processor_of(payment) {
            Processor::Stripe => stripe::refund(books, payment, minor, now),
            Processor::Paypal => paypal::refund(books, payment, minor, now),
            Processor::Abacatepay => abacate::refund(books, payment, now),
        })
    }

    /// A refund does not arrive: its money is back.
    pub fn fail_refund(&self, refund: &str) {
        self.change(|books, now| match refund.starts_with("re_") {
            true => stripe::fail_refund(books, refund, now),
            false => paypal::fail_refund(books, refund, now),
        });
    }

    /// The buyer disputes a payment and its money leaves; the id of the dispute.
    pub fn dispute(&self, payment: &str) -> String {
        self.change(|books, now| match processor_of(payment) {
            Processor::Stripe => stripe::dispute(books, payment, now),
            Processor::Paypal => paypal::dispute(books, payment, now),
            Processor::Abacatepay => abacate::dispute(books, payment, now),
        })
    }

    /// The dispute is decided for us: its money is back.
    pub fn win(&self, dispute: &str) {
        self.change(|books, now| {
            if dispute.starts_with("du_") {
                stripe::win(books, dispute, now);
            } else if processor_of(dispute) == Processor::Abacatepay {
                abacate::win(books, dispute, now);
            } else {
                paypal::win(books, dispute, now);
            }
        });
    }

    /// The processor's payment of a session, once it is paid.
    pub fn payment_of(&self, session: &str) -> Option<String> {
        let books = lock(&self.0.books);
        let object = books.objects.get(session)?;
        let at = ["/payment_intent", "/purchase_units/0/payments/captures/0/id"];
        let found = at.iter().find_map(|at| object.pointer(at).and_then(Value::as_str));
        let is_payment = processor_of(session) == Processor::Abacatepay;
        found.map(str::to_owned).or_else(|| is_payment.then(|| session.to_owned()))
    }

    /// Whether a session is paid, and nothing of it paid back so far.
    pub fn is_paid(&self, session: &str) -> bool {
        pages::is_paid(self, session)
    }

    /// How the next webhooks are disordered.
    pub fn disorder(&self, disorder: Disorder) {
        lock(&self.0.outgoing).disorder = disorder;
    }

    /// Sends every due webhook and waits for the answers; returns the number of deliveries.
    pub async fn deliver_due(&self) -> usize {
        webhooks::deliver_due(self).await
    }

    /// When the next webhook is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.0.outgoing).next_due()
    }

    /// Events of this processor that were not taken yet, nor given up.
    pub fn pending(&self) -> usize {
        lock(&self.0.outgoing).pending()
    }

    /// Changes the books, and sends what follows.
    fn change<T>(&self, change: impl FnOnce(&mut Books, Timestamp) -> T) -> T {
        let now = self.0.clock.now();
        let mut books = lock(&self.0.books);
        let changed = change(&mut books, now);
        let new = std::mem::take(&mut books.new_events);
        lock(&self.0.outgoing).add(new, now);
        changed
    }
}

fn processor_of(payment: &str) -> Processor {
    match payment {
        payment if payment.starts_with("pi_") => Processor::Stripe,
        payment if payment.starts_with("char_") || payment.starts_with("bill_") => Processor::Abacatepay,
        _ => Processor::Paypal,
    }
}
