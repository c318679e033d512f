//! A least rate for a file, so that one that trickles cannot keep a copy for long.

use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

/// How long the answer to a download may take to begin.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long a file may take, beside a second for each megabyte that has come.
pub const GRACE: Duration = Duration::from_secs(10);

/// Why a file was not waited for any longer, or what failed in it.
#[derive(Debug, thiserror::Error)]
pub enum Stopped<E> {
    #[error("only {0} bytes came in time")]
    Slow(u64),
    #[error("too little time is left for it")]
    Late,
    #[error(transparent)]
    Failed(E),
}

/// How much waiting a copy has left. Only the time that the source takes counts.
#[derive(Debug)]
pub struct Pace {
    until: Option<Instant>,
    grace: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// For a copy that has so much time, whatever its size.
    pub fn new(left: Duration) -> Self {
        Self { until: Instant::now().checked_add(left), grace: GRACE, waited: Duration::ZERO, bytes: 0 }
    }

    /// Waits for the answer that brings the file.
    pub async fn begin<T, E>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Stopped<E>> {
        match timeout(self.left().min(ANSWER_MAX), answer).await {
            Ok(answer) => answer.map_err(Stopped::Failed),
            Err(_late) if self.left() == Duration::ZERO => Err(Stopped::Late),
            Err(_late) => Err(Stopped::Slow(0)),
        }
    }

    /// The file's bytes, as long as they come fast enough.
    pub fn apply<S, T, E>(self, source: S) -> BoxStream<'static, Result<T, Stopped<E>>>
    where
        S: Stream<Item = Result<T, E>> + Send + Unpin + 'static,
        T: AsRef<[u8]> + Send + 'static,
        E: Send + 'static,
    {
        stream::unfold(Some((self, source)), |state| async move {
            let (mut pace, mut source) = state?;
            match pace.next(&mut source).await? {
                Ok(chunk) => Some((Ok(chunk), Some((pace, source)))),
                Err(stopped) => Some((Err(stopped), None)),
            }
        })
        .boxed()
    }

    async fn next<S, T, E>(&mut self, source: &mut S) -> Option<Result<T, Stopped<E>>>
    where
        S: Stream<Item = Result<T, E>> + Unpin,
        T: AsRef<[u8]>,
    {
        let started = Instant::now();
        let (patience, left) = (self.patience(), self.left());
        let Ok(next) = timeout(patience.min(left), source.next()).await else {
            return Some(Err(if left < patience { Stopped::Late } else { Stopped::Slow(self.bytes) }));
        };
        self.waited += started.elapsed();
        let next = next?.map_err(Stopped::Failed);
        if let Ok(chunk) = &next {
            self.bytes += chunk.as_ref().len() as u64;
        }
        Some(next)
    }

    /// How long its next bytes may take.
    fn patience(&self) -> Duration {
        let a_second_for_a_megabyte = Duration::from_micros(self.bytes);
        (self.grace + a_second_for_a_megabyte).saturating_sub(self.waited)
    }

    fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const GRACE: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);
    /// The clock stands still but for waits, which end within this.
    const TICK: Duration = Duration::from_millis(10);

    /// So many bytes after each pause, for ever; the first at once.
    fn drops(
        pause: Duration,
        bytes: usize,
    ) -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send + Unpin {
        let ticks = stream::unfold(tokio::time::interval(pause), move |mut interval| async move {
            interval.tick().await;
            Some((Ok(vec![0; bytes]), interval))
        });
        ticks.boxed()
    }

    fn pace(left: Duration) -> Pace {
        Pace { grace: GRACE, ..Pace::new(left) }
    }

    /// What comes of a file until it is stopped, after how long, and why.
    async fn run(pace: Pace, pause: Duration, bytes: usize) -> (u64, Duration, Stopped<Infallible>) {
        let started = Instant::now();
        let mut file = pace.apply(drops(pause, bytes));
        let mut sum = 0;
        loop {
            match file.next().await {
                Some(Ok(chunk)) => sum += chunk.len() as u64,
                Some(Err(stopped)) => {
                    assert!(file.next().await.is_none(), "it goes on");
                    return (sum, started.elapsed(), stopped);
                }
                None => unreachable!("it never ends by itself"),
            }
        }
    }

    #[test]
    fn a_copy_has_ten_seconds_and_one_for_each_megabyte() {
        let patience = |bytes, waited| {
            let waited = Duration::from_secs(waited);
            Pace { bytes, waited, ..Pace::new(LONG) }.patience().as_secs()
        };
        assert_eq!([patience(0, 0), patience(0, 9), patience(0, 10)], [10, 1, 0]);
        assert_eq!([patience(5_000_000, 0), patience(5_000_000, 20)], [15, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_stopped_once_its_grace_is_used_up() {
        let (bytes, after, why) = run(pace(LONG), Duration::from_millis(20), 1).await;
        assert!((1..=11).contains(&bytes), "{bytes}");
        assert!((GRACE..GRACE + TICK).contains(&after), "{after:?}");
        assert!(matches!(why, Stopped::Slow(_)), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_fast_enough_goes_on_until_the_time_is_up() {
        let left = Duration::from_millis(600);
        let (bytes, after, why) = run(pace(left), Duration::from_millis(50), 100_000).await;
        assert!(bytes >= 500_000 && (left..left + TICK).contains(&after), "{bytes} {after:?}");
        assert!(matches!(why, Stopped::Late), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_stopped_and_so_is_an_answer_that_does_not_come() {
        let (bytes, after, why) = run(pace(LONG), LONG, 100_000).await;
        assert_eq!(bytes, 100_000);
        // Its bytes have earned it a tenth of a second.
        let patience = GRACE + Duration::from_millis(100);
        let is_slow = matches!(why, Stopped::Slow(_));
        assert!((patience..patience + TICK).contains(&after) && is_slow, "{after:?} {why}");
        let never = std::future::pending::<Result<(), Infallible>>();
        assert!(matches!(pace(GRACE).begin(never).await, Err(Stopped::Late)));
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a bucket that is slower than the source")]
    async fn our_own_slowness_is_not_held_against_it() {
        let mut file = pace(LONG).apply(drops(Duration::from_millis(1), 1));
        for _ in 0..5 {
            assert!(file.next().await.unwrap().is_ok());
            tokio::time::sleep(GRACE / 2).await;
        }
    }
}
