//! An attempt: one try of one job at one provider.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::credit::MicroUsd;
use super::id::RemoteJob;
use super::provider::Provider;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault, Verdict};
use super::word::{self, stored_by_word};

/// How old an attempt must be before "not found" counts: providers are eventually consistent. A
/// remote job that a certain look-up does not find after that was never created.
pub const NOT_FOUND_AFTER: Duration = Duration::from_secs(600);
/// Consecutive "not found" answers that make a loss.
pub const LOSS_SIGHTINGS: u8 = 3;
/// Minimum time from the first of them to the last.
pub const LOSS_AFTER: Duration = Duration::from_secs(1_800);
/// How long a file must be the wrong one before its attempt fails.
pub const WRONG_FILE_AFTER: Duration = Duration::from_secs(600);
/// "Not found" answers within this time count as one.
pub const SIGHTING_EVERY: Duration = Duration::from_secs(300);

/// One try of one job at one provider. Sent at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u8,
    /// Random: identifies the one dispatcher that may send it.
    pub claim: u64,
    /// Identifies the API key of the create call without revealing it; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_mark: Option<u32>,
    /// The provider has a callback URL for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reports: bool,
    /// The provider does not bill a remote job that is canceled before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_is_free: bool,
    /// It went to a simulator: no real media, no cost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    #[serde(deserialize_with = "word::deserialize")]
    pub provider: Provider,
    /// [`Route::name`](super::catalog::Route::name) of the route taken.
    pub route: String,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteJob>,
    /// Our cost: the catalogue's estimate until the provider reports the actual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<MicroUsd>,
    #[serde(default)]
    pub billed: Billed,
    /// Why it failed; of a finished one, why its file is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The provider reports the remote job or the file as not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Since when its file is known to be the wrong one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_since: Option<Timestamp>,
    /// Fields of a newer release: kept unchanged.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// Consecutive "not found" answers about one attempt. Any other answer clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub since: Timestamp,
    pub last: Timestamp,
    pub sightings: u8,
}

impl Attempt {
    /// Whether a verdict names another remote job than this attempt's. Signatures do not cover the
    /// URL, so such a verdict is about something else.
    pub fn has_other_remote(&self, remote: Option<&RemoteJob>) -> bool {
        self.remote.as_ref().zip(remote).is_some_and(|(known, named)| known.id != named.id)
    }

    /// Whether "not found" counts yet; see [`NOT_FOUND_AFTER`].
    pub fn not_found_counts(&self, now: Timestamp) -> bool {
        now.since(self.ended_at.unwrap_or(self.started_at)) >= NOT_FOUND_AFTER
    }

    /// Whether one more "not found" makes it a loss.
    pub fn is_next_not_found_a_loss(&self, now: Timestamp) -> bool {
        self.missing.is_some_and(|missing| {
            now.since(missing.last) >= SIGHTING_EVERY
                && now.since(missing.since) >= LOSS_AFTER
                && missing.sightings + 1 >= LOSS_SIGHTINGS
        })
    }

    /// The earliest time at which the provider may delete the file; `None` if it keeps files for at
    /// least a day.
    pub fn file_expires_at(&self, catalog: &Catalog) -> Option<Timestamp> {
        let kept_s = catalog.route(&self.route)?.retention_s?;
        Some(self.ended_at.unwrap_or(self.started_at) + Duration::from_secs(kept_s))
    }

    /// Whether one more "not found" changes anything.
    pub fn is_not_found_new(&self, now: Timestamp) -> bool {
        self.clone().record_not_found(now) != Sighting::Nothing
    }

    /// Records a "not found" answer.
    pub(super) fn record_not_found(&mut self, now: Timestamp) -> Sighting {
        if !self.not_found_counts(now) {
            return Sighting::Nothing;
        }
        if self.is_next_not_found_a_loss(now) {
            self.missing = None;
            return Sighting::Loss;
        }
        let first = Missing { since: now, last: now, sightings: 0 };
        let missing = self.missing.unwrap_or(first);
        if missing.sightings > 0 && now.since(missing.last) < SIGHTING_EVERY {
            return Sighting::Nothing;
        }
        self.missing = Some(Missing { last: now, sightings: missing.sightings.saturating_add(1), ..missing });
        Sighting::Noted
    }
}

/// What one more "not found" answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    Nothing,
    Noted,
    Loss,
}

/// The known state of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Claimed; the create call is under way, or its caller crashed.
    Sending,
    /// Sent, and the answer was lost: outcome unknown, it may run.
    Unclear,
    /// Accepted: the remote job is known.
    Running,
    /// Finished and billed.
    Finished,
    /// The provider rejected the request.
    Refused,
    /// The provider answered with a server error, and the operator chose to treat that as a
    /// rejection (`UnclearCreate=failover`): it may run.
    PresumedRefused,
    /// Never reached the provider.
    NotSent,
    /// It ran and failed.
    Broke,
    Canceled,
    /// Its deadline passed, or the provider lost it.
    Lost,
    /// A phase of a newer release.
    Other(&'static str),
}

stored_by_word!(Phase);

impl Phase {
    pub const ALL: [Self; 10] = [
        Self::Sending,
        Self::Unclear,
        Self::Running,
        Self::Finished,
        Self::Refused,
        Self::PresumedRefused,
        Self::NotSent,
        Self::Broke,
        Self::Canceled,
        Self::Lost,
    ];

