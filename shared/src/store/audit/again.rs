//! Reads again what looked wrong in a scan: each subject by itself, at one point in time.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{Get, TransactGetItem};

use super::super::item::{Item, key, number, number_of, text, text_of};
use super::super::keys::{self, DUE_INDEX, PK, SK};
use super::super::ledger::Line;
use super::super::{Error, RACES_MAX, Table, back_off};
use super::books::{account_of, is_live, line, line_keys};
use super::{Account, AuditedJob, Books, DueEntry, Row, Source};
use domain::credit::Entry;
use domain::id::{AccountId, JobId};
use domain::provider::Provider;

/// Readings of an account whose ledger grows meanwhile.
const READINGS_MAX: u32 = 5;

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Job(JobId),
    Account(AccountId),
    Provider(Provider),
    /// A file, by its key.
    Object(String),
    /// An open upload, by the key of its file.
    Upload(String),
    /// An item of the table, by its key.
    Item(String, String),
}

impl Source {
    /// Replaces all that the books hold about a subject by what there is now.
    pub async fn read_again(&self, books: &mut Books, subject: &Subject) -> Result<(), Error> {
        match subject {
            Subject::Job(id) => self.job_again(books, id).await,
            Subject::Account(id) => self.account_again(books, id).await,
            Subject::Provider(provider) => self.item_again(books, &keys::gauge(*provider), keys::GATE).await,
            Subject::Object(key) => self.file_again(books, key).await,
            Subject::Upload(_) => {
                books.uploads = self.uploads().await?;
                Ok(())
            }
            Subject::Item(pk, sk) => match keys::parse_job(pk) {
                Some(id) => self.job_again(books, &id).await,
                None => self.item_again(books, pk, sk).await,
            },
        }
    }

    async fn item_again(&self, books: &mut Books, pk: &str, sk: &str) -> Result<(), Error> {
        books.unreadable.remove(&(pk.to_owned(), sk.to_owned()));
        let item = self.table.item("read an item again", key(pk, sk)).await?;
        item.into_iter().for_each(|item| books.take(item));
        Ok(())
    }

    async fn file_again(&self, books: &mut Books, key: &str) -> Result<(), Error> {
        match self.describe(key).await? {
            Some(object) => books.objects.insert(key.to_owned(), object),
            None => books.objects.remove(key),
        };
        Ok(())
    }

    /// The job with its money in one transaction; then what is always written before the job.
    async fn job_again(&self, books: &mut Books, id: &JobId) -> Result<(), Error> {
        let doing = "read a job again";
        let before = books.jobs.remove(id).unwrap_or_default();
        let pk = keys::job(id);
        let row = self.table.item(doing, key(&pk, keys::JOB)).await?;
        let mut accounts: BTreeSet<AccountId> =
            before.lines.into_iter().map(|(account, _)| account).collect();
        accounts.extend(row.as_ref().and_then(account_of));

        let mut wanted = vec![key(&pk, keys::JOB), key(&pk, keys::REQUEST)];
        let lines =
            accounts.iter().flat_map(|account| line_keys(id).map(|sk| key(keys::account(account), sk)));
        wanted.extend(lines);
        books.unreadable.retain(|(known, _), _| *known != pk);
        let mut found = AuditedJob::default();
        for item in self.table.items_at_once(doing, &wanted).await? {
            let sk = text_of(&item, SK).unwrap_or_default().to_owned();
            let account = text_of(&item, PK).and_then(keys::parse_account);
            match account {
                // What cannot be read is named by the account's own reading.
                Some(account) => found.lines.extend(line(&sk, item).ok().map(|line| (account, line))),
                None => books.take(item),
            }
        }
        let row = books.jobs.remove(id).unwrap_or_default();
        found = AuditedJob { lines: found.lines, ..row };
        found.indexed = self.indexed(id, &found, before.indexed).await?;
        self.remotes_again(books, &found).await?;
        self.files_again(books, id, &found).await?;
        books.jobs.insert(id.clone(), found);
        Ok(())
    }

    /// Where the due index has a job: where its row says, and where it was seen before.
    async fn indexed(
        &self,
        id: &JobId,
        found: &AuditedJob,
        before: Vec<DueEntry>,
    ) -> Result<Vec<DueEntry>, Error> {
        let due = found.row().and_then(|row| Some((row.due_shard.clone()?, row.check_at?)));
        let mut places: Vec<DueEntry> =
            due.map(|(shard, check_at)| DueEntry { shard, check_at }).into_iter().collect();
        for entry in before {
            if !places.contains(&entry) {
                places.push(entry);
            }
        }
        let mut indexed = Vec::new();
        for place in places {
            if self.table.is_indexed(id, &place).await? {
                indexed.push(place);
            }
        }
        Ok(indexed)
    }

    async fn remotes_again(&self, books: &mut Books, found: &AuditedJob) -> Result<(), Error> {
        let attempts = found.row().map(|row| row.job.attempts.as_slice()).unwrap_or_default();
        for attempt in attempts {
            if let Some(remote) = &attempt.remote {
                let pk = keys::remote(attempt.provider, &remote.id);
                books.remotes.remove(&pk);
                self.item_again(books, &pk, keys::REMOTE).await?;
            }
        }
        Ok(())
    }

