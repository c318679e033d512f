//! The timeline of a job: what happened to it, and what it waits for.

use std::collections::BTreeMap;

use domain::attempt::Attempt;
use domain::catalog::Catalog;
use domain::credit::Entry;
use domain::job::State;
use domain::policy::breaker::Open;
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::time::Timestamp;
use serde_json::Value;

use crate::store::admission::ProviderState;
use crate::store::audit::History;
use crate::store::dead_letters::DeadLetter;
use crate::store::moves::Move;

/// Something that happened to a job.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    Created,
    Ledger(&'a Entry),
    /// A transition from a state.
    Moved(State, &'a Move),
    AttemptStarted(&'a Attempt),
    AttemptEnded(&'a Attempt),
    /// A message was sent that is now in a dead-letter queue.
    DeadLetter(&'a DeadLetter),
}

/// All events with their times, oldest first.
pub fn events<'a>(history: &'a History, dead: &'a [DeadLetter]) -> Vec<(Timestamp, Event<'a>)> {
    let job = &history.job;
    let mut events = vec![(job.created_at(), Event::Created)];
    events.extend(history.lines.iter().map(|line| (line.at, Event::Ledger(&line.entry))));
    let mut state = State::Queued;
    for moved in &history.moves {
        events.push((moved.at, Event::Moved(state, moved)));
        state = moved.state;
    }
    for attempt in job.attempts() {
        events.push((attempt.started_at, Event::AttemptStarted(attempt)));
        events.extend(attempt.ended_at.map(|at| (at, Event::AttemptEnded(attempt))));
    }
    events.extend(dead.iter().map(|message| (message.sent_at, Event::DeadLetter(message))));
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Why a queued job waits for a provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wait {
    Paused { provider: Provider, since: Timestamp },
    BreakerOpen { provider: Provider, open: Open },
}

/// Which providers that could run a queued job are paused or have an open breaker.
pub fn waits(request: &JobRequest, known: &BTreeMap<Provider, ProviderState>, now: Timestamp) -> Vec<Wait> {
    let catalog = Catalog::for_providers(Provider::ALL);
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    let routes = names.filter_map(|name| catalog.model(name)).flat_map(|model| &model.routes);
    let mut capable: Vec<Provider> =
        routes.filter(|route| request.fits(route)).map(|route| route.provider).collect();
    capable.retain(|provider| !request.pin || request.provider.is_none_or(|pinned| pinned == *provider));
    capable.sort();
    capable.dedup();
    let wait = |provider: Provider| {
        let admission = known.get(&provider)?.admission.as_ref()?;
        if let Some(since) = admission.paused_at {
            return Some(Wait::Paused { provider, since });
        }
        let open = admission.breaker.open.filter(|_| admission.breaker.rejects(now))?;
        Some(Wait::BreakerOpen { provider, open })
    };
    capable.into_iter().filter_map(wait).collect()
}

/// The request without prompt and negative prompt.
pub fn parameters(request: &JobRequest) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(request)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !name.ends_with("prompt"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use domain::policy::admission::Admission;

    use super::*;

    #[test]
    fn a_queued_job_waits_for_capable_providers_that_are_paused() {
        let now = Timestamp::from_secs(1_800_000_000);
        let request = |pin: bool| {
            let provider = pin.then_some("runway");
            let body =
                serde_json::json!({"model": "veo-3.1", "prompt": "a", "provider": provider, "pin": pin});
            let catalog = Catalog::for_providers(Provider::ALL);
            JobRequest::new(serde_json::from_value(body).unwrap(), &catalog).unwrap()
        };
        let paused = |provider| {
            let admission = Admission::new(now).paused(true, now).expect("it was not paused");
            (provider, ProviderState { admission: Some(admission), ..ProviderState::default() })
        };
        let known = BTreeMap::from([paused(Provider::Fal), paused(Provider::Luma)]);
        let fal = Wait::Paused { provider: Provider::Fal, since: now };
        assert_eq!(waits(&request(false), &known, now), [fal]);
        assert_eq!(waits(&request(true), &known, now), []);
    }
}
