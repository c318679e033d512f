//! Reads the subjects of findings again, each at one point in time.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{Get, TransactGetItem};

use super::super::item::{Item, key, number, number_of, text, text_of};
use super::super::keys::{self, DUE_INDEX, PK, SK};
use super::super::ledger::Line;
use super::super::{Error, RACES_MAX, Table, back_off};
use super::snapshot::{account_of, is_live, line, line_keys};
use super::{Account, AuditedJob, DueEntry, LedgerSnapshot, Row, Source};
use domain::budget::Counter;
use domain::credit::Entry;
use domain::id::{AccountId, JobId, TopupId};
use domain::provider::Provider;

/// Reads of an account with a growing ledger.
const READINGS_MAX: u32 = 5;

/// The subject of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Job(JobId),
    Account(AccountId),
    /// A purchase of an account.
    Purchase(TopupId, AccountId),
    /// An account's endpoints.
    Endpoints(AccountId),
    Provider(Provider),
    /// A file, by its key.
    Object(String),
    /// An open upload, by the key of its file.
    Upload(String),
    /// An item of the table, by its key.
    Item(String, String),
}

impl Source {
    /// Replaces the data of a subject by the current data.
    pub async fn read_again(&self, snapshot: &mut LedgerSnapshot, subject: &Subject) -> Result<(), Error> {
        match subject {
            Subject::Job(id) => self.job_again(snapshot, id).await,
            Subject::Account(id) => self.account_again(snapshot, id).await,
            Subject::Purchase(id, account) => {
                self.item_again(snapshot, &keys::topup(id), keys::TOPUP).await?;
                self.account_again(snapshot, account).await
            }
            Subject::Endpoints(id) => self.endpoints_again(snapshot, id).await,
            Subject::Provider(provider) => {
                self.item_again(snapshot, &keys::gauge(*provider), keys::GATE).await
            }
            Subject::Object(key) => self.file_again(snapshot, key).await,
            Subject::Upload(_) => {
                snapshot.uploads = self.uploads().await?;
                Ok(())
            }
            Subject::Item(pk, sk) => match keys::parse_job(pk) {
                Some(id) => self.job_again(snapshot, &id).await,
                None => self.item_again(snapshot, pk, sk).await,
            },
        }
    }

    async fn item_again(&self, snapshot: &mut LedgerSnapshot, pk: &str, sk: &str) -> Result<(), Error> {
        snapshot.unreadable.remove(&(pk.to_owned(), sk.to_owned()));
        snapshot.waiting.remove(&(pk.to_owned(), sk.to_owned()));
        let item = self.table.item("read an item again", key(pk, sk)).await?;
        item.into_iter().for_each(|item| snapshot.take(item));
        Ok(())
    }

