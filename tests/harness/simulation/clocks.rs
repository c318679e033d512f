//! The clocks of one run: the world's, and one of each function that is wrong by its own amount.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::boot::Clock;
use shared::domain::time::Timestamp;

use super::chance::Chance;

const FUNCTIONS: [&str; 10] =
    ["submit", "status", "cancel", "webhook", "dispatch", "settle", "fetch", "poll", "health", "reconcile"];
/// By how much a clock is always wrong at most, and now and then, in milliseconds.
const ALWAYS: i64 = 5_000;
const AT_TIMES: i64 = 90_000;

pub(super) struct Clocks {
    world: Clock,
    functions: BTreeMap<String, Clock>,
    shifts: BTreeMap<String, i64>,
}

impl Clocks {
    pub(super) fn new(start: Timestamp, chance: &Chance) -> Self {
        let functions = FUNCTIONS.map(|name| (name.to_owned(), Clock::manual(start))).into();
        let mut clocks = Self { world: Clock::manual(start), functions, shifts: BTreeMap::new() };
        clocks.settle(chance);
        clocks
    }

    pub(super) fn world(&self) -> Clock {
        self.world.clone()
    }

    pub(super) fn functions(&self) -> BTreeMap<String, Clock> {
        self.functions.clone()
    }

    /// Turns all clocks forward.
    pub(super) fn turn(&self, span: Duration) {
        self.world.advance(span);
        let now = self.world.now().as_millis();
        for (name, clock) in &self.functions {
            if let Clock::Manual(millis) = clock {
                millis.store(now + self.shifts.get(name).copied().unwrap_or(0), Ordering::SeqCst);
            }
        }
    }

    /// Sets one function's clock badly wrong.
    pub(super) fn disturb(&mut self, chance: &Chance) {
        self.shifts.insert((*chance.pick(&FUNCTIONS)).to_owned(), shift(chance, AT_TIMES));
        self.turn(Duration::ZERO);
    }

    /// Sets all clocks as right as they ever are.
    pub(super) fn settle(&mut self, chance: &Chance) {
        self.shifts = FUNCTIONS.map(|name| (name.to_owned(), shift(chance, ALWAYS))).into();
        self.turn(Duration::ZERO);
    }
}

fn shift(chance: &Chance, most: i64) -> i64 {
    let width = usize::try_from(2 * most + 1).unwrap_or(1);
    i64::try_from(chance.below(width)).unwrap_or(0) - most
}
