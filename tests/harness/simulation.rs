//! Everything at once: many accounts and jobs, providers that misbehave one by one and for
//! everybody, functions that die between any two of their effects and whose clocks differ,
//! messages that come late, twice and in any order, two of everything at one time; and the
//! books at the end.
//!
//! What happens is drawn from a seed. The clock is turned by hand; between the storm and the
//! audit the stack is left alone until nothing is live any more.
//!
//! The same seed draws the same orders, weathers, clocks and pace. Which of several calls that
//! are under way at one time lands first, the machine decides: so the storm may hit another
//! effect in another run, and a rare failure may need its seed to be played a few times.

mod books;
mod chance;
mod clocks;
mod count;
mod outcome;
mod purchases;
mod spoil;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::credit::Credits;
use domain::id::JobId;
use domain::time::Timestamp;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::boot::Random;
use shared::store::keys::{self, CHECK_AT, DUE_INDEX};
use shared::store::keystore::Scope;
use sim::{CallKind, Fault};

use crate::wire::Storm;
use crate::world::{Answer, ROUNDS_MAX, World};
use chance::{Chance, Pace};
use clocks::Clocks;
use purchases::Bought;

pub use outcome::{Outcome, Total};

/// When every simulation begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
/// One effect in so many goes wrong, one invocation in so many is made twice, and one message
/// in so many is late or comes twice.
const ONE_EFFECT_IN: u32 = 60;
const ONE_INVOCATION_IN: u32 = 8;
const ONE_MESSAGE_IN: u32 = 10;
/// One order in so many is equal to the one before.
const EQUAL_ORDER_IN: usize = 6;
/// How long the due index lags at most.
const LAG_MAX: Duration = Duration::from_secs(60);
/// Rows that no release can read, in one shard, while the storm lasts.
const UNREADABLE: usize = 12;
/// Tries of one submit: callers repeat what was answered by 5xx, under the same key.
const SUBMITS_MAX: usize = 20;
/// Simulated time within which everything must have ended when nothing goes wrong any more.
const RECOVERY_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);
/// The clock is turned by so much at least where little happens: by the more, the longer that
/// has been so, for a job that is asked about for a day would cost as much as a hundred others.
const STRIDE_MIN: Duration = Duration::from_secs(30);
const STRIDE_MAX: Duration = Duration::from_secs(600);
const STRIDE_PART: u32 = 20;

/// One run under way.
struct Run {
    world: World,
    chance: Chance,
    clocks: Clocks,
    pace: Pace,
    /// The jobs by the numbers of their orders, and whose they are.
    made: BTreeMap<usize, (JobId, String)>,
    /// The order that was placed last.
    last: Option<Value>,
    /// The numbers of the orders that were equal to one, by its number.
    equals: BTreeMap<usize, Vec<usize>>,
    /// Rows that no release can read, while the storm lasts.
    unreadable: Vec<JobId>,
    /// Purchases with their sessions, and those that were paid.
    sessions: Vec<(String, String)>,
    bought: Vec<Bought>,
    outcome: Outcome,
}

/// Plays one seed with so many jobs.
pub async fn run(seed: u64, jobs: usize) -> Outcome {
    let chance = Chance(Random::seeded(seed));
    let pace = Pace::draw(&chance);
    let webhooks = !chance.one_in(4);
    let random = Random::seeded(seed ^ 0x5eed);
    let clocks = Clocks::new(START, &chance);
    let world = World::with(|options| {
        options.webhooks = webhooks;
        options.random = random;
        options.clock = clocks.world();
        options.clocks = clocks.functions();
    })
    .await;
    world.wire.watch_refunds(clocks.world());
    let outcome = Outcome { seed, pace: pace.name(), ..Outcome::default() };
    let mut run = Run {
        world,
        chance,
        clocks,
        pace,
        made: BTreeMap::new(),
        last: None,
        equals: BTreeMap::new(),
        unreadable: Vec::new(),
        sessions: Vec::new(),
        bought: Vec::new(),
        outcome,
    };
    run.storm(jobs).await;
    run.settle_down().await;
    run.count().await;
    run.count_purchases().await;
    run.outcome
}

