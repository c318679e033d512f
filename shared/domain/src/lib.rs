//! The domain: rules without async, I/O, clock or randomness.
//!
//! - [`job`] and [`attempt`]: the record of a job; [`decide`]: its state machine; [`progress`]: how far it is.
//! - [`request`]: a caller's request; [`catalog`]: the models; [`price`], [`price_book`]: what callers pay;
//!   [`price_list`]: comparison with a provider's prices; [`route`]: the choice of a provider.
//! - [`budget`]: what an account or a key may be charged in a period; [`allowed`]: what a key may order;
//!   [`usage`]: sums over jobs; [`figures`]: numbers of the last jobs; [`bill`]: a provider's bill against the
//!   attempts on record.
//! - [`event`], [`endpoint`], [`delivery`]: what happened, who wants to know, and the tries to send it;
//!   [`inbound`]: what other platforms report.
//! - [`payment`]: purchases of credits, and what is sold.
//! - [`policy`]: back-off, circuit breaker, limits, retry budget, admission control, health.
//! - [`trace`]: ids of traces, derived from jobs.
//! - [`public_url`]: untrusted URLs; [`upload`]: images of callers; [`size`]: sizes in pixels;
//!   [`variant`]: other forms of a video.

pub mod allowed;
pub mod attempt;
pub mod bill;
pub mod budget;
pub mod catalog;
pub mod credit;
pub mod decide;
pub mod delivery;
mod effect;
pub mod endpoint;
pub mod event;
pub mod figures;
pub mod id;
pub mod inbound;
pub mod job;
pub mod media;
pub mod payment;
pub mod policy;
pub mod price;
pub mod price_book;
pub mod price_list;
pub mod progress;
pub mod provider;
pub mod public_url;
pub mod request;
pub mod route;
pub mod size;
pub mod socket;
pub mod time;
pub mod trace;
pub mod upload;
pub mod usage;
pub mod variant;
pub mod verdict;
mod word;
