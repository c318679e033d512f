//! Use cases of operators, for every door that offers them: the command line, and a console. Each takes
//! stores and arguments and returns values; the door shows them.

pub mod accounts;
pub mod audit;
pub mod dead_letters;
pub mod endpoints;
pub mod grants;
pub mod jobs;
pub mod keys;
pub mod providers;
pub mod timeline;
