//! Receipts: what a vendor reports of a mail or a text after it took it.

use serde::{Deserialize, Serialize};

use crate::endpoint::Kind;
use crate::id::{EndpointId, EventId};
use crate::time::Timestamp;

/// What became of it. The order is that of severity: reports come in any order, and several times, and none
/// takes back a more severe one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The vendor has sent it, or will.
    Sent,
    /// The vendor tries again.
    Delayed,
    /// It did not arrive, which says nothing of the address. The note of an absent reader looks the same, and
    /// comes after the arrival.
    Failed,
    Delivered,
    /// The address does not exist, or takes nothing.
    Bounced,
    /// Its reader wants no more.
    Unsubscribed,
    /// Its reader reported it as spam.
    Complained,
}

impl Fate {
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::Delayed,
        Self::Failed,
        Self::Delivered,
        Self::Bounced,
        Self::Unsubscribed,
        Self::Complained,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Unsubscribed => "unsubscribed",
            Self::Complained => "complained",
        }
    }

    /// Whether it is of the address, and so of every account that has it.
    pub const fn ends_address(self) -> bool {
        matches!(self, Self::Bounced | Self::Complained)
    }
}

/// The most severe report of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub fate: Fate,
    /// When the report came.
    pub at: Timestamp,
}

/// One report, as it goes from function to function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub event: EventId,
    pub endpoint: EndpointId,
    /// Where it was sent.
    pub address: String,
    pub fate: Fate,
}

impl Reported {
    /// The kind of the endpoint: of mails and texts alone there are reports.
    pub fn kind(&self) -> Kind {
        if self.address.contains('@') { Kind::Email } else { Kind::Sms }
    }
}
