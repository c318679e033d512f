//! Writes that only this dispatcher can make: they are repeated as long as there is time.

use std::time::Duration;

use shared::edge::batch::Deadline;
use shared::edge::http::chain;
use shared::store;

use crate::App;

/// Retries, and their first pause, of a write that only this dispatcher can make.
const PERSIST_TRIES: u32 = 7;
const PERSIST_FIRST: Duration = Duration::from_millis(100);
/// Time reserved for one more write and the fallback message.
const RECORD_WITHIN: Duration = Duration::from_secs(14);
/// Retries with growing pauses, while there is time for the fallback.
#[expect(clippy::disallowed_methods, reason = "seconds, while only this dispatcher knows the outcome")]
pub(crate) async fn persist<T, F>(
    app: &App,
    deadline: Deadline,
    event: &'static str,
    operation: impl Fn() -> F,
) -> Result<T, store::Error>
where
    F: Future<Output = Result<T, store::Error>>,
{
    let mut tries = 0;
    loop {
        match operation().await {
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                let pause = PERSIST_FIRST * 2_u32.pow(tries);
                tracing::warn!(error = chain(&error), tries, "{event}");
                if tries >= PERSIST_TRIES || deadline.left(app.clock.now()) < pause + RECORD_WITHIN {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
                tries += 1;
            }
            done => return done,
        }
    }
}
