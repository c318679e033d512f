//! How long to wait before the next try.

use std::time::Duration;

/// First pause before another attempt at a route that said "later".
pub const RETRY_BASE: Duration = Duration::from_secs(2);
/// Longest pause of our own; a provider's `Retry-After` may ask for more.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// Pause before the first question about a remote job, and the longest between two.
pub const POLL_FIRST: Duration = Duration::from_secs(5);
pub const POLL_MAX: Duration = Duration::from_secs(15);
/// Questions that follow each other so soon: about ten minutes of them.
pub const POLLS_MAX: u16 = 40;
/// Pause between questions after those, where nothing else has them asked.
pub const POLL_RARELY: Duration = Duration::from_secs(900);

/// Full jitter: anything between nothing and a ceiling that doubles with each try.
/// `random` is uniform in 0..=u32::MAX.
pub fn full_jitter(tries: u32, base: Duration, max: Duration, random: u32) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(tries)).min(max);
    ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The pause before the next question about a running remote job: `first`, then growing by
/// half each round up to `max`.
pub fn poll_pause(round: u16, first: Duration, max: Duration) -> Duration {
    first.mul_f64(1.5_f64.powi(i32::from(round.min(30)))).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spans_from_nothing_to_the_ceiling() {
        let second = Duration::from_secs(1);
        assert_eq!(full_jitter(3, second, RETRY_MAX, 0), Duration::ZERO);
        assert_eq!(full_jitter(3, second, RETRY_MAX, u32::MAX), Duration::from_secs(8));
        assert_eq!(full_jitter(u32::MAX, second, RETRY_MAX, u32::MAX), RETRY_MAX);
    }

    #[test]
    fn questions_grow_rarer_up_to_a_limit() {
        let (first, max) = (Duration::from_secs(4), Duration::from_secs(10));
        let pauses: Vec<u64> = (0..5).map(|round| poll_pause(round, first, max).as_secs()).collect();
        assert_eq!(pauses, [4, 6, 9, 10, 10]);
        assert_eq!(poll_pause(u16::MAX, first, max), max);
    }

    #[test]
    fn pauses_are_as_long_as_the_readme_says() {
        let pauses = [RETRY_BASE, RETRY_MAX, POLL_FIRST, POLL_MAX, POLL_RARELY];
        assert_eq!(pauses.map(|pause| pause.as_secs()), [2, 60, 5, 15, 900]);
        assert_eq!(POLLS_MAX, 40);
    }
}
