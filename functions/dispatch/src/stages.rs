//! The stages of an attempt in this function: claimed, called, recorded. Each can only follow the one
//! before, so no call is made without a claim, and none goes unrecorded.

use std::time::Duration;

use domain::attempt::{AttemptEvent, Phase};
use domain::catalog::Route;
use domain::credit::MicroUsd;
use domain::decide::{Claim, Event};
use domain::id::RemoteJob;
use domain::job::{Job, State};
use domain::policy::backoff::{RETRY_BASE, RETRY_MAX, full_jitter};
use domain::request::JobRequest;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use shared::edge::batch::{Deadline, Unfinished};
use shared::edge::http::chain;
use shared::provider::{CreateOrder, Outcome, adapter, reference};
use shared::store::jobs::Advance;
use shared::store::queue::{Message, Source};

use crate::admission::Observed;
use crate::outcome::{Reading, read};
use crate::persist::persist;
use crate::{App, CREATE_WITHIN};

/// Delay before an id from an ambiguous answer is confirmed: providers are eventually consistent.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);

/// What an attempt is about.
struct Planned<'a> {
    request: &'a JobRequest,
    route: &'a Route,
    claim: u64,
}

/// An attempt that belongs to this dispatcher: its create call may be made, once.
pub(crate) struct Claimed<'a> {
    job: Job,
    planned: Planned<'a>,
}

/// An attempt whose create call has returned. Only this function knows the outcome.
pub(crate) struct Called<'a> {
    claimed: Claimed<'a>,
    reading: Reading,
    observed: Observed,
}

/// An attempt whose outcome is in the table.
pub(crate) struct Recorded<'a> {
    job: Job,
    planned: Planned<'a>,
    attempt: u8,
    retry_after: Option<Duration>,
}

impl<'a> Claimed<'a> {
    /// Claims the job's next attempt; `None` if another dispatcher has it.
    ///
    /// # Errors
    ///
    /// [`Unfinished::Later`] if too little time is left for a create call.
    pub(crate) async fn new(
        app: &App,
        job: Job,
        request: &'a JobRequest,
        route: &'a Route,
        claim: u64,
        deadline: Deadline,
    ) -> Result<Option<Self>, Unfinished> {
        let now = app.clock.now();
        if deadline.left(now) < CREATE_WITHIN {
            app.admission.report(route, claim, Observed::NOTHING, now).await;
            return Err(Unfinished::Later("too little time is left for a create call"));
        }
        let planned = Planned { request, route, claim };
        let Some(job) = planned.claim(app, job, deadline).await? else {
            // Another dispatcher has the claim and makes the call.
            app.admission.report(route, claim, Observed::NOTHING, app.clock.now()).await;
            return Ok(None);
        };
        Ok(Some(Self { job, planned }))
    }

    /// Makes the one create call that the claim allows: a repeat of the message finds the job
    /// dispatching. After a crash here, the webhook, a look-up or the deadline decides.
    pub(crate) async fn call(self, app: &App, deadline: Deadline) -> Result<Called<'a>, Unfinished> {
        let Self { job, planned: Planned { request, route, .. } } = &self;
        let outcome = match job.stop() {
            None => {
                let callback = app.callbacks.url(job, route.provider);
                let reference = reference(job.id(), job.current_number());
                let order = CreateOrder {
                    callback: callback.as_ref(),
                    ..CreateOrder::new(request, route, &reference)
                };
                app.providers.create(&app.downloads, route.provider, &order, app.clock.now()).await
            }
            // Canceled since the claim was decided.
            Some(_) => Outcome::NotSent(Fault::new(ErrorClass::Stopped, None, Billed::No)),
        };
        let observed = Observed::from_outcome(&outcome);
        let reading = read(app, job, request, outcome, deadline).await?;
        Ok(Called { claimed: self, reading, observed })
    }
}

impl Planned<'_> {
    async fn claim(&self, app: &App, job: Job, deadline: Deadline) -> Result<Option<Job>, Unfinished> {
        let Self { request, route, claim: id } = *self;
        let job_id = job.id().clone();
        let claimed = Event::Claimed(Claim {
            id,
            provider: route.provider,
            route: route.name(),
            cost: request.cost(route),
            key_mark: app.providers.key_mark(route.provider),
            reports: app.callbacks.base(route.provider).is_some(),
            stop_is_free: adapter(route.provider).capabilities().stop_is_free,
            simulated: app.callbacks.simulated.contains(&route.provider),
        });
        let error = match app.jobs.advance_from(job, &claimed, app.clock.now()).await {
            Ok(Advance::Moved(job)) => return Ok(Some(job)),
            Ok(Advance::Unchanged(_) | Advance::Taken(_)) => return Ok(None),
            Err(error) => error,
        };
        // The write may have succeeded, and then only this dispatcher can send the attempt: read it
        // back and compare the claim.
        let job = persist(app, deadline, "claim.not_read", || app.jobs.get(&job_id)).await?;
        let is_mine = |job: &Job| {
            job.current().is_some_and(|attempt| attempt.claim == id && attempt.phase == Phase::Sending)
        };
        match job.filter(is_mine) {
            Some(job) => Ok(Some(job)),
            None => Err(error.into()),
        }
    }
}

