//! Use cases that more than one door offers: to callers the three dialects of the API, to operators the
//! command line and a console. Each takes stores and arguments and returns values; the door shows them.

pub mod accounts;
pub mod audit;
pub mod bills;
pub mod budgets;
pub mod cancel;
pub mod dead_letters;
pub mod delete;
pub mod endpoints;
pub mod figures;
pub mod grants;
pub mod jobs;
pub mod keys;
pub mod prices;
pub mod providers;
pub mod read;
pub mod recent;
pub mod submit;
pub mod timeline;
pub mod topups;
pub mod trace;
pub mod usage;
