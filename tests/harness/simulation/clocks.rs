//! The clocks of one run: the world's, and one of each instance of each function, wrong by its own
//! amount.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::time::Timestamp;
use shared::boot::Clock;

use super::chance::Chance;

const FUNCTIONS: [&str; 10] =
    ["submit", "status", "cancel", "webhook", "dispatch", "settle", "fetch", "poll", "health", "reconcile"];
/// Instances of each function.
const INSTANCES: usize = 2;
/// By how much a clock is always wrong at most, and now and then, in milliseconds.
const ALWAYS: i64 = 5_000;
const AT_TIMES: i64 = 90_000;

pub(super) struct Clocks {
    world: Clock,
    functions: BTreeMap<String, Vec<Clock>>,
    /// By function and instance.
    shifts: BTreeMap<(String, usize), i64>,
}

impl Clocks {
    pub(super) fn new(start: Timestamp, chance: &Chance) -> Self {
        let instances = || (0..INSTANCES).map(|_| Clock::manual(start)).collect();
        let functions = FUNCTIONS.map(|name| (name.to_owned(), instances())).into();
        let mut clocks = Self { world: Clock::manual(start), functions, shifts: BTreeMap::new() };
        clocks.settle(chance);
        clocks
    }

    pub(super) fn world(&self) -> Clock {
        self.world.clone()
    }

    pub(super) fn functions(&self) -> BTreeMap<String, Vec<Clock>> {
        self.functions.clone()
    }

    /// Turns all clocks forward.
    pub(super) fn turn(&self, span: Duration) {
        self.world.advance(span);
        let now = self.world.now().as_millis();
        for (name, clocks) in &self.functions {
            for (instance, clock) in clocks.iter().enumerate() {
                if let Clock::Manual(millis) = clock {
                    let shift = self.shifts.get(&(name.clone(), instance)).copied().unwrap_or(0);
                    millis.store(now + shift, Ordering::SeqCst);
                }
            }
        }
    }

    /// Sets one instance's clock badly wrong.
    pub(super) fn disturb(&mut self, chance: &Chance) {
        let instance = ((*chance.pick(&FUNCTIONS)).to_owned(), chance.below(INSTANCES));
        self.shifts.insert(instance, shift(chance, AT_TIMES));
        self.turn(Duration::ZERO);
    }

    /// Sets all clocks as right as they ever are.
    pub(super) fn settle(&mut self, chance: &Chance) {
        for name in FUNCTIONS {
            for instance in 0..INSTANCES {
                self.shifts.insert((name.to_owned(), instance), shift(chance, ALWAYS));
            }
        }
        self.turn(Duration::ZERO);
    }
}

fn shift(chance: &Chance, most: i64) -> i64 {
    let width = usize::try_from(2 * most + 1).unwrap_or(1);
    i64::try_from(chance.below(width)).unwrap_or(0) - most
}
