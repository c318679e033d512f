//! Interpretation of the outcome of a create call.

use std::convert::Infallible;
use std::time::Duration;

use domain::attempt::{AttemptEvent, Phase};
use domain::decide::Event;
use domain::id::RemoteJob;
use domain::job::{Job, UnclearCreate};
use domain::request::JobRequest;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use futures_util::stream;
use shared::edge::batch::{Deadline, Unfinished};
use shared::edge::http::chain;
use shared::provider::{Outcome, adapter};
use shared::store::media::{CopyError, media_key};

use crate::App;
use crate::persist::persist;

/// The outcome of a create call, as an event of the job.
pub(crate) struct Reading {
    pub(crate) event: Event,
    /// Back-off that the provider asked for.
    pub(crate) retry_after: Option<Duration>,
    /// An id in an ambiguous answer: it may not exist.
    pub(crate) unconfirmed: Option<RemoteJob>,
}

/// Interprets the outcome. Media in the answer is stored first.
pub(crate) async fn read(
    app: &App,
    job: &Job,
    request: &JobRequest,
    outcome: Outcome,
    deadline: Deadline,
) -> Result<Reading, Unfinished> {
    let (mut retry_after, mut unconfirmed) = (None, None);
    let reported = match outcome {
        Outcome::Delivered { media, cost } => {
            // The media cannot be requested again. It is stored first: after a crash, a repeat of
            // the message finds it in the bucket.
            let kind = request.kind();
            let (number, key) = (job.current_number(), media_key(job, kind));
            let length = u64::try_from(media.len()).unwrap_or(u64::MAX);
            let copied = persist(app, deadline, "media.not_copied", || async {
                let source = stream::iter([Ok::<_, Infallible>(media.clone())]);
                match app.media.copy(&key, kind, Some(length), source).await {
                    Err(CopyError::Store(error)) => Err(error),
                    copied => Ok(copied),
                }
            });
            let event = match copied.await? {
                Ok(media) => Event::Delivered { number, cost, media },
                // There will be no other answer.
                Err(error @ CopyError::NotMedia(_)) => {
                    let provider = job.provider_of(number);
                    tracing::warn!(job = %job.id(), provider, error = chain(&error), "media.wrong");
                    let fault = Fault::new(ErrorClass::Unknown, Some("wrong_file"), Billed::Unknown);
                    let verdict = Verdict::Broke { fault, cost };
                    Event::Attempt { number, event: AttemptEvent::Ended { remote: None, verdict } }
                }
                Err(error) => return Err(Unfinished::retry(error)),
            };
            return Ok(Reading { event, retry_after: None, unconfirmed: None });
        }
        Outcome::Accepted { remote, cost } => AttemptEvent::Accepted { remote, cost },
        Outcome::Refused { fault, retry_after: wait } => {
            retry_after = wait;
            AttemptEvent::Refused(request.redact(fault))
        }
        Outcome::NotSent(fault) => AttemptEvent::NotSent(fault),
        Outcome::Unknown { answered: true, remote: None, .. }
            if app.unclear_create == UnclearCreate::Failover =>
        {
            tracing::warn!(job = %job.id(), attempt = job.current_number(), "create.presumed_refused");
            AttemptEvent::PresumedRefused
        }
        Outcome::Unknown { cause, remote, .. } => {
            if matches!(cause, "no_id" | "unusable_id") {
                // It was created and billed, and cannot be polled.
                tracing::error!(
                    job = %job.id(), attempt = job.current_number(), provider = job.provider_of(job.current_number()),
                    alert = true, class = "unreadable", reason = cause, "provider.needs_attention"
                );
                if let Some(attempt) = job.current() {
                    app.admission.alert_unreadable(attempt.provider, cause, app.clock.now()).await;
                }
            }
            unconfirmed = remote;
            AttemptEvent::Unclear
        }
    };
    Ok(Reading {
        event: Event::Attempt { number: job.current_number(), event: reported },
        retry_after,
        unconfirmed,
    })
}

/// Finishes a job whose dispatcher crashed after it had stored the media.
pub(crate) async fn recover(app: &App, job: Job) -> Result<(), Unfinished> {
    let Some(attempt) = job.current().filter(|attempt| attempt.phase == Phase::Sending) else {
        return Ok(());
    };
    if !adapter(attempt.provider).capabilities().delivers {
        return Ok(());
    }
    let Some(request) = app.jobs.request(job.id()).await? else { return Ok(()) };
    if let Some(media) = app.media.find(&media_key(&job, request.kind())).await? {
        let delivered = Event::Delivered { number: job.current_number(), cost: None, media };
        let ended = app.jobs.advance_from(job, &delivered, app.clock.now()).await?;
        app.outbox.send_all(ended.job()).await;
    }
    Ok(())
}
