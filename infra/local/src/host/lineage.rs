//! Recursive loop detection, as Lambda has it.
//!
//! Lambda counts how often a function was invoked because of one event. The counts travel in the
//! `Lineage` of the X-Ray header: Lambda gives it to an invocation, the SDK copies it to each call
//! (`RecursionDetectionInterceptor` of `aws-runtime`, which the Rust SQS client installs), SQS
//! keeps it with the message. After 16 invocations the next one is stopped and its message goes
//! to the dead-letter queue, unless the function has `RecursiveLoop: Allow`; metric
//! `RecursiveInvocationsDropped`.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>,
//! <https://aws.amazon.com/about-aws/whats-new/2023/07/aws-lambda-detects-recursive-loops-lambda-functions/>
//!
//! What becomes of the other messages of a stopped batch is not documented. Here the batch goes
//! by the highest count in it, and all of it goes to the dead-letter queue: the worst case.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Invocations of one function because of one event, before the next is stopped.
pub(super) const INVOCATIONS_MAX: u32 = 16;

tokio::task_local! {
    /// The X-Ray header of the invocation that runs: `_X_AMZN_TRACE_ID` of its process, which
    /// functions that share a process cannot have.
    static TRACE: String;
}

/// The X-Ray header of the invocation that this task runs, if it runs one.
pub fn current_trace() -> Option<String> {
    TRACE.try_with(Clone::clone).ok()
}

/// Runs an invocation whose calls of AWS carry this X-Ray header.
pub(super) async fn traced<F: Future>(trace: String, invocation: F) -> F::Output {
    TRACE.scope(trace, invocation).await
}

/// An X-Ray header, with how often each function was invoked on the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Lineage {
    /// All that is not about invocations.
    rest: Vec<String>,
    counts: BTreeMap<String, u32>,
}

impl Lineage {
    pub(super) fn parse(header: &str) -> Self {
        let mut lineage = Self::default();
        for part in header.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.strip_prefix("Lineage=").and_then(|list| list.split_once(':')) {
                Some((_version, list)) => lineage.counts.extend(list.split('|').filter_map(|entry| {
                    let (function, count) = entry.split_once(':')?;
                    Some((function.to_owned(), count.parse().ok()?))
                })),
                None => lineage.rest.push(part.to_owned()),
            }
        }
        lineage
    }

    /// That of a batch: of each function the highest count.
    pub(super) fn of_all<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers.map(Self::parse).reduce(|mut first, other| {
            for (function, count) in other.counts {
                let highest = first.counts.entry(function).or_default();
                *highest = count.max(*highest);
            }
            first
        })
    }

    pub(super) fn invocations(&self, function_arn: &str) -> u32 {
        self.counts.get(&id(function_arn)).copied().unwrap_or(0)
    }

    /// That of the function's next invocation.
    pub(super) fn entered(mut self, function_arn: &str) -> Self {
        *self.counts.entry(id(function_arn)).or_default() += 1;
        self
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.counts.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        let lineage = (!counts.is_empty()).then(|| format!("Lineage=1:{}", counts.join("|")));
        let parts: Vec<_> = self.rest.iter().cloned().chain(lineage).collect();
        f.write_str(&parts.join(";"))
    }
}

/// Eight hexadecimal digits stand for a function.
fn id(function_arn: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(function_arn)[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_what_it_says_and_counts_each_function() {
        let fresh = Lineage::parse("Root=1-a-b;Parent=c;Sampled=1");
        assert_eq!(fresh.to_string(), "Root=1-a-b;Parent=c;Sampled=1");
        let twice = fresh.entered("poll").entered("settle").entered("poll");
        let read = Lineage::parse(&twice.to_string());
        assert_eq!(["poll", "settle", "submit"].map(|name| read.invocations(name)), [2, 1, 0]);
        assert!(twice.to_string().starts_with("Root=1-a-b;Parent=c;Sampled=1;Lineage=1:"), "{twice}");
    }

    #[test]
    fn a_batch_goes_by_its_oldest_chain() {
        let of =
            |count| (0..count).fold(Lineage::parse("Root=1-a-b"), |it, _| it.entered("poll")).to_string();
        let headers = [of(3), of(9), of(5)];
        let batch = Lineage::of_all(headers.iter().map(String::as_str)).unwrap();
        assert_eq!(batch.invocations("poll"), 9);
        assert!(Lineage::of_all(std::iter::empty()).is_none());
    }
}
