//! What is drawn from a seed: who orders what, what is played with it, and the weather.

use std::time::Duration;

use domain::catalog::{Catalog, Kind, Model};
use domain::provider::Provider;
use serde_json::{Value, json};
use shared::boot::Random;

/// What may be played with a job, beside nothing at all. Each may concern one provider alone.
const PLAYS: [&str; 37] = [
    "create=refuse:429, retry_after=5, times=2",
    "create=refuse:429, retry_after=date:40, times=2",
    "create=refuse:503",
    "create=refuse:500, times=1",
    "create=refuse:401",
    "create=refuse:403-balance",
    "create=refuse:policy",
    "create=drop-before",
    "create=drop-after",
    "create=html",
    "create=accept-then:500",
    "create=accept-then:503, times=1",
    "create=accept-then:html",
    "status=invisible:40",
    "status=404:60",
    "fail=internal",
    "fail=content_policy",
    "fail=no_code",
    "fail=internal-billed",
    "status=403",
    "status=500",
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
    "asset=html",
    "asset=half",
    "asset=cut:2",
    "asset=expired:60:410",
];

/// What a provider may play with everybody for a while.
const WEATHERS: [&str; 22] = [
    "all=refuse:503",
    "all=refuse:500",
    "all=refuse:429, retry_after=30",
    "all=refuse:429, retry_after=date:120",
    "all=drop-before",
    "all=drop-after",
    "all=html",
    "create=accept-then:502",
    "status=404:600",
    "status=403",
    "create=refuse:429, retry_after=20",
    "create=refuse:429, retry_after=date:60",
    "create=drop-after",
    "create=slow:0.01",
    "webhook=lost",
    "webhook=twice",
    "webhook=late:900",
    "result=500:4",
    "status=backwards",
    "status=unknown",
    "asset=expired:45",
    "asset=500:6",
];

/// The statuses of a link that has expired, beside the usual one.
const EXPIRED: [&str; 3] = ["", ":404", ":410"];

/// Draws from a seed.
pub(super) struct Chance(pub(super) Random);

impl Chance {
    pub(super) fn below(&self, end: usize) -> usize {
        usize::try_from(self.0.u64() % end as u64).unwrap_or_default()
    }

    pub(super) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub(super) fn seconds(&self, below: usize) -> Duration {
        Duration::from_secs(self.below(below) as u64)
    }

    pub(super) fn provider(&self) -> Provider {
        *self.pick(Provider::ALL)
    }

    pub(super) fn weather(&self) -> String {
        let weather = *self.pick(&WEATHERS);
        let code = if weather.starts_with("asset=expired") { self.pick(&EXPIRED) } else { "" };
        format!("{weather}{code}")
    }
}

/// How a run's traffic comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Seconds apart, and many at once.
    Dense,
    /// Hours apart.
    Loose,
    /// Days apart.
    Sparse,
}

impl Pace {
    pub(super) fn draw(chance: &Chance) -> Self {
        *chance.pick(&[Self::Dense, Self::Dense, Self::Loose, Self::Sparse])
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Loose => "loose",
            Self::Sparse => "sparse",
        }
    }

    /// Jobs that come at once, at most.
    pub(super) fn crowd(self) -> usize {
        if self == Self::Dense { 8 } else { 3 }
    }

    pub(super) fn gap(self, chance: &Chance) -> Duration {
        match self {
            Self::Dense => chance.seconds(if chance.one_in(20) { 1_800 } else { 40 }),
            Self::Loose => chance.seconds(6 * 3_600),
            Self::Sparse => chance.seconds(30 * 24 * 3_600),
        }
    }

    /// How long a weather lasts.
    pub(super) fn spell(self, chance: &Chance) -> Duration {
        chance.seconds(if self == Self::Dense { 1_800 } else { 6 * 3_600 })
    }
}

/// The directive that tells the order's number to who reads the providers' books.
const NOTE: &str = "[[sim: note=";

pub(super) fn order(chance: &Chance, number: usize) -> Value {
    let catalog = Catalog::for_providers(Provider::ALL);
    let models: Vec<_> = catalog.models().collect();
    let model = chance.pick(&models);
    let mut prompt = format!("a boat {NOTE}{number}]]");
    for _ in 0..chance.below(3) {
        let only = if chance.one_in(2) {
            format!(", only={}", chance.pick(&model.routes).provider)
        } else {
            String::new()
        };
        prompt.push_str(&format!(" [[sim: {}{only}]]", chance.pick(&PLAYS)));
    }
    let image = model.routes.iter().all(|route| route.endpoint.is_none());
    let same_kind = |other: &&&Model| other.kind == model.kind && other.name != model.name;
    let others: Vec<_> = models.iter().filter(same_kind).collect();
    let fallback = chance.one_in(4) && !others.is_empty() && model.kind == Kind::Video;
    json!({
        "model": model.name,
        "prompt": prompt,
        "image_url": image.then_some("https://images.example/boat.png"),
        "fallback_models": if fallback { vec![chance.pick(&others).name.clone()] } else { vec![] },
    })
}

/// The number of the order that a prompt is of.
pub(super) fn number(prompt: &str) -> Option<usize> {
    prompt.split_once(NOTE)?.1.split_once("]]")?.0.parse().ok()
}
