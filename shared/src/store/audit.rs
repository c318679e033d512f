//! Reads the whole table and bucket, for checking the books; and all that there is of one job.

use std::collections::BTreeMap;

use super::item::{Item, from_item, from_value, key, number_of, text, text_of};
use super::jobs::job_from_item;
use super::keys::{self, CHECK_AT, DUE_SHARD, MOVES, PK, SK};
use super::ledger::{Line, owner};
use super::moves::Move;
use super::{Error, S3, Table};
use crate::domain::credit::Entry;
use crate::domain::id::{AccountId, JobId};
use crate::domain::job::Job;
use crate::domain::request::JobRequest;
use crate::domain::time::Timestamp;

/// Everything that the books are made of, as of one scan.
#[derive(Debug, Default)]
pub struct Books {
    /// In micro-credits, as they stand there: a negative one must show.
    pub balances: BTreeMap<AccountId, i128>,
    /// How many live jobs each account is said to have.
    pub live: BTreeMap<AccountId, i64>,
    pub lines: Vec<(AccountId, Line)>,
    pub jobs: Vec<AuditedJob>,
    /// Keys of all objects in the bucket, with their sizes in bytes.
    pub objects: BTreeMap<String, u64>,
}

/// A job with what only the table knows of it.
#[derive(Debug)]
pub struct AuditedJob {
    pub job: Job,
    pub is_due_indexed: bool,
    pub has_request: bool,
}

impl Books {
    /// Reads all pages of the table, consistently, and lists the whole bucket. Meant for a
    /// system at rest; in a running one, jobs that move meanwhile may look wrong.
    pub async fn read(table: &Table, s3: &S3, bucket: &str) -> Result<Self, Error> {
        let mut books = Self::default();
        let mut requests = std::collections::BTreeSet::new();
        table.scan("read the whole table", |item| books.take(item, &mut requests)).await?;
        for audited in &mut books.jobs {
            audited.has_request = requests.contains(&keys::job(&audited.job.id));
        }
        books.objects = objects(s3, bucket).await?;
        Ok(books)
    }

    fn take(&mut self, item: Item, requests: &mut std::collections::BTreeSet<String>) -> Result<(), Error> {
        let doing = "read an item of the table";
        let pk = text_of(&item, PK).unwrap_or_default().to_owned();
        match text_of(&item, SK).unwrap_or_default() {
            keys::JOB => {
                let is_due_indexed = item.contains_key(DUE_SHARD) && item.contains_key(CHECK_AT);
                let job = job_from_item(doing, item)?;
                self.jobs.push(AuditedJob { job, is_due_indexed, has_request: false });
            }
            keys::REQUEST => {
                requests.insert(pk);
            }
            keys::BALANCE => {
                let account = owner(&item).ok_or_else(|| Error::corrupt(doing, "a balance of nobody"))?;
                let balance = number_of(&item, "balance")
                    .ok_or_else(|| Error::corrupt(doing, "a balance is no number"))?;
                self.live.insert(account.clone(), number_of(&item, "live").unwrap_or(0));
                self.balances.insert(account, balance);
            }
            sk if sk.starts_with("ENTRY#") => {
                let account = owner(&item).ok_or_else(|| Error::corrupt(doing, "a ledger line of nobody"))?;
                self.lines.push((account, from_item(doing, item)?));
            }
            _ => {}
        }
        Ok(())
    }
}

async fn objects(s3: &S3, bucket: &str) -> Result<BTreeMap<String, u64>, Error> {
    let mut objects = BTreeMap::new();
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|source| Error::sdk("list the bucket", source))?;
        for object in page.contents.unwrap_or_default() {
            let bytes = u64::try_from(object.size.unwrap_or(0)).unwrap_or(0);
            objects.insert(object.key.unwrap_or_default(), bytes);
        }
    }
    Ok(objects)
}

/// All that the table has of one job.
#[derive(Debug)]
pub struct History {
    pub job: Job,
    pub request: JobRequest,
    /// When it is next looked after, while it lives.
    pub check_at: Option<Timestamp>,
    /// Its moves, oldest first; not those from before moves were recorded.
    pub moves: Vec<Move>,
    /// Its ledger lines: the charge, then the refund if there is one.
    pub lines: Vec<Line>,
}

impl History {
    /// Reads it, consistently; `None` if there is no such job. A move between the reads may
    /// show its refund a little early.
    pub async fn read(table: &Table, id: &JobId) -> Result<Option<Self>, Error> {
        let doing = format!("read all of job {id}");
        let query = table.client.query().table_name(&table.name).consistent_read(true);
        let query = query.key_condition_expression("PK = :pk");
        let answer = query.expression_attribute_values(":pk", text(keys::job(id))).send().await;
        let answer = answer.map_err(|source| Error::sdk(&doing, source))?;
        let (mut job, mut request, mut check_at, mut moves) = (None, None, None, Vec::new());
        for mut item in answer.items.unwrap_or_default() {
            match text_of(&item, SK) {
                Some(keys::JOB) => {
                    check_at = number_of(&item, CHECK_AT).map(Timestamp::from_millis);
                    if let Some(list) = item.remove(MOVES) {
                        moves = from_value(&doing, list)?;
                    }
                    job = Some(job_from_item(&doing, item)?);
                }
                Some(keys::REQUEST) => request = Some(from_item(&doing, item)?),
                _ => {}
            }
        }
        match (job, request) {
            (Some(job), Some(request)) => {
                let lines = job_lines(table, &doing, &job).await?;
                Ok(Some(Self { job, request, check_at, moves, lines }))
            }
            (None, None) => Ok(None),
            _ => Err(Error::corrupt(doing, "one of the two items is missing")),
        }
    }
}

async fn job_lines(table: &Table, doing: &str, job: &Job) -> Result<Vec<Line>, Error> {
    let (id, amount) = (job.id.clone(), job.price);
    let entries = [Entry::Charge { job: id.clone(), amount }, Entry::Refund { job: id, amount }];
    let mut lines = Vec::new();
    for entry in entries {
        let read = table.client.get_item().table_name(&table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::account(&job.account), keys::entry(&entry))));
        let answer = read.send().await.map_err(|source| Error::sdk(doing, source))?;
        if let Some(item) = answer.item {
            lines.push(from_item(doing, item)?);
        }
    }
    Ok(lines)
}
