//! Jobs with their requests, by the time of their charge: what usage is computed from.

use std::collections::HashMap;

use super::item::{Item, from_item, key, number, number_of, text, text_of};
use super::jobs::job_from_item;
use super::keys::{self, PK, SK};
use super::{Error, Table};
use domain::id::{AccountId, JobId};
use domain::time::Timestamp;
use domain::usage::Record;

/// A place among the jobs of an account: behind this job, or from this time on.
pub type Place = (Timestamp, Option<JobId>);

/// Reads the jobs of an account, or of all.
#[derive(Debug, Clone)]
pub struct UsageStore {
    table: Table,
}

impl UsageStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Up to `limit` jobs of an account that were charged before `end`, oldest first, from a place on; and
    /// the place of the last, if more may follow. A job that was charged in the last second may be missing;
    /// one that cannot be read is left out and logged.
    pub async fn page(
        &self,
        account: &AccountId,
        from: &Place,
        end: Timestamp,
        limit: i32,
    ) -> Result<(Vec<Record>, Option<Place>), Error> {
        let doing = format!("read the usage of {account}");
        let (start, behind) = from;
        let behind = behind.as_ref().map(|id| {
            let mut behind = key(keys::job(id), keys::JOB);
            behind.insert(keys::ACCOUNT_KEY.to_owned(), text(keys::account(account)));
            behind.insert(keys::CREATED_AT.to_owned(), number(start.as_millis()));
            behind
        });
        let query = self.table.client.query().table_name(&self.table.name).index_name(keys::ACCOUNT_INDEX);
        let answer = query
            .key_condition_expression("account_key = :account_key AND created_at BETWEEN :start AND :last")
            .expression_attribute_values(":account_key", text(keys::account(account)))
            .expression_attribute_values(":start", number(start.as_millis()))
            .expression_attribute_values(":last", number(end.as_millis() - 1))
            .limit(limit)
            .set_exclusive_start_key(behind)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let next = answer.last_evaluated_key.and_then(|last| {
            let id = text_of(&last, PK).and_then(keys::parse_job)?;
            Some((Timestamp::from_millis(number_of(&last, keys::CREATED_AT)?), Some(id)))
        });
        let ids = answer.items.unwrap_or_default();
        let ids: Vec<_> = ids.iter().filter_map(|item| text_of(item, PK).and_then(keys::parse_job)).collect();
        Ok((self.records(&doing, &ids).await?, next))
    }

    /// Calls `each` with every job that was charged in this time, in any order. Reads the whole table: for
    /// operators.
    pub async fn scan(
        &self,
        start: Timestamp,
        end: Timestamp,
        mut each: impl FnMut(&Record),
    ) -> Result<(), Error> {
        // The item of a job comes right before its request.
        let mut job: Option<Item> = None;
        let doing = "read the usage of all accounts";
        let take = |item: Item| {
            match text_of(&item, SK) {
                Some(keys::JOB) => job = Some(item),
                Some(keys::REQUEST) => {
                    let of_job = job.take().filter(|job| text_of(job, PK) == text_of(&item, PK));
                    let record = of_job.and_then(|job| record(doing, job, item));
                    let is_in = |at: Timestamp| start <= at && at < end;
                    record.iter().filter(|record| is_in(record.job.created_at())).for_each(&mut each);
                }
                _ => {}
            }
            Ok(())
        };
        self.table.scan(doing, take).await
    }

    /// These jobs, in this order.
    async fn records(&self, doing: &str, ids: &[JobId]) -> Result<Vec<Record>, Error> {
        let keys = ids.iter().flat_map(|id| [keys::JOB, keys::REQUEST].map(|sk| key(keys::job(id), sk)));
        let items = self.table.batch_get(doing, keys.collect()).await?;
        let of_key = |item: Item| {
            let [pk, sk] = [PK, SK].map(|name| text_of(&item, name).unwrap_or_default().to_owned());
            ((pk, sk), item)
        };
        let mut items: HashMap<_, _> = items.into_iter().map(of_key).collect();
        let mut take = |id: &JobId, sk: &str| items.remove(&(keys::job(id), sk.to_owned()));
        let pairs = ids.iter().map(|id| Some((take(id, keys::JOB)?, take(id, keys::REQUEST)?)));
        Ok(pairs.flatten().filter_map(|(job, request)| record(doing, job, request)).collect())
    }
}

/// A job and its request; logged if they cannot be read.
fn record(doing: &str, job: Item, mut request: Item) -> Option<Record> {
    let key = text_of(&job, PK).unwrap_or_default().to_owned();
    let ordered_by = request.remove(keys::ORDERED_BY);
    let ordered_by = ordered_by.and_then(|id| id.as_s().ok()?.parse().ok());
    let read = job_from_item(doing, job)
        .and_then(|job| Ok(Record { job, request: from_item(doing, request)?, key: ordered_by }));
    read.map_err(|error| tracing::error!(key, error = error.with_causes(), "job.unreadable")).ok()
}
