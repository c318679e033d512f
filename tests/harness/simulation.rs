//! Everything at once: many accounts and jobs, providers that misbehave, functions that die
//! between any two of their effects, messages that come twice; and the books at the end.
//!
//! What happens is drawn from a seed. The clock is turned by hand; between the storm and the
//! audit the stack is left alone until nothing is live any more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use genmux::simulate::{CallKind, Fault};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::boot::{Clock, Random};
use shared::domain::attempt::Phase;
use shared::domain::catalog::{Catalog, Kind};
use shared::domain::id::JobId;
use shared::domain::job::Job;
use shared::domain::provider::Provider;
use shared::domain::time::Timestamp;
use shared::domain::verdict::Billed;

use crate::wire::Storm;
use crate::world::World;

/// When every simulation begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
/// One effect in so many goes wrong, and one invocation in so many is made twice.
const ONE_EFFECT_IN: u32 = 60;
const ONE_INVOCATION_IN: u32 = 8;
/// Tries of one submit: callers repeat what was answered by 5xx, under the same key.
const SUBMITS_MAX: usize = 20;
/// Simulated time within which everything must have ended when nothing goes wrong any more.
const RECOVERY_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);
/// How the clock is turned while nothing but deadlines is waited for.
const STRIDE: Duration = Duration::from_secs(120);

/// What may be played with a job, beside nothing at all. Each may concern one provider alone.
const PLAYS: [&str; 24] = [
    "create=refuse:429, retry_after=5, times=2",
    "create=refuse:503",
    "create=refuse:500, times=1",
    "create=refuse:401",
    "create=refuse:403-balance",
    "create=refuse:policy",
    "create=drop-before",
    "create=drop-after",
    "create=html",
    "fail=internal",
    "fail=content_policy",
    "fail=no_code",
    "status=backwards",
    "status=unknown",
    "status=empty",
    "status=junk",
    "throttled=90",
    "webhook=lost",
    "webhook=twice",
    "webhook=early",
    "webhook=late:200",
    "result=500:3",
    "asset=500:2",
    "asset=404",
];

