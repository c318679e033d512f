//! Alarms that are not of a provider: dead-letter queues, and the rules over the results of recent jobs.

use domain::event::{Event, EventType};
use domain::policy::alarm::Sight;
use domain::policy::rules::{Rule, Window};
use domain::policy::watch::Watch;
use domain::time::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::edge::batch::BoxError;

use super::{App, JUDGE_MAX, announce};

/// Looks at everything and writes what changed, with its events, in one write: of two runs at the same time, one
/// alerts.
pub(crate) async fn look(app: &App) -> Result<(), BoxError> {
    let now = app.clock.now();
    let before = app.watch.get().await?;
    let mut next = Watch { version: before.version + 1, ..before.clone() };
    let mut events = Vec::new();
    let dead = dead_letters(app, &mut next, &mut events, now).await;
    // What takes long is given up, and not the alarms of the queues with it.
    let judged = tokio::time::timeout(JUDGE_MAX, judge(app, &mut next, &mut events, now)).await;
    let judged = judged.unwrap_or_else(|elapsed| Err(elapsed.into()));
    let is_changed = next != Watch { version: next.version, ..before };
    if is_changed && app.watch.put(&next, &events).await? {
        for event in &events {
            tracing::warn!(kind = event.kind.as_str(), event = event.id.as_str(), "alarm.turned");
            announce(app, event).await;
        }
    }
    dead.and(judged)
}

/// A queue that cannot be read keeps its alarm; the others are looked at all the same.
async fn dead_letters(
    app: &App,
    watch: &mut Watch,
    events: &mut Vec<Event>,
    now: Timestamp,
) -> Result<(), BoxError> {
    let queues = app.dead_letters.iter().filter_map(|dead| Some((dead.queue()?, dead)));
    let depths = join_all(queues.map(async |(queue, dead)| (queue, dead.depth().await))).await;
    let mut result = Ok(());
    for (queue, depth) in depths {
        let sight = match depth {
            Ok(0) => Sight::Calm,
            Ok(_) => Sight::Bad(1),
            Err(_) => Sight::Unsure,
        };
        if let Some(turn) = watch.look(&Watch::dead_letters(queue), sight, now) {
            let messages = depth.as_ref().ok();
            let data = json!({"status": turn.name(), "queue": queue, "messages": messages});
            events.push(event(EventType::DEAD_LETTERS, queue, &data, watch, now));
        }
        result = result.and(depth.map(|_| ()).map_err(BoxError::from));
    }
    result
}

async fn judge(
    app: &App,
    watch: &mut Watch,
    events: &mut Vec<Event>,
    now: Timestamp,
) -> Result<(), BoxError> {
    watch.see(app.watch.active_accounts(now).await?, now);
    if !watch.is_due(now) {
        return Ok(());
    }
    let accounts = watch.accounts.keys().cloned().collect();
    let window: Window = app.watch.window(accounts, now.minus(app.rules.window)).await?;
    watch.judged_at = Some(now);
    for rule in Rule::ALL {
        if let Some(turn) = watch.look(rule.event(), rule.sight(&app.rules, &window), now) {
            let data = rule.data(&app.rules, &window, turn);
            events.push(event(rule.event(), "", &data, watch, now));
        }
    }
    Ok(())
}

fn event(kind: &'static str, about: &str, data: &Value, watch: &Watch, now: Timestamp) -> Event {
    Event::of_alarm(kind, &[about, &watch.version.to_string()], data, now)
}
