//! Reads the whole table and bucket for the audit, and all items of one job.

mod again;
mod bucket;
mod snapshot;

use super::item::{from_item, from_value, key, number_of, text, text_of};
use super::jobs::job_from_item;
use super::keys::{self, CHECK_AT, MOVES, SK};
use super::ledger::Line;
use super::moves::Move;
use super::{Error, S3, Table};
use domain::credit::Entry;
use domain::id::JobId;
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;

pub use again::Subject;
pub use bucket::Object;
pub use snapshot::{Account, AuditedJob, Bought, DueEntry, Endpoints, Held, JobRow, LedgerSnapshot, Row};

/// The stores that an audit reads.
#[derive(Debug)]
pub struct Source {
    pub table: Table,
    pub s3: S3,
    pub bucket: String,
    /// Reads every file of a job, to compare its content.
    pub deep: bool,
}

/// All items of one job.
#[derive(Debug)]
pub struct History {
    pub job: Job,
    pub request: JobRequest,
    /// Its next check, while active.
    pub check_at: Option<Timestamp>,
    /// Its transitions, oldest first, as far as recorded.
    pub moves: Vec<Move>,
    /// Its ledger lines: the charge, then the refund if there is one.
    pub lines: Vec<Line>,
}

impl History {
    /// Reads it, consistently; `None` if the job does not exist. A concurrent transition may show its
    /// refund early.
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
    let (id, amount) = (job.id().clone(), job.price());
    let entries = [Entry::Charge { job: id.clone(), amount }, Entry::Refund { job: id, amount }];
    let mut lines = Vec::new();
    for entry in entries {
        let read = table.client.get_item().table_name(&table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::account(job.account()), keys::entry(&entry))));
        let answer = read.send().await.map_err(|source| Error::sdk(doing, source))?;
        if let Some(item) = answer.item {
            lines.push(from_item(doing, item)?);
        }
    }
    Ok(lines)
}