    async fn endpoints_again(&self, snapshot: &mut LedgerSnapshot, id: &AccountId) -> Result<(), Error> {
        let doing = "read endpoints again";
        snapshot.endpoints.remove(id);
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let query = query.key_condition_expression("PK = :pk");
        let query = query.expression_attribute_values(":pk", text(keys::endpoints(id)));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            snapshot.take(item.map_err(|source| Error::sdk(doing, source))?);
        }
        // Alone: the account's money was read at one point in time.
        let mut counts = LedgerSnapshot::default();
        let balance = self.table.item(doing, key(keys::account(id), keys::BALANCE)).await?;
        balance.into_iter().for_each(|item| counts.take(item));
        let counted = counts.endpoints.remove(id).unwrap_or_default().counted;
        snapshot.endpoints.entry(id.clone()).or_default().counted = counted;
        Ok(())
    }

    async fn file_again(&self, snapshot: &mut LedgerSnapshot, key: &str) -> Result<(), Error> {
        match self.describe(key).await? {
            Some(object) => snapshot.objects.insert(key.to_owned(), object),
            None => snapshot.objects.remove(key),
        };
        Ok(())
    }

    /// The job with its money in one transaction; then the items that are written before the job.
    async fn job_again(&self, snapshot: &mut LedgerSnapshot, id: &JobId) -> Result<(), Error> {
        let doing = "read a job again";
        let before = snapshot.jobs.remove(id).unwrap_or_default();
        let pk = keys::job(id);
        let row = self.table.item(doing, key(&pk, keys::JOB)).await?;
        let mut accounts: BTreeSet<AccountId> =
            before.lines.into_iter().map(|(account, _)| account).collect();
        accounts.extend(row.as_ref().and_then(account_of));

        let mut keys_to_read = vec![key(&pk, keys::JOB), key(&pk, keys::REQUEST)];
        let lines =
            accounts.iter().flat_map(|account| line_keys(id).map(|sk| key(keys::account(account), sk)));
        keys_to_read.extend(lines);
        snapshot.unreadable.retain(|(known, _), _| *known != pk);
        let mut found = AuditedJob::default();
        for item in self.table.items_at_once(doing, &keys_to_read).await? {
            let sk = text_of(&item, SK).unwrap_or_default().to_owned();
            let account = text_of(&item, PK).and_then(keys::parse_account);
            match account {
                // Unreadable items are recorded by the read of the account.
                Some(account) => found.lines.extend(line(&sk, item).ok().map(|line| (account, line))),
                None => snapshot.take(item),
            }
        }
        let row = snapshot.jobs.remove(id).unwrap_or_default();
        found = AuditedJob { lines: found.lines, ..row };
        found.indexed = self.indexed(id, &found, before.indexed).await?;
        self.remotes_again(snapshot, &found).await?;
        self.files_again(snapshot, id, &found).await?;
        snapshot.jobs.insert(id.clone(), found);
        Ok(())
    }

    /// The due index entries of a job: those of its item, and those seen before.
    async fn indexed(
        &self,
        id: &JobId,
        found: &AuditedJob,
        before: Vec<DueEntry>,
    ) -> Result<Vec<DueEntry>, Error> {
        let due = found.row().and_then(|row| Some((row.due_shard.clone()?, row.check_at?)));
        let mut entries: Vec<DueEntry> =
            due.map(|(shard, check_at)| DueEntry { shard, check_at }).into_iter().collect();
        for entry in before {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        let mut indexed = Vec::new();
        for entry in entries {
            if self.table.is_indexed(id, &entry).await? {
                indexed.push(entry);
            }
        }
        Ok(indexed)
    }

    async fn remotes_again(&self, snapshot: &mut LedgerSnapshot, found: &AuditedJob) -> Result<(), Error> {
        let attempts = found.row().map(|row| row.job.attempts()).unwrap_or_default();
        for attempt in attempts {
            if let Some(remote) = &attempt.remote {
                let pk = keys::remote(attempt.provider, &remote.id);
                snapshot.remotes.remove(&pk);
                self.item_again(snapshot, &pk, keys::REMOTE).await?;
            }
        }
        Ok(())
    }

    async fn files_again(
        &self,
        snapshot: &mut LedgerSnapshot,
        id: &JobId,
        found: &AuditedJob,
    ) -> Result<(), Error> {
        let Row::Read(row) = &found.row else { return Ok(()) };
        let prefix = format!("media/{}/{id}/", row.job.account());
        snapshot.objects.retain(|key, _| !key.starts_with(&prefix));
        snapshot.objects.extend(self.objects(&prefix).await?);
        match &row.job.media() {
            Some(media) => self.file_again(snapshot, &media.key).await,
            None => Ok(()),
        }
    }

    async fn account_again(&self, snapshot: &mut LedgerSnapshot, id: &AccountId) -> Result<(), Error> {
        let rows = snapshot.rows().filter(|row| row.job.account() == id && row.job.state().is_terminal());
        let ended: BTreeSet<JobId> = rows.map(|row| row.job.id().clone()).collect();
        let pk = keys::account(id);
        for tries in 0..READINGS_MAX {
            snapshot.unreadable.retain(|(known, sk), _| *known != pk || !is_money(sk));
            let account = self.account(snapshot, id, &ended).await?;
            let is_settled = account.later.is_empty();
            snapshot.accounts.insert(id.clone(), account);
            if is_settled {
                break;
            }
            back_off(tries).await;
        }
        Ok(())
    }

    /// An account at the time of its balance read. The ledger is append-only: if the reads before and
    /// after the balance are equal, this is a consistent snapshot of any size.
    async fn account(
        &self,
        snapshot: &mut LedgerSnapshot,
        id: &AccountId,
        ended: &BTreeSet<JobId>,
    ) -> Result<Account, Error> {
        let doing = "read an account again";
        let first = self.lines(snapshot, id).await?;
        let refunded: BTreeSet<&JobId> = first.values().filter_map(refund_of).collect();
        let charged = first.values().filter_map(charge_of);
        let open = charged.filter(|job| !refunded.contains(job) && !ended.contains(job));
        let live_before = self.live_among(open.cloned().collect()).await?;

        let balance = self.table.item(doing, key(keys::account(id), keys::BALANCE)).await?;
        let mut account = Account::default();
        snapshot.accounts.remove(id);
        if let Some(item) = balance {
            snapshot.take(item);
            account = snapshot.accounts.remove(id).unwrap_or_default();
        }

        account.counters = self.counters(snapshot, id).await?;

        let live_after = self.live_among(live_before.clone()).await?;
        let second = self.lines(snapshot, id).await?;
        let money = keys::account(id);
        account.is_partial |= snapshot.unreadable.keys().any(|(pk, sk)| *pk == money && is_money(sk));
        account.later =
            second.iter().filter(|(sk, _)| !first.contains_key(*sk)).map(|(_, line)| line.clone()).collect();
        let new_jobs = account.later.iter().filter(|line| charge_of(line).is_some()).count();
        account.counted = Some(count(live_after.len())..=count(live_before.len() + new_jobs));
        account.lines = first.into_values().collect();
        Ok(account)
    }

    /// What the counters of an account's budgets say. Unreadable ones are recorded.
    async fn counters(
        &self,
        snapshot: &mut LedgerSnapshot,
        id: &AccountId,
    ) -> Result<BTreeMap<Counter, i128>, Error> {
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let query = query.key_condition_expression("PK = :pk");
        let query = query.expression_attribute_values(":pk", text(keys::budgets(id)));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            snapshot.take(item.map_err(|source| Error::sdk("read budgets again", source))?);
        }
        Ok(snapshot.accounts.remove(id).unwrap_or_default().counters)
    }

    /// An account's ledger by key. Unreadable lines are recorded.
    async fn lines(
        &self,
        snapshot: &mut LedgerSnapshot,
        id: &AccountId,
    ) -> Result<BTreeMap<String, Line>, Error> {
        let doing = "read a ledger again";
        let pk = keys::account(id);
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let query = query.key_condition_expression("PK = :pk AND begins_with(SK, :entry)");
        let query = query.expression_attribute_values(":pk", text(&pk));
        let query = query.expression_attribute_values(":entry", text("ENTRY#"));
        let mut items = query.into_paginator().items().send();
        let mut lines = BTreeMap::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|source| Error::sdk(doing, source))?;
            let sk = text_of(&item, SK).unwrap_or_default().to_owned();
            match line(&sk, item) {
                Ok(line) => drop(lines.insert(sk, line)),
                Err(error) => drop(snapshot.unreadable.insert((pk.clone(), sk), error.with_causes())),
            }
        }
        Ok(lines)
    }

    /// The jobs that are active now.
    async fn live_among(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, Error> {
        let keys = jobs.iter().map(|id| key(keys::job(id), keys::JOB)).collect();
        let items = self.table.batch_get_now("read the jobs of an account again", keys).await?;
        let live = items.iter().filter(|item| is_live(item) && !item.contains_key(keys::UNCOUNTED));
        Ok(live.filter_map(|item| text_of(item, PK).and_then(keys::parse_job)).collect())
    }
}