    async fn files_again(&self, books: &mut Books, id: &JobId, found: &AuditedJob) -> Result<(), Error> {
        let Row::Read(row) = &found.row else { return Ok(()) };
        let prefix = format!("media/{}/{id}/", row.job.account);
        books.objects.retain(|key, _| !key.starts_with(&prefix));
        books.objects.extend(self.objects(&prefix).await?);
        match &row.job.media {
            Some(media) => self.file_again(books, &media.key).await,
            None => Ok(()),
        }
    }

    async fn account_again(&self, books: &mut Books, id: &AccountId) -> Result<(), Error> {
        let rows = books.rows().filter(|row| row.job.account == *id && row.job.state.is_terminal());
        let ended: BTreeSet<JobId> = rows.map(|row| row.job.id.clone()).collect();
        let pk = keys::account(id);
        for tries in 0..READINGS_MAX {
            books.unreadable.retain(|(known, sk), _| *known != pk || !is_money(sk));
            let account = self.account(books, id, &ended).await?;
            let is_settled = account.later.is_empty();
            books.accounts.insert(id.clone(), account);
            if is_settled {
                break;
            }
            back_off(tries).await;
        }
        Ok(())
    }

    /// An account as it was when its balance item was read. A ledger only grows: every line of the
    /// first reading was there by then, and no line that the second reading does not show. So where
    /// both are the same, this is a snapshot, however many lines there are.
    async fn account(
        &self,
        books: &mut Books,
        id: &AccountId,
        ended: &BTreeSet<JobId>,
    ) -> Result<Account, Error> {
        let doing = "read an account again";
        let first = self.lines(books, id).await?;
        let refunded: BTreeSet<&JobId> = first.values().filter_map(refund_of).collect();
        let charged = first.values().filter_map(charge_of);
        let open = charged.filter(|job| !refunded.contains(job) && !ended.contains(job));
        let live_before = self.live_among(open.cloned().collect()).await?;

        let balance = self.table.item(doing, key(keys::account(id), keys::BALANCE)).await?;
        let mut account = Account::default();
        if let Some(item) = balance {
            books.accounts.remove(id);
            books.take(item);
            account = books.accounts.remove(id).unwrap_or_default();
        }

        let live_after = self.live_among(live_before.clone()).await?;
        let second = self.lines(books, id).await?;
        let money = keys::account(id);
        account.is_partial |= books.unreadable.keys().any(|(pk, sk)| *pk == money && is_money(sk));
        account.later =
            second.iter().filter(|(sk, _)| !first.contains_key(*sk)).map(|(_, line)| line.clone()).collect();
        let new_jobs = account.later.iter().filter(|line| charge_of(line).is_some()).count();
        account.counted = Some(count(live_after.len())..=count(live_before.len() + new_jobs));
        account.lines = first.into_values().collect();
        Ok(account)
    }

    /// An account's ledger by its keys, without the lines that cannot be read, which are named.
    async fn lines(&self, books: &mut Books, id: &AccountId) -> Result<BTreeMap<String, Line>, Error> {
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
                Err(error) => drop(books.unreadable.insert((pk.clone(), sk), error.with_causes())),
            }
        }
        Ok(lines)
    }

    /// Those of these jobs that live now.
    async fn live_among(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, Error> {
        let keys = jobs.iter().map(|id| key(keys::job(id), keys::JOB)).collect();
        let items = self.table.batch_get_now("read the jobs of an account again", keys).await?;
        let live = items.iter().filter(|item| is_live(item));
        Ok(live.filter_map(|item| text_of(item, PK).and_then(keys::parse_job)).collect())
    }
}

impl Table {
    /// An item as it is now.
    async fn item(&self, doing: &str, key: Item) -> Result<Option<Item>, Error> {
        let read = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = read.set_key(Some(key)).send().await.map_err(|source| Error::sdk(doing, source))?;
        Ok(answer.item)
    }

    /// These items as they were at one time; missing ones are left out.
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
            // A write of one of them is under way.
            if !error.as_service_error().is_some_and(|error| error.is_transaction_canceled_exception()) {
                return Err(Error::sdk(doing, error));
            }
            back_off(tries).await;
        }
        Err(Error::contended(doing))
    }

    async fn is_indexed(&self, id: &JobId, place: &DueEntry) -> Result<bool, Error> {
        let doing = "look a job up in the due index";
        let query = self.client.query().table_name(&self.name).index_name(DUE_INDEX);
        let query = query.key_condition_expression("due_shard = :shard AND check_at = :at");
        let query = query.expression_attribute_values(":shard", text(&place.shard));
        let query = query.expression_attribute_values(":at", number(place.check_at.as_millis()));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|source| Error::sdk(doing, source))?;
            let is_it = text_of(&item, PK) == Some(&keys::job(id));
            if is_it && number_of(&item, keys::CHECK_AT) == Some(place.check_at.as_millis()) {
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
        Entry::Refund { .. } | Entry::Grant { .. } => None,
    }
}

fn refund_of(line: &Line) -> Option<&JobId> {
    match &line.entry {
        Entry::Refund { job, .. } => Some(job),
        Entry::Charge { .. } | Entry::Grant { .. } => None,
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
