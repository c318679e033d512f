//! The domain: rules without async, I/O, clock or randomness.
//!
//! - [`job`] and [`attempt`]: the record of a job; [`decide`]: its state machine.
//! - [`request`]: a caller's request; [`catalog`]: the models; [`price`]: what callers pay;
//!   [`price_list`]: comparison with a provider's prices; [`route`]: the choice of a provider.
//! - [`event`], [`endpoint`], [`delivery`]: what happened, who wants to know, and the tries to send it;
//!   [`inbound`]: what other platforms report.
//! - [`payment`]: purchases of credits, and what is sold.
//! - [`policy`]: back-off, circuit breaker, limits, retry budget, admission control, health.
//! - [`public_url`]: untrusted URLs; [`upload`]: images that came with a request; [`size`]: sizes in pixels.

pub mod attempt;
pub mod catalog;
pub mod credit;
pub mod decide;
pub mod delivery;
mod effect;
pub mod endpoint;
pub mod event;
pub mod id;
pub mod inbound;
pub mod job;
pub mod media;
pub mod payment;
pub mod policy;
pub mod price;
pub mod price_list;
pub mod provider;
pub mod public_url;
pub mod request;
pub mod route;
pub mod size;
pub mod time;
pub mod upload;
pub mod verdict;
mod word;