/// What became of one seed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub seed: u64,
    pub jobs: usize,
    /// How many jobs ended in each state.
    pub ended: BTreeMap<&'static str, usize>,
    /// AWS calls of functions, and create calls to providers.
    pub effects: usize,
    pub creates: usize,
    pub attempts: usize,
    /// Attempts whose fate stayed unknown until their deadline.
    pub lost: usize,
    /// Jobs with more than one attempt that was certainly billed: a cost of ours, on record.
    pub paid_twice: usize,
    /// Simulated time from the first submit to rest.
    pub lasted: Duration,
    /// Whatever should not be.
    pub violations: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, jobs, ended, effects, creates, attempts, lost, paid_twice, lasted, .. } = self;
        let hours = lasted.as_secs() / 3_600;
        write!(
            f,
            "seed {seed}: {jobs} jobs {ended:?}, {attempts} attempts, {creates} creates, {lost} lost, \
             {paid_twice} paid twice, {effects} effects, {hours} h"
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// Draws from a seed.
struct Chance(Random);

impl Chance {
    fn below(&self, end: usize) -> usize {
        usize::try_from(self.0.u64() % end as u64).unwrap_or_default()
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn seconds(&self, below: usize) -> Duration {
        Duration::from_secs(self.below(below) as u64)
    }
}

/// Plays one seed with so many jobs.
pub async fn run(seed: u64, jobs: usize) -> Outcome {
    let chance = Chance(Random::seeded(seed));
    let webhooks = !chance.one_in(4);
    let random = Random::seeded(seed ^ 0x5eed);
    let world = World::with(|options| {
        options.webhooks = webhooks;
        options.random = random;
        options.clock = Clock::manual(START);
    })
    .await;
    let keys = accounts(&world, &chance).await;
    let mut outcome = Outcome { seed, ..Outcome::default() };
    let storm = Storm {
        random: Random::seeded(seed ^ 0x0570_4a11),
        one_effect_in: ONE_EFFECT_IN,
        one_invocation_in: ONE_INVOCATION_IN,
    };
    world.wire.storm(storm);
    let mut made: Vec<(usize, JobId)> = Vec::new();
    let mut asked = 0;
    while asked < jobs {
        for _ in 0..=chance.below(8).min(jobs - asked - 1) {
            let caller = chance.below(keys.len());
            if let Some(id) = submit(&world, &chance, &keys[caller], asked, &mut outcome).await {
                made.push((caller, id));
            }
            asked += 1;
        }
        if let Some((caller, id)) = made.last().filter(|_| chance.one_in(6)) {
            cancel(&world, &keys[*caller], id).await;
        }
        if chance.one_in(5) {
            trouble(&world, &chance);
        }
        world.advance(chance.seconds(if chance.one_in(20) { 1_800 } else { 40 })).await;
        if chance.one_in(2) {
            world.tick().await;
        }
    }
    outcome.effects = world.wire.effects();
    world.wire.reset();
    settle_down(&world, &mut outcome).await;
    count(&world, &made, &mut outcome).await;
    outcome.lasted = world.clock.now().since(START);
    outcome
}

/// Some accounts: one in five is poor and will be refused, but never the first.
async fn accounts(world: &World, chance: &Chance) -> Vec<String> {
    use shared::domain::credit::Credits;
    use shared::store::keystore::Scope;

    let mut keys = Vec::new();
    for number in 0..=chance.below(7) {
        let account = format!("acct_caller{number}").parse().expect("an account id");
        let credits = if number > 0 && chance.one_in(5) { 300 } else { 1_000_000 };
        world.grant(&account, Credits::from_micros(credits * Credits::ONE.micros())).await;
        keys.push(world.new_key(&account, vec![Scope::Read, Scope::Write]).await);
    }
    keys
}

fn order(chance: &Chance) -> Value {
    let catalog = Catalog::for_providers(Provider::ALL);
    let models: Vec<_> = catalog.models().collect();
    let model = chance.pick(&models);
    let mut prompt = "a boat".to_owned();
    for _ in 0..chance.below(3) {
        let only = if chance.one_in(2) {
            format!(", only={}", chance.pick(&model.routes).provider)
        } else {
            String::new()
        };
        prompt.push_str(&format!(" [[sim: {}{only}]]", chance.pick(&PLAYS)));
    }
    let image = model.routes.iter().all(|route| route.endpoint.is_none());
    let same_kind =
        |other: &&&shared::domain::catalog::Model| other.kind == model.kind && other.name != model.name;
    let others: Vec<_> = models.iter().filter(same_kind).collect();
    let fallback = chance.one_in(4) && !others.is_empty() && model.kind == Kind::Video;
    json!({
        "model": model.name,
        "prompt": prompt,
        "image_url": image.then_some("https://images.example/boat.png"),
        "fallback_models": if fallback { vec![chance.pick(&others).name.clone()] } else { vec![] },
    })
}

/// Submits as callers shall: the same order under the same key until it is answered. A racer
/// sends it once more.
async fn submit(
    world: &World,
    chance: &Chance,
    key: &str,
    number: usize,
    outcome: &mut Outcome,
) -> Option<JobId> {
    let (body, bearer) = (order(chance).to_string(), format!("Bearer {key}"));
    let idempotency_key = format!("order-{number}");
    let headers = [("idempotency-key", idempotency_key.as_str()), ("authorization", bearer.as_str())];
    let mut first: Option<JobId> = None;
    let again = chance.one_in(10);
    for _ in 0..SUBMITS_MAX {
        let answer = world.call(reqwest::Method::POST, "/v1/jobs", &headers, Some(&body)).await;
        match answer.status {
            StatusCode::ACCEPTED => {
                let id: JobId = answer.text("/id").parse().ok()?;
                if let Some(known) = first.as_ref().filter(|known| **known != id) {
                    outcome.violations.push(format!("one key made two jobs: {known} and {id}"));
                }
                if first.replace(id).is_some() || !again {
                    break;
                }
            }
            status if status.is_server_error() => {}
            StatusCode::PAYMENT_REQUIRED | StatusCode::TOO_MANY_REQUESTS => return first,
            _ => {
                outcome.violations.push(format!("a submit was answered {answer:?}"));
                return first;
            }
        }
    }
    first
}

async fn cancel(world: &World, key: &str, id: &JobId) {
    let bearer = format!("Bearer {key}");
    let path = format!("/v1/jobs/{id}/cancel");
    world.call(reqwest::Method::POST, &path, &[("authorization", &bearer)], None).await;
}

/// Cuts the wire of a provider's next call of some kind.
fn trouble(world: &World, chance: &Chance) {
    let provider = *chance.pick(Provider::ALL);
    let kinds = [CallKind::Create, CallKind::Poll, CallKind::Result, CallKind::Media, CallKind::LookUp];
    let fault = if chance.one_in(2) { Fault::DropBefore } else { Fault::DropAfter };
    world.simulator(provider).cut(*chance.pick(&kinds), fault);
}

/// Lets time pass, with nothing going wrong any more, until nothing is live.
async fn settle_down(world: &World, outcome: &mut Outcome) {
    let until = world.clock.now() + RECOVERY_MAX;
    world.drain().await;
    loop {
        let live = world.jobs().live(1, |_| true).await.expect("the index answers");
        let due = world.stack.next_due().expect("the stack answers");
        let now = world.clock.now();
        let Some(next) = live.iter().map(|live| live.check_at).chain(due).min() else { return };
        if now >= until {
            let live = world.jobs().live(5, |_| true).await.expect("the index answers");
            outcome.violations.extend(live.iter().map(|live| format!("still live: {:?}", live.job)));
            return;
        }
        world.clock.advance(next.since(now).clamp(Duration::from_secs(1), STRIDE));
        world.drain().await;
        world.reconcile().await;
    }
}

async fn count(world: &World, made: &[(usize, JobId)], outcome: &mut Outcome) {
    for (_, id) in made {
        let job: Job = world.job(id).await;
        *outcome.ended.entry(job.state.name()).or_default() += 1;
        outcome.jobs += 1;
        outcome.attempts += job.attempts.len();
        outcome.lost += job.attempts.iter().filter(|attempt| attempt.phase == Phase::Lost).count();
        let billed = job.attempts.iter().filter(|attempt| attempt.billed == Billed::Yes).count();
        outcome.paid_twice += usize::from(billed > 1);
    }
    let creates = Provider::ALL.iter().map(|provider| world.calls(*provider, CallKind::Create));
    outcome.creates = creates.sum();
    if outcome.creates > outcome.attempts {
        let (creates, attempts) = (outcome.creates, outcome.attempts);
        outcome.violations.push(format!("{creates} creates were sent for {attempts} attempts"));
    }
    outcome.violations.extend(world.inspect().await.violations);
}
