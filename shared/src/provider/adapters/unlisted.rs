//! In place of an adapter that this release does not have: nothing is ever sent or understood. An
//! attempt there waits for its deadline, or for the release that knows its provider.

use http::{HeaderName, Method};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Outcome, Polled};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;

const CAUSE: &str = "unknown_provider";

pub(super) struct Unlisted;

impl Unlisted {
    /// Never sent: such a provider is never configured.
    fn call() -> Call {
        Call::new(Method::GET, "", "/")
    }
}

impl Adapter for Unlisted {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn setup(&self) -> Setup {
        Setup::key(&[])
    }

    fn authorize(&self, _: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        None
    }

    fn create(&self, _: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        None
    }

    fn read_create(&self, _: &Answer) -> Outcome {
        Outcome::unknown(CAUSE)
    }

    fn poll(&self, _: &RemoteJob, _: &str) -> Call {
        Self::call()
    }

    fn read_poll(&self, _: &RemoteJob, _: &str, _: &Answer) -> Polled {
        Polled::Unreadable(CAUSE)
    }

    fn ping(&self, _: &Settings) -> Call {
        Self::call()
    }

    fn read_ping(&self, _: &Answer) -> Result<(), Fault> {
        Err(Fault::new(ErrorClass::Auth, Some(CAUSE), Billed::No))
    }
}
