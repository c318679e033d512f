//! What a run came to, by both sides' books.

use std::collections::BTreeMap;

use domain::attempt::Phase;
use domain::id::JobId;
use domain::job::Job;
use domain::provider::Provider;
use domain::verdict::Billed;
use shared::operate::audit::was_given_up;
use shared::store::audit::LedgerSnapshot;
use sim::{CallKind, RemoteJobView};

use super::books::{self, Bill, Losses, Refund};
use super::{Run, START, chance};
use crate::world::AUDIT;

impl Run {
    /// Does the sums, and reads both sides' books.
    pub(super) async fn count(&mut self) {
        let theirs = self.world.remote_jobs();
        let report = self.world.inspect_as(AUDIT, &theirs).await;
        self.outcome.violations.extend(report.violations.iter().map(ToString::to_string));
        let ours = self.world.books().await;
        let jobs: BTreeMap<_, _> = ours.rows().map(|row| (row.job.id().clone(), row.job.clone())).collect();
        for job in jobs.values() {
            *self.outcome.ended.entry(job.state().name()).or_default() += 1;
            self.outcome.jobs += 1;
            self.outcome.attempts += job.attempts().len();
            let lost = job.attempts().iter().filter(|attempt| attempt.phase == Phase::Lost).count();
            self.outcome.lost += lost;
            let billed = job.attempts().iter().filter(|attempt| attempt.billed == Billed::Yes).count();
            self.outcome.paid_twice += usize::from(billed > 1);
        }
        for (id, _) in self.made.values().filter(|(id, _)| !jobs.contains_key(id)) {
            self.outcome.violations.push(format!("{id} was accepted and is not there"));
        }
        let bills: Vec<Bill> = theirs.into_values().flatten().map(|remote| self.bill(remote)).collect();
        self.outcome.violations.extend(books::check(&jobs, &bills, &self.refunds(&ours)));
        self.count_losses(&jobs, &bills);
        if self.outcome.creates > self.outcome.attempts {
            let (creates, attempts) = (self.outcome.creates, self.outcome.attempts);
            self.violation(format!("{creates} creates were sent for {attempts} attempts"));
        }
        self.outcome.lasted = self.world.clock.now().since(START);
    }

    fn bill(&self, remote: RemoteJobView) -> Bill {
        let equals = chance::number(&remote.prompt).and_then(|number| self.equals.get(&number));
        let made = equals.into_iter().flatten().filter_map(|number| self.made.get(number));
        Bill {
            provider: remote.provider,
            id: remote.id,
            jobs: made.map(|(id, _)| id.clone()).collect(),
            state: remote.state,
            bills: remote.bills,
            ends_at: remote.ends_at,
        }
    }

    /// The refunds as they landed, each with the attempts that its job went on without.
    fn refunds(&self, ours: &LedgerSnapshot) -> BTreeMap<JobId, Refund> {
        let landed = self.world.wire.refunds();
        let refunds = landed.into_iter().filter_map(|(id, at)| {
            let row = ours.jobs.get(&id)?.row()?;
            let given_up = row.job.attempts().iter().filter(|made| was_given_up(made, &row.moves));
            Some((id, Refund { at, given_up: given_up.map(|made| made.number).collect() }))
        });
        refunds.collect()
    }

    /// Counts what was lost at each provider, and what of it may be.
    fn count_losses(&mut self, jobs: &BTreeMap<JobId, Job>, bills: &[Bill]) {
        for provider in Provider::ALL {
            let calls = self.world.simulator(*provider).calls();
            let losses = Losses::of(*provider, jobs, bills, &calls);
            self.outcome.violations.extend(losses.problems(*provider, self.outcome.spoilt_dispatch));
            self.outcome.unanswered += losses.unanswered;
            self.outcome.nameless += losses.nameless;
            self.outcome.unnamed += losses.unnamed;
            self.outcome.creates += calls.iter().filter(|call| call.kind == CallKind::Create).count();
        }
    }
}
