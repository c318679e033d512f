//! An attempt: one try of one job at one provider, and what we learn of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::credit::MicroUsd;
use super::id::RemoteJob;
use super::provider::Provider;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault, Verdict};
use super::word::{self, stored_by_word};

/// How old an attempt must be before "not found" means anything: what has just begun or ended
/// may not be known everywhere yet. A remote job that a certain look-up has not found by then
/// was never made.
pub const GONE_AFTER: Duration = Duration::from_secs(600);
/// Answers "not found" that a loss needs, with nothing else heard in between.
pub const LOSS_SIGHTINGS: u8 = 3;
/// The time that a loss needs from the first of them to the last.
pub const LOSS_AFTER: Duration = Duration::from_secs(1_800);
/// How long a file must be seen to be another than was sold before its attempt ends with it.
pub const WRONG_FILE_AFTER: Duration = Duration::from_secs(600);
/// Two answers "not found" within this time count as one.
pub const SIGHTING_EVERY: Duration = Duration::from_secs(300);

/// One try of one job at one provider. Sent at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u8,
    /// Random: identifies the one dispatcher that may send it.
    pub claim: u64,
    /// Identifies the key that it was made with, without giving it away; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_mark: Option<u32>,
    /// Its provider was given a callback URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reports: bool,
    /// Its provider bills nothing for a remote job that is stopped before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_is_free: bool,
    /// It went to a simulator: what comes of it is no real media, and costs nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    #[serde(deserialize_with = "word::deserialize")]
    pub provider: Provider,
    /// [`Route::name`](super::catalog::Route::name) of the route taken.
    pub route: String,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteJob>,
    /// What it costs us: the catalogue's estimate until the provider reports better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<MicroUsd>,
    #[serde(default)]
    pub billed: Billed,
    /// Why it gave nothing; of a finished one, that its file is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its provider says that it does not know the remote job, or that the file is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Since when its file, though there, is certainly not what was sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_since: Option<Timestamp>,
    /// What a newer release has written: kept as it is.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// Answers "not found" about one attempt. Any other answer about it clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub since: Timestamp,
    pub last: Timestamp,
    pub sightings: u8,
}

impl Attempt {
    /// Whether a verdict names another remote job than this attempt's. A signature covers no URL:
    /// such a verdict is about something else.
    pub fn is_not(&self, remote: Option<&RemoteJob>) -> bool {
        self.remote.as_ref().zip(remote).is_some_and(|(known, named)| known.id != named.id)
    }

    /// Whether "not found" means anything yet: what has just begun, or has just ended, may not
    /// be known everywhere.
    pub fn may_be_gone(&self, now: Timestamp) -> bool {
        now.since(self.ended_at.unwrap_or(self.started_at)) >= GONE_AFTER
    }

    /// Whether one more "not found" makes it a loss.
    pub fn is_about_to_be_lost(&self, now: Timestamp) -> bool {
        self.missing.is_some_and(|missing| {
            now.since(missing.last) >= SIGHTING_EVERY
                && now.since(missing.since) >= LOSS_AFTER
                && missing.sightings + 1 >= LOSS_SIGHTINGS
        })
    }

    /// Whether one more "not found" is news.
    pub fn is_missed(&self, now: Timestamp) -> bool {
        self.clone().miss(now) != Sighting::Nothing
    }

    /// Notes an answer "not found": whether that is a loss by now, or at least something new.
    pub(super) fn miss(&mut self, now: Timestamp) -> Sighting {
        if !self.may_be_gone(now) {
            return Sighting::Nothing;
        }
        if self.is_about_to_be_lost(now) {
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

/// What one more answer "not found" comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    Nothing,
    Noted,
    Loss,
}

/// What we know of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Claimed; its create call may be under way, or its caller may have died in it.
    Sending,
    /// Sent, and the answer was lost: it may run.
    Unclear,
    /// Accepted: the remote job is known.
    Running,
    /// Done, billed.
    Finished,
    /// They said no to it.
    Refused,
    /// Its answer was a server error, and the owner accepts the risk of taking that for a
    /// refusal (`UnclearCreate=failover`): it may run.
    PresumedRefused,
    /// Certainly never reached them.
    NotSent,
    /// It ran and failed.
    Broke,
    Canceled,
    /// Its deadline passed, or its provider forgot it.
    Lost,
    /// A word of a newer release.
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

    /// Whether the provider may still be working on it. What we do not understand may.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Sending | Self::Unclear | Self::Running | Self::Other(_))
    }

    /// Whether it may run at its provider after all, for all that we know: also where we have
    /// stopped waiting for it.
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

/// What was learnt of an attempt, from its create call or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Accepted {
        remote: RemoteJob,
        cost: Option<MicroUsd>,
    },
    Refused(Fault),
    /// As `Unclear`, and the owner accepts the risk of taking it for a refusal.
    PresumedRefused,
    NotSent(Fault),
    Unclear,
    /// The end, as the provider tells it; `remote` where the telling names it.
    Ended {
        remote: Option<RemoteJob>,
        verdict: Verdict,
    },
}

impl Attempt {
    /// Takes in news; whether anything was new. `None` if it contradicts what is known.
    pub(super) fn learn(&mut self, news: &News, now: Timestamp) -> Option<bool> {
        if matches!(self.phase, Phase::Other(_)) {
            return Some(false); // left to the release that knows it
        }
        let waiting = matches!(self.phase, Phase::Sending | Phase::Unclear);
        match news {
            News::Accepted { remote, cost } => return self.accept(remote, *cost),
            News::Refused(fault) if waiting => self.end(Phase::Refused, Some(fault.clone()), None, now),
            News::NotSent(fault) if waiting => self.end(Phase::NotSent, Some(fault.clone()), None, now),
            News::PresumedRefused if waiting => {
                let fault = Fault::new(ErrorClass::ProviderUnavailable, Some("presumed"), Billed::Unknown);
                self.end(Phase::PresumedRefused, Some(fault), None, now);
            }
            News::Unclear if self.phase == Phase::Sending => self.phase = Phase::Unclear,
            News::Refused(_) | News::NotSent(_) | News::PresumedRefused | News::Unclear => {
                return Some(false);
            }
            News::Ended { remote, verdict } => return Some(self.take_verdict(remote.as_ref(), verdict, now)),
        }
        Some(true)
    }

    fn accept(&mut self, remote: &RemoteJob, cost: Option<MicroUsd>) -> Option<bool> {
        match &self.remote {
            // Two remote jobs for one attempt would be two bills: never silently.
            Some(known) if known.id != remote.id => None,
            // It runs after all, if anybody doubted it.
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
            match self.miss(now) {
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

impl News {
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
