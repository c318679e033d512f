//! What happens to a job.

use std::time::Duration;

use crate::attempt::AttemptEvent;
use crate::credit::MicroUsd;
use crate::job::CancelRefund;
use crate::media::Media;
use crate::provider::Provider;
use crate::verdict::ErrorClass;

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A dispatcher is about to call this route. The winner of this transition makes the call;
    /// the claim's random id distinguishes concurrent dispatchers.
    Claimed(Claim),
    /// No route is left to try, for this reason.
    NoRoute { class: ErrorClass },
    /// A report about one attempt.
    Attempt { number: u8, event: AttemptEvent },
    /// The create call returned the media, and it is stored.
    Delivered { number: u8, cost: Option<MicroUsd>, media: Media },
    /// An attempt's media is stored.
    Stored { number: u8, media: Media },
    /// A copy of an attempt's media is about to start. Its lease is the new version.
    CopyStarted { number: u8 },
    /// The copy with this lease is still running.
    CopyRenewed { number: u8, lease: u64 },
    /// The copy with this lease has failed; another may start after this wait.
    CopyFailed { number: u8, lease: u64, wait: Duration },
    /// As `CopyFailed`, and the source reports the file as not found.
    AssetLost { number: u8, lease: u64 },
    /// As `CopyFailed`, and the file is certainly the wrong one.
    WrongFile { number: u8, lease: u64 },
    /// The caller canceled the job, with this refund.
    CancelRequested(CancelRefund),
    /// The deadline of the current state has passed.
    DeadlinePassed,
    /// The caller has the files of an ended job deleted.
    Deleted,
}

/// The attempt that a dispatcher is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Random: identifies the dispatcher.
    pub id: u64,
    pub provider: Provider,
    pub route: String,
    pub cost: Option<MicroUsd>,
    pub key_mark: Option<u32>,
    /// The provider gets a callback URL.
    pub reports: bool,
    /// The provider does not bill a remote job that is canceled before its end.
    pub stop_is_free: bool,
    /// The provider is a simulator.
    pub simulated: bool,
}

impl Event {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed(_) => "claimed",
            Self::NoRoute { .. } => "no_route",
            Self::Attempt { event, .. } => event.name(),
            Self::Delivered { .. } => "delivered",
            Self::Stored { .. } => "stored",
            Self::CopyStarted { .. } => "copy_started",
            Self::CopyRenewed { .. } => "copy_renewed",
            Self::CopyFailed { .. } => "copy_failed",
            Self::AssetLost { .. } => "asset_lost",
            Self::WrongFile { .. } => "wrong_file",
            Self::CancelRequested(_) => "cancel_requested",
            Self::DeadlinePassed => "deadline_passed",
            Self::Deleted => "deleted",
        }
    }
}