    /// Whether the provider may still be working on it. An unknown phase may.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Sending | Self::Unclear | Self::Running | Self::Other(_))
    }

    /// Whether it may still run at the provider, even if the job no longer waits for it.
    pub const fn may_run(self) -> bool {
        self.is_open() || matches!(self, Self::Lost | Self::PresumedRefused)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Unclear => "unclear",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Refused => "refused",
            Self::PresumedRefused => "presumed_refused",
            Self::NotSent => "not_sent",
            Self::Broke => "broke",
            Self::Canceled => "canceled",
            Self::Lost => "lost",
            Self::Other(word) => word,
        }
    }
}

/// A report about an attempt, from its create call or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEvent {
    Accepted {
        remote: RemoteJob,
        cost: Option<MicroUsd>,
    },
    Refused(Fault),
    /// As `Unclear`, and the operator chose to treat that as a rejection.
    PresumedRefused,
    NotSent(Fault),
    Unclear,
    /// The end, as the provider reports it; `remote` if the report names the remote job.
    Ended {
        remote: Option<RemoteJob>,
        verdict: Verdict,
    },
}

impl Attempt {
    /// Applies an event; whether it changed anything. `None` if it contradicts the known state.
    pub(super) fn apply(&mut self, event: &AttemptEvent, now: Timestamp) -> Option<bool> {
        if matches!(self.phase, Phase::Other(_)) {
            return Some(false); // handled by the newer release
        }
        let waiting = matches!(self.phase, Phase::Sending | Phase::Unclear);
        match event {
            AttemptEvent::Accepted { remote, cost } => return self.accept(remote, *cost),
            AttemptEvent::Refused(fault) if waiting => {
                self.end(Phase::Refused, Some(fault.clone()), None, now)
            }
            AttemptEvent::NotSent(fault) if waiting => {
                self.end(Phase::NotSent, Some(fault.clone()), None, now)
            }
            AttemptEvent::PresumedRefused if waiting => {
                let fault = Fault::new(ErrorClass::ProviderUnavailable, Some("presumed"), Billed::Unknown);
                self.end(Phase::PresumedRefused, Some(fault), None, now);
            }
            AttemptEvent::Unclear if self.phase == Phase::Sending => self.phase = Phase::Unclear,
            AttemptEvent::Refused(_)
            | AttemptEvent::NotSent(_)
            | AttemptEvent::PresumedRefused
            | AttemptEvent::Unclear => {
                return Some(false);
            }
            AttemptEvent::Ended { remote, verdict } => {
                return Some(self.take_verdict(remote.as_ref(), verdict, now));
            }
        }
        Some(true)
    }

    fn accept(&mut self, remote: &RemoteJob, cost: Option<MicroUsd>) -> Option<bool> {
        match &self.remote {
            // Two remote jobs for one attempt are billed twice: a defect.
            Some(known) if known.id != remote.id => None,
            // It still runs: earlier "not found" answers are cleared.
            Some(_) => Some(self.phase.is_open() && self.missing.take().is_some()),
            None => {
                self.missing = None;
                self.remote = Some(remote.clone());
                self.cost = cost.or(self.cost);
                if self.phase.may_run() {
                    self.phase = Phase::Running;
                    self.ended_at = None;
                }
                Some(true)
            }
        }
    }

    fn take_verdict(&mut self, remote: Option<&RemoteJob>, verdict: &Verdict, now: Timestamp) -> bool {
        let success = matches!(verdict, Verdict::Finished { .. });
        if self.phase == Phase::Finished {
            return false;
        }
        if !self.phase.may_run() && !success {
            return false;
        }
        if *verdict == Verdict::Gone {
            if !self.phase.is_open() {
                return false;
            }
            match self.record_not_found(now) {
                Sighting::Nothing => return false,
                Sighting::Noted => return true,
                Sighting::Loss => {}
            }
        }
        if self.remote.is_none() {
            self.remote = remote.cloned();
        }
        self.missing = None;
        self.conclude(verdict, now);
        true
    }

    fn conclude(&mut self, verdict: &Verdict, now: Timestamp) {
        match verdict {
            Verdict::Finished { cost, .. } => {
                self.end(Phase::Finished, None, *cost, now);
                self.billed = Billed::Yes;
            }
            Verdict::Broke { fault, cost } => self.end(Phase::Broke, Some(fault.clone()), *cost, now),
            Verdict::Canceled { cost } => {
                let is_free = cost.map_or(self.stop_is_free, |cost| cost == MicroUsd(0));
                let billed = if is_free { Billed::No } else { Billed::Unknown };
                self.end(Phase::Canceled, Some(Fault::new(ErrorClass::Stopped, None, billed)), *cost, now);
            }
            Verdict::Gone => {
                self.end(
                    Phase::Lost,
                    Some(Fault::new(ErrorClass::Expired, None, Billed::Unknown)),
                    None,
                    now,
                );
            }
        }
    }

    pub(super) fn end(&mut self, phase: Phase, fault: Option<Fault>, cost: Option<MicroUsd>, now: Timestamp) {
        self.phase = phase;
        self.cost = cost.or(self.cost);
        self.billed = match (phase, &fault) {
            (Phase::NotSent, _) => Billed::No,
            (_, Some(fault)) => fault.billed,
            (_, None) => self.billed,
        };
        self.fault = fault;
        self.missing = None;
        self.ended_at = Some(now);
    }
}

impl AttemptEvent {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused(_) => "refused",
            Self::PresumedRefused => "presumed_refused",
            Self::NotSent(_) => "not_sent",
            Self::Unclear => "unclear",
            Self::Ended { verdict, .. } => match verdict {
                Verdict::Finished { .. } => "finished",
                Verdict::Broke { .. } => "broke",
                Verdict::Canceled { .. } => "canceled",
                Verdict::Gone => "gone",
            },
        }
    }
}