impl Run {
    /// Plays all orders, with everything going wrong.
    async fn storm(&mut self, jobs: usize) {
        let keys = accounts(&self.world, &self.chance).await;
        self.world.wire.storm(Storm {
            random: Random::seeded(self.outcome.seed ^ 0x0570_4a11),
            clock: self.clocks.world(),
            one_effect_in: ONE_EFFECT_IN,
            one_invocation_in: ONE_INVOCATION_IN,
            one_message_in: ONE_MESSAGE_IN,
        });
        self.unreadable = spoil::ids(if self.chance.one_in(2) { UNREADABLE } else { 0 });
        spoil::put(&self.world, &self.unreadable).await;
        let mut asked = 0;
        while asked < jobs {
            for _ in 0..=self.chance.below(self.pace.crowd()).min(jobs - asked - 1) {
                let caller = self.chance.pick(&keys).clone();
                self.submit(&caller, asked).await;
                asked += 1;
            }
            self.trouble();
            if self.chance.one_in(6) {
                let buyer = self.chance.pick(&keys).clone();
                self.buy(&buyer, asked).await;
            }
            if self.chance.one_in(12) {
                self.pay_back();
            }
            if self.chance.one_in(4) {
                self.squall().await;
            }
            let gap = self.pace.gap(&self.chance);
            if self.pace == Pace::Dense {
                self.turn(gap).await;
            } else {
                self.pass(gap).await;
            }
            if self.chance.one_in(2) {
                self.tick().await;
            }
        }
        spoil::remove(&self.world, &self.unreadable).await;
        self.outcome.effects = self.world.wire.effects();
        self.outcome.spoilt = self.world.wire.spoilt();
        self.outcome.spoilt_dispatch = self.world.wire.spoilt_of("dispatch");
        self.world.wire.reset();
        self.clocks.settle(&self.chance);
        for simulator in self.world.stack.simulators.values() {
            simulator
                .set_fault_profile("note=fair", self.world.clock.now())
                .expect("the fault profile is known");
        }
    }

    /// Submits as callers shall: the same order under the same key until it is answered. Now
    /// and then two of them race.
    async fn submit(&mut self, key: &str, number: usize) {
        let bearer = format!("Bearer {key}");
        let equal = self.last.take().filter(|_| self.chance.one_in(EQUAL_ORDER_IN));
        let order = equal.unwrap_or_else(|| chance::order(&self.chance, number));
        let first = chance::number(order["prompt"].as_str().unwrap_or_default()).unwrap_or(number);
        self.equals.entry(first).or_default().push(number);
        let body = order.to_string();
        self.last = Some(order);
        let idempotency_key = format!("order-{number}");
        let headers = [("idempotency-key", idempotency_key.as_str()), ("authorization", bearer.as_str())];
        let mut racers = if self.chance.one_in(10) { 3 } else { 1 };
        for _ in 0..SUBMITS_MAX {
            let posts = (0..racers).map(|_| self.world.call(Method::POST, "/v1/jobs", &headers, Some(&body)));
            let answers = join_all(posts).await;
            let mut again = false;
            for answer in answers {
                again |= self.take(answer, number, key);
            }
            if !again {
                return;
            }
            racers = 1;
        }
    }

    /// Notes the answer to a submit; says whether it has to be made again.
    fn take(&mut self, answer: Answer, number: usize, key: &str) -> bool {
        match answer.status {
            StatusCode::ACCEPTED => {
                let id: JobId = answer.text("/id").parse().expect("a job id");
                match self.made.get(&number) {
                    Some((known, _)) if *known != id => {
                        self.violation(format!("one key made two jobs: {known} and {id}"));
                    }
                    _ => {
                        self.made.insert(number, (id, key.to_owned()));
                    }
                }
                false
            }
            StatusCode::PAYMENT_REQUIRED | StatusCode::TOO_MANY_REQUESTS => {
                self.outcome.turned_away += 1;
                false
            }
            status if status.is_server_error() => !self.made.contains_key(&number),
            _ => {
                self.violation(format!("a submit was answered {answer:?}"));
                false
            }
        }
    }

    /// Draws new trouble of providers and clocks.
    fn trouble(&mut self) {
        let chance = &self.chance;
        if chance.one_in(5) {
            let kinds =
                [CallKind::Create, CallKind::Poll, CallKind::Result, CallKind::Media, CallKind::LookUp];
            let fault = if chance.one_in(2) { Fault::DropBefore } else { Fault::DropAfter };
            self.world.simulator(chance.provider()).cut(*chance.pick(&kinds), fault);
        }
        if chance.one_in(4) {
            let until = self.world.clock.now() + self.pace.spell(chance);
            let (provider, weather) = (chance.provider(), chance.weather());
            self.world
                .simulator(provider)
                .set_fault_profile(&weather, until)
                .expect("the fault profile is known");
            self.outcome.weathers += 1;
        }
        if chance.one_in(6) {
            self.world.wire.due_index_lags();
        }
        if chance.one_in(6) {
            self.clocks.disturb(chance);
        } else if chance.one_in(4) {
            self.clocks.settle(chance);
        }
    }

