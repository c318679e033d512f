//! Pages of jobs.

use std::collections::HashMap;

use crate::store::Error;
use crate::store::item::{from_item, key, number, text, text_of};
use crate::store::keys::{self, PK};
use crate::store::read::Age;
use domain::id::{AccountId, JobId};
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;

use super::{JobStore, job_from_item};

impl JobStore {
    /// An account's jobs, newest first, from before `cursor`.
    pub async fn list(
        &self,
        account: &AccountId,
        limit: i32,
        cursor: Option<(Timestamp, JobId)>,
    ) -> Result<Vec<Job>, Error> {
        self.list_by(Age::NewestFirst, account, limit, cursor).await
    }

    /// The same in either order, from behind `cursor`.
    pub async fn list_by(
        &self,
        age: Age,
        account: &AccountId,
        limit: i32,
        cursor: Option<(Timestamp, JobId)>,
    ) -> Result<Vec<Job>, Error> {
        let doing = format!("list the jobs of {account}");
        let mut start = cursor.map(|(created_at, id)| {
            let mut start = key(keys::job(&id), keys::JOB);
            start.insert(keys::ACCOUNT_KEY.to_owned(), text(keys::account(account)));
            start.insert(keys::CREATED_AT.to_owned(), number(created_at.as_millis()));
            start
        });
        let mut jobs = Vec::new();
        let mut left = limit;
        while left > 0 {
            let found = self.table.by_age(&doing, &keys::account(account), age, left, start).await?;
            let is_last = i32::try_from(found.len()).is_ok_and(|found| found < left);
            start = found.last().cloned();
            let ids = found.iter().filter_map(|item| text_of(item, PK).and_then(keys::parse_job));
            jobs.extend(self.get_many(&doing, ids.collect()).await?);
            if is_last {
                break;
            }
            // Omitted jobs do not count towards the limit.
            left = limit.saturating_sub(i32::try_from(jobs.len()).unwrap_or(i32::MAX));
        }
        Ok(jobs)
    }

    /// The requests of these jobs.
    pub async fn requests(&self, ids: &[JobId]) -> Result<HashMap<JobId, JobRequest>, Error> {
        let doing = "read the requests of jobs";
        let keys = ids.iter().map(|id| key(keys::job(id), keys::REQUEST)).collect();
        let items = self.table.batch_get(doing, keys).await?.into_iter();
        let requests = items.filter_map(|item| {
            let id = text_of(&item, PK).and_then(keys::parse_job)?;
            Some(from_item(doing, item).map(|request| (id, request)))
        });
        requests.collect()
    }

    /// These jobs in this order. Missing and unreadable ones are omitted, so that they do not hide the
    /// others.
    pub(in crate::store) async fn get_many(&self, doing: &str, ids: Vec<JobId>) -> Result<Vec<Job>, Error> {
        Ok(self.get_readable(doing, ids).await?.0)
    }

    /// The same, with the unreadable ones.
    pub(in crate::store) async fn get_readable(
        &self,
        doing: &str,
        ids: Vec<JobId>,
    ) -> Result<(Vec<Job>, Vec<JobId>), Error> {
        let keys = ids.iter().map(|id| key(keys::job(id), keys::JOB)).collect();
        let (mut jobs, mut unreadable) = (Vec::new(), Vec::new());
        for item in self.table.batch_get(doing, keys).await? {
            let key = text_of(&item, PK).unwrap_or_default().to_owned();
            match job_from_item(doing, item) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    tracing::error!(key, error = error.with_causes(), "job.unreadable");
                    unreadable.extend(keys::parse_job(&key));
                }
            }
        }
        jobs.sort_by_key(|job: &Job| ids.iter().position(|id| id == job.id()));
        Ok((jobs, unreadable))
    }
}