impl<'a> Called<'a> {
    /// Writes the outcome, and reports to admission control what was seen of the provider.
    pub(crate) async fn record(self, app: &App, deadline: Deadline) -> Result<Recorded<'a>, Unfinished> {
        let Self { claimed: Claimed { job, planned }, reading, observed } = self;
        let Reading { event, retry_after, unconfirmed } = reading;
        let attempt = job.current_number();
        let job = record(app, job, &event, deadline).await?;
        if let Some(remote) = unconfirmed {
            confirm(app, &job, remote).await;
        }
        app.admission.report(planned.route, planned.claim, observed, app.clock.now()).await;
        Ok(Recorded { job, planned, attempt, retry_after })
    }
}

impl Recorded<'_> {
    /// Sends what the outcome calls for.
    pub(crate) async fn follow_up(self, app: &App) {
        let Self { job, planned: Planned { request, route, .. }, attempt, retry_after } = self;
        let mut pause = Duration::ZERO;
        if job.state() == State::Queued {
            let now = app.clock.now();
            let elsewhere = app.admission.goes_elsewhere(&job, request, &app.catalog, route.provider, now);
            tracing::info!(job = %job.id(), attempt, provider = %route.provider, elsewhere, "job.failover");
            let jitter = || full_jitter(u32::from(attempt), RETRY_BASE, RETRY_MAX, app.random.u32());
            pause = if elsewhere { Duration::ZERO } else { retry_after.unwrap_or_else(jitter) };
        }
        app.outbox.send_all_after(&job, pause).await;
    }
}

/// Records the outcome of the create call, which only this function knows. If the table fails, the
/// outcome goes to the settle queue; if that fails too, to the log.
async fn record(app: &App, job: Job, event: &Event, deadline: Deadline) -> Result<Job, Unfinished> {
    let number = job.current_number();
    let advance = persist(app, deadline, "create.not_recorded", || {
        app.jobs.advance_from(job.clone(), event, app.clock.now())
    });
    match advance.await {
        Ok(Advance::Taken(job)) => {
            // The remote job belongs to another attempt: ours has no known id.
            let unclear = Event::Attempt { number, event: AttemptEvent::Unclear };
            Ok(app.jobs.advance_from(job, &unclear, app.clock.now()).await?.into_job())
        }
        Ok(advance) => Ok(advance.into_job()),
        Err(error) => {
            if let Some(message) = as_message(&job, event) {
                let sent = app.settle.send(&message, Some(job.provider_of(number)), Duration::ZERO).await;
                if let Err(unsent) = &sent {
                    let remote = named(event).map(|remote| remote.id.as_str());
                    tracing::error!(
                        job = %job.id(), attempt = number, event = event.name(), remote,
                        error = chain(unsent), "create.lost"
                    );
                }
            }
            Err(error.into())
        }
    }
}

/// Queues a check of an unconfirmed id: if the provider knows it, it is the attempt's remote job.
async fn confirm(app: &App, job: &Job, remote: RemoteJob) {
    let (job_id, attempt, remote) = (job.id().clone(), job.current_number(), Some(remote));
    let message = Message::verdict(job_id, attempt, remote, None, Source::Poll);
    if let Err(error) =
        app.settle.send(&message, Some(job.provider_of(job.current_number())), CONFIRM_AFTER).await
    {
        tracing::warn!(job = %job.id(), error = chain(&error), "message.not_queued");
    }
}

/// The outcome of a create call as a message for `settle`, if there is one.
fn as_message(job: &Job, event: &Event) -> Option<Message> {
    let Event::Attempt { number, event: reported } = event else { return None };
    let outcome = match reported {
        AttemptEvent::Accepted { .. } => None,
        AttemptEvent::Refused(fault) | AttemptEvent::NotSent(fault) => {
            Some(Verdict::Broke { fault: fault.clone(), cost: Some(MicroUsd(0)) })
        }
        AttemptEvent::PresumedRefused | AttemptEvent::Unclear | AttemptEvent::Ended { .. } => return None,
    };
    let remote = named(event).cloned();
    let (job_id, attempt) = (job.id().clone(), *number);
    Some(Message::verdict(job_id, attempt, remote, outcome, Source::Poll))
}

fn named(event: &Event) -> Option<&RemoteJob> {
    match event {
        Event::Attempt { event: AttemptEvent::Accepted { remote, .. }, .. } => Some(remote),
        _ => None,
    }
}