    /// Everything that may touch the newest job, twice and at one time.
    async fn squall(&self) {
        let world = &self.world;
        let cancelled = self.made.values().last().filter(|_| self.chance.one_in(2));
        let cancels = cancelled.into_iter().chain(cancelled).map(|(id, key)| async move {
            let bearer = format!("Bearer {key}");
            let path = format!("/v1/jobs/{id}/cancel");
            world.call(Method::POST, &path, &[("authorization", &bearer)], None).await;
        });
        tokio::join!(world.sweep(), world.sweep(), join_all(cancels), self.drain());
    }

    /// Handles every message and delivers every webhook that is due now, several at one time.
    async fn drain(&self) {
        let (host, simulators) = (&self.world.stack.host, &self.world.stack.simulators);
        for _ in 0..ROUNDS_MAX {
            let deliveries = join_all(simulators.values().map(|simulator| simulator.deliver_due()));
            let (one, other, delivered, paid) = tokio::join!(
                Box::pin(host.step_queues()),
                Box::pin(host.step_queues()),
                deliveries,
                self.world.stack.payments.deliver_due()
            );
            let delivered = delivered.into_iter().map(|sent| sent.expect("the simulator delivers"));
            let handled = one.expect("the queues answer") + other.expect("the queues answer") + paid;
            if handled + delivered.sum::<usize>() == 0 {
                return;
            }
        }
        panic!("seed {}: the queues never run empty", self.outcome.seed);
    }

    async fn turn(&self, span: Duration) {
        if span > LAG_MAX {
            self.world.wire.due_index_has_caught_up();
        }
        self.clocks.turn(span);
        self.drain().await;
    }

    async fn tick(&self) {
        self.world.stack.host.fire_schedules().await;
        self.drain().await;
    }

    /// Lets time pass, from one due thing to the next.
    async fn pass(&self, span: Duration) {
        let from = self.world.clock.now();
        let until = from + span;
        while let Some(next) = self.next_due().await.filter(|next| *next < until) {
            self.step(from, next).await;
        }
        self.turn(until.since(self.world.clock.now())).await;
    }

    /// Turns the clock to the next thing that is due, and lets it happen.
    async fn step(&self, from: Timestamp, next: Timestamp) {
        let now = self.world.clock.now();
        let stride = (now.since(from) / STRIDE_PART).clamp(STRIDE_MIN, STRIDE_MAX);
        self.turn(next.since(now).max(stride)).await;
        if self.next_check().await.is_some_and(|check| check <= self.world.clock.now()) {
            self.world.sweep().await;
            self.drain().await;
        }
    }

    /// Lets time pass, with nothing going wrong any more, until nothing is live.
    async fn settle_down(&mut self) {
        let from = self.world.clock.now();
        let until = from + RECOVERY_MAX;
        self.tick().await;
        while let Some(next) = self.next_due().await {
            if self.world.clock.now() >= until {
                let live = self.world.jobs().live(5, |_| true).await.expect("the index answers");
                live.jobs.iter().for_each(|live| self.violation(format!("still live: {:?}", live.job)));
                return;
            }
            self.step(from, next).await;
        }
    }

    /// When something next happens, or has to be looked after.
    async fn next_due(&self) -> Option<Timestamp> {
        let due = self.world.stack.next_due().expect("the stack answers");
        self.next_check().await.into_iter().chain(due).min()
    }

    /// When the first of the live jobs is to be looked after. Rows that nobody can read do not
    /// count: they are looked at whenever a job is, and by themselves would keep a quiet year
    /// busy, hour by hour.
    async fn next_check(&self) -> Option<Timestamp> {
        let table = self.world.operator.env.get("TABLE").unwrap_or_default();
        let scan = self.world.operator.dynamodb().scan().table_name(table).index_name(DUE_INDEX);
        let live = scan.send().await.expect("the table answers").items.unwrap_or_default();
        let unreadable: Vec<_> = self.unreadable.iter().map(|id| AttributeValue::S(keys::job(id))).collect();
        let is_job = |item: &&HashMap<_, _>| !item.get(keys::PK).is_some_and(|key| unreadable.contains(key));
        let jobs = live.iter().filter(is_job);
        let checks = jobs.filter_map(|item| item.get(CHECK_AT)?.as_n().ok()?.parse().ok());
        checks.map(Timestamp::from_millis).min()
    }

    fn violation(&mut self, violation: String) {
        self.outcome.violations.push(violation);
    }
}

/// Some accounts: one in five is poor and will be refused, but never the first.
async fn accounts(world: &World, chance: &Chance) -> Vec<String> {
    let mut keys = Vec::new();
    for number in 0..=chance.below(7) {
        let account = format!("acct_caller{number}").parse().expect("an account id");
        let credits = if number > 0 && chance.one_in(5) { 300 } else { 1_000_000 };
        world.grant(&account, Credits::from_micros(credits * Credits::ONE.micros())).await;
        keys.push(world.new_key(&account, vec![Scope::Read, Scope::Write]).await);
    }
    keys
}
