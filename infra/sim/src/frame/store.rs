//! The remote jobs in SQLite: one document each, with the two times that are searched.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use domain::provider::Provider;
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::jobs::RemoteJob;

#[derive(Debug, Clone)]
pub(crate) struct Store {
    connection: Arc<Mutex<Connection>>,
    provider: &'static str,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS remote_jobs (
        id TEXT PRIMARY KEY,
        provider TEXT NOT NULL,
        ends_at INTEGER NOT NULL,
        webhook_due INTEGER,
        document TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS remote_jobs_end ON remote_jobs (provider, ends_at);
    CREATE INDEX IF NOT EXISTS remote_jobs_webhook ON remote_jobs (provider, webhook_due);
    CREATE TABLE IF NOT EXISTS creates (
        provider TEXT NOT NULL,
        prompt TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (provider, prompt)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS seeds (
        provider TEXT PRIMARY KEY,
        seed BLOB NOT NULL
    ) STRICT;
";

impl Store {
    /// Opens the file, or a store in memory.
    pub(crate) fn open(file: Option<&Path>, provider: Provider) -> anyhow::Result<Self> {
        let connection = match file {
            Some(file) => {
                Connection::open(file).with_context(|| format!("{} cannot be opened", file.display()))?
            }
            None => Connection::open_in_memory()?,
        };
        let begin = || {
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.execute_batch(SCHEMA)
        };
        let file = file.map_or_else(|| "memory".into(), |file| file.display().to_string());
        begin().with_context(|| format!("the remote jobs in {file} cannot be opened"))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), provider: provider.name() })
    }

    pub(crate) fn insert(&self, job: &RemoteJob) -> anyhow::Result<()> {
        self.write(|transaction| save(transaction, self.provider, job))
    }

    pub(crate) fn get(&self, id: &str) -> anyhow::Result<Option<RemoteJob>> {
        self.select("id = ?2", id).map(|mut jobs| jobs.pop())
    }

    /// Changes one job; gives it back as it is after the change.
    pub(crate) fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut RemoteJob),
    ) -> anyhow::Result<Option<RemoteJob>> {
        self.write(|transaction| {
            let Some(mut job) = query(transaction, self.provider, "id = ?2", id)?.pop() else {
                return Ok(None);
            };
            change(&mut job);
            save(transaction, self.provider, &job)?;
            Ok(Some(job))
        })
    }

    /// Every job, in the order of creation.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<RemoteJob>> {
        self.select("?2 = ?2", 0)
    }

    /// The jobs that have not ended.
    pub(crate) fn unfinished(&self, now: Timestamp) -> anyhow::Result<Vec<RemoteJob>> {
        self.select("ends_at > ?2", now.as_millis())
    }

    /// The time of the earliest pending webhook.
    pub(crate) fn next_webhook(&self) -> anyhow::Result<Option<Timestamp>> {
        let sql = "SELECT min(webhook_due) FROM remote_jobs WHERE provider = ?1";
        let due: Option<i64> = self.lock().query_row(sql, [self.provider], |row| row.get(0))?;
        Ok(due.map(Timestamp::from_millis))
    }

    /// Applies `claim` to every job whose webhook is due and gives those jobs back with what it
    /// said, so that no second caller sends the same ones.
    pub(crate) fn claim_due<T>(
        &self,
        now: Timestamp,
        claim: impl Fn(&mut RemoteJob) -> T,
    ) -> anyhow::Result<Vec<(RemoteJob, T)>> {
        self.write(|transaction| {
            let due = query(transaction, self.provider, "webhook_due <= ?2", now.as_millis())?;
            let claimed = due.into_iter().map(|mut job| {
                let claim = claim(&mut job);
                save(transaction, self.provider, &job)?;
                Ok((job, claim))
            });
            claimed.collect()
        })
    }

    /// How many creates with this prompt have been counted, this one included.
    pub(crate) fn count_create(&self, prompt: &str) -> anyhow::Result<u32> {
        let sql = "INSERT INTO creates VALUES (?1, ?2, 1)
                   ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count";
        Ok(self.lock().query_row(sql, [self.provider, prompt], |row| row.get(0))?)
    }

    /// The secret: created by the first call, then constant.
    pub(crate) fn secret(&self, draw: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
        self.write(|transaction| {
            let sql = "SELECT seed FROM seeds WHERE provider = ?1";
            let kept = transaction.query_row(sql, [self.provider], |row| row.get(0)).optional()?;
            if let Some(kept) = kept {
                return Ok(kept);
            }
            let fresh = draw()?;
            transaction.execute("INSERT INTO seeds VALUES (?1, ?2)", params![self.provider, fresh])?;
            Ok(fresh)
        })
    }

    fn select(&self, condition: &str, value: impl rusqlite::ToSql) -> anyhow::Result<Vec<RemoteJob>> {
        query(&self.lock(), self.provider, condition, value)
    }

    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = change(&transaction)?;
        transaction.commit()?;
        Ok(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn query(
    connection: &Connection,
    provider: &str,
    condition: &str,
    value: impl rusqlite::ToSql,
) -> anyhow::Result<Vec<RemoteJob>> {
    let sql = format!("SELECT document FROM remote_jobs WHERE provider = ?1 AND {condition} ORDER BY rowid");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![provider, value])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(serde_json::from_str(row.get_ref(0)?.as_str()?)?);
    }
    Ok(jobs)
}

fn save(connection: &Connection, provider: &str, job: &RemoteJob) -> anyhow::Result<()> {
    let due = job.webhook.as_ref().and_then(|webhook| webhook.due).map(Timestamp::as_millis);
    let sql = "INSERT INTO remote_jobs VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET ends_at = ?3, webhook_due = ?4, document = ?5";
    let document = serde_json::to_string(job)?;
    connection.prepare_cached(sql)?.execute(params![
        job.id,
        provider,
        job.ends_at().as_millis(),
        due,
        document
    ])?;
    Ok(())
}
