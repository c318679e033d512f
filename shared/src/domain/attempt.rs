//! An attempt: one try of one job at one provider, and what we learn of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::credit::MicroUsd;
use super::id::RemoteJob;
use super::provider::Provider;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault, Verdict};

/// How long something may be missing at its provider before it counts as lost.
pub const GONE_AFTER: Duration = Duration::from_secs(600);

/// One try of one job at one provider. Sent at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u8,
    /// Tells the one dispatcher that may send it from its rivals.
    pub claim: u64,
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
}

impl Attempt {
    /// Whether a provider that does not know this attempt's remote job has lost it: what
    /// has just begun, or has just ended, may not be known everywhere yet.
    pub fn may_be_gone(&self, now: Timestamp) -> bool {
        now.since(self.ended_at.unwrap_or(self.started_at)) >= GONE_AFTER
    }
}

/// What we know of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Certainly never reached them.
    NotSent,
    /// It ran and failed.
    Broke,
    Canceled,
    /// Its deadline passed, or its provider forgot it.
    Lost,
}

impl Phase {
    pub const ALL: [Self; 9] = [
        Self::Sending,
        Self::Unclear,
        Self::Running,
        Self::Finished,
        Self::Refused,
        Self::NotSent,
        Self::Broke,
        Self::Canceled,
        Self::Lost,
    ];

    /// Whether the provider may still be working on it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Sending | Self::Unclear | Self::Running)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Unclear => "unclear",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Broke => "broke",
            Self::Canceled => "canceled",
            Self::Lost => "lost",
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
    NotSent(Fault),
    Unclear,
    /// The end, as the provider tells it; `remote` where the telling names it.
    Ended {
        remote: Option<RemoteJob>,
        verdict: Verdict,
    },
}

impl Attempt {
    /// Takes in news; says whether anything was new. `None` if it contradicts what is known.
    pub(super) fn learn(&mut self, news: &News, now: Timestamp) -> Option<bool> {
        let waiting = matches!(self.phase, Phase::Sending | Phase::Unclear);
        match news {
            News::Accepted { remote, cost } => match &self.remote {
                // Two remote jobs for one attempt would be two bills: never silently.
                Some(known) if known.id != remote.id => return None,
                Some(_) => return Some(false),
                None => {
                    self.remote = Some(remote.clone());
                    self.cost = cost.or(self.cost);
                    if waiting || self.phase == Phase::Lost {
                        self.phase = Phase::Running;
                        self.ended_at = None;
                    }
                }
            },
            News::Refused(fault) if waiting => self.end(Phase::Refused, Some(fault.clone()), None, now),
            News::NotSent(fault) if waiting => self.end(Phase::NotSent, Some(fault.clone()), None, now),
            News::Unclear if self.phase == Phase::Sending => self.phase = Phase::Unclear,
            News::Refused(_) | News::NotSent(_) | News::Unclear => return Some(false),
            News::Ended { remote, verdict } => {
                let dead = !self.phase.is_open() && self.phase != Phase::Lost;
                let success = matches!(verdict, Verdict::Finished { .. });
                if self.phase == Phase::Finished || (dead && !success) {
                    return Some(false);
                }
                if *verdict == Verdict::Gone && self.phase == Phase::Lost {
                    return Some(false);
                }
                if self.remote.is_none() {
                    self.remote.clone_from(remote);
                }
                self.conclude(verdict, now);
            }
        }
        Some(true)
    }

    fn conclude(&mut self, verdict: &Verdict, now: Timestamp) {
        match verdict {
            Verdict::Finished { cost, .. } => {
                self.end(Phase::Finished, None, *cost, now);
                self.billed = Billed::Yes;
            }
            Verdict::Broke { fault, cost } => self.end(Phase::Broke, Some(fault.clone()), *cost, now),
            Verdict::Canceled { cost } => {
                let billed = if *cost == Some(MicroUsd(0)) { Billed::No } else { Billed::Unknown };
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
        self.ended_at = Some(now);
    }
}

impl News {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused(_) => "refused",
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
