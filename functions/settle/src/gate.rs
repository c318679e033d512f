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