impl Table {
    /// The current item.
    async fn item(&self, doing: &str, key: Item) -> Result<Option<Item>, Error> {
        let read = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = read.set_key(Some(key)).send().await.map_err(|source| Error::sdk(doing, source))?;
        Ok(answer.item)
    }

    /// These items at one point in time, without missing ones.
    async fn items_at_once(&self, doing: &str, keys: &[Item]) -> Result<Vec<Item>, Error> {
        let gets = keys.iter().map(|key| {
            let get = Get::builder().table_name(&self.name).set_key(Some(key.clone()));
            get.build().map(|get| TransactGetItem::builder().get(get).build())
        });
        let gets = gets.collect::<Result<Vec<_>, _>>().map_err(|source| Error::corrupt(doing, source))?;
        for tries in 0..RACES_MAX {
            let sent = self.client.transact_get_items().set_transact_items(Some(gets.clone())).send().await;
            let error = match sent {
                Ok(answer) => {
                    let found = answer.responses.unwrap_or_default();
                    return Ok(found.into_iter().filter_map(|found| found.item).collect());
                }
                Err(error) => error,
            };
            // One of them is being written.
            if !error.as_service_error().is_some_and(|error| error.is_transaction_canceled_exception()) {
                return Err(Error::sdk(doing, error));
            }
            back_off(tries).await;
        }
        Err(Error::contended(doing))
    }

    async fn is_indexed(&self, id: &JobId, entry: &DueEntry) -> Result<bool, Error> {
        let doing = "look a job up in the due index";
        let query = self.client.query().table_name(&self.name).index_name(DUE_INDEX);
        let query = query.key_condition_expression("due_shard = :shard AND check_at = :at");
        let query = query.expression_attribute_values(":shard", text(&entry.shard));
        let query = query.expression_attribute_values(":at", number(entry.check_at.as_millis()));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|source| Error::sdk(doing, source))?;
            let is_it = text_of(&item, PK) == Some(&keys::job(id));
            if is_it && number_of(&item, keys::CHECK_AT) == Some(entry.check_at.as_millis()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_money(sk: &str) -> bool {
    sk == keys::BALANCE || sk.starts_with("ENTRY#")
}

fn charge_of(line: &Line) -> Option<&JobId> {
    match &line.entry {
        Entry::Charge { job, .. } => Some(job),
        _ => None,
    }
}

fn refund_of(line: &Line) -> Option<&JobId> {
    match &line.entry {
        Entry::Refund { job, .. } => Some(job),
        _ => None,
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
