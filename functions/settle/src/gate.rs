//! Whether a provider's word is taken when it has lost many remote jobs at once.

use shared::domain::attempt::Attempt;
use shared::store;

use crate::App;

/// Whether a "not found" may count: not where it would make a loss, and its provider has lost so
/// many remote jobs at once that something else must be wrong.
pub(crate) async fn is_loss_believed(app: &App, attempt: &Attempt) -> Result<bool, store::Error> {
    let now = app.clock.now();
    if !attempt.phase.is_open() || !attempt.is_about_to_be_lost(now) {
        return Ok(true);
    }
    let believed = app.gauges.count_loss(attempt.provider, app.random.u64(), now).await?;
    if !believed {
        tracing::error!(
            provider.name = %attempt.provider, class = "many_losses", alert = true, "provider.needs_attention"
        );
    }
    Ok(believed)
}
