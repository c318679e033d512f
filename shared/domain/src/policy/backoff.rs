//! Back-off and jitter.

use std::time::Duration;

/// First pause before another attempt at the same route.
pub const RETRY_BASE: Duration = Duration::from_secs(2);
/// Longest pause of our own; a provider's `Retry-After` may be longer.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// Pause before the first poll of a remote job, and the longest between two.
pub const POLL_FIRST: Duration = Duration::from_secs(5);
pub const POLL_MAX: Duration = Duration::from_secs(15);
/// Polls at that pace: about ten minutes of them.
pub const POLLS_MAX: u16 = 40;
/// Pause between polls after those, where `reconcile` does not poll.
pub const POLL_RARELY: Duration = Duration::from_secs(900);

/// Full jitter: uniform between zero and a ceiling that doubles with each try.
/// `random` is uniform in 0..=u32::MAX.
pub fn full_jitter(tries: u32, base: Duration, max: Duration, random: u32) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(tries)).min(max);
    ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The pause before the next poll of a running remote job: `first`, then growing by half with
/// each poll up to `max`.
pub fn poll_pause(polls: u16, first: Duration, max: Duration) -> Duration {
    first.mul_f64(1.5_f64.powi(i32::from(polls.min(30)))).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spans_from_zero_to_the_ceiling() {
        let second = Duration::from_secs(1);
        assert_eq!(full_jitter(3, second, RETRY_MAX, 0), Duration::ZERO);
        assert_eq!(full_jitter(3, second, RETRY_MAX, u32::MAX), Duration::from_secs(8));
        assert_eq!(full_jitter(u32::MAX, second, RETRY_MAX, u32::MAX), RETRY_MAX);
    }

    #[test]
    fn polls_become_less_frequent_up_to_a_limit() {
        let (first, max) = (Duration::from_secs(4), Duration::from_secs(10));
        let pauses: Vec<u64> = (0..5).map(|polls| poll_pause(polls, first, max).as_secs()).collect();
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
