//! What the end of an attempt means for its provider's gate.

use shared::domain::attempt::{Attempt, Phase};
use shared::domain::verdict::ErrorClass;
use shared::edge::http::chain;
use shared::resilience::breaker::Report;
use shared::resilience::gate::Gate;
use shared::resilience::limit::lease;
use shared::store;

use crate::App;

/// Gives back the ended attempt's place, where its provider counts them, and reports a
/// failure of the provider's own. If that cannot be written, the place lapses.
pub(crate) async fn leave(app: &App, attempt: &Attempt) {
    let broke = attempt.phase == Phase::Broke;
    let class = attempt.fault.as_ref().map(|fault| fault.class).filter(|_| broke);
    let ill = class.filter(|class| *class == ErrorClass::ProviderUnavailable);
    if ill.is_none() && app.limits.of(attempt.provider).at_once.is_none() {
        return;
    }
    if let Err(error) = change(app, attempt, ill.map(Report::Ill)).await {
        tracing::warn!(provider.name = %attempt.provider, error = chain(&error), "gate.not_written");
    }
}

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

async fn change(app: &App, attempt: &Attempt, report: Option<Report>) -> Result<(), store::Error> {
    let (now, lease, chance) = (app.clock.now(), lease(attempt.claim), app.random.u32());
    let seen = app.gauges.gate(attempt.provider, now).await?;
    let was_open = seen.breaker.open.is_some();
    let after = |gate: &Gate| Ok::<_, store::Error>(gate.after(report, Some(&lease), chance, now));
    let (gate, _) = app.gauges.change_gate(attempt.provider, seen, app.random.u64(), after).await?;
    if !was_open && gate.breaker.open.is_some() {
        tracing::warn!(provider.name = %attempt.provider, "breaker.opened");
    }
    Ok(())
}
