//! The queues in SQLite. An acknowledged message survives a crash of the process.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::digest;
use super::error::{Code, Error, invalid};
use super::message::{NewMessage, Receipt, Received};
use super::queue::QueueSpec;

/// A message is in flight while it is invisible and was received, delayed while it is invisible and was not.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS queue (
        name        TEXT PRIMARY KEY,
        spec        TEXT NOT NULL,
        created_at  INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS message (
        seq               INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id        TEXT NOT NULL UNIQUE,
        queue             TEXT NOT NULL REFERENCES queue (name),
        visible_at        INTEGER NOT NULL,
        sent_at           INTEGER NOT NULL,
        receives          INTEGER NOT NULL DEFAULT 0,
        first_received_at INTEGER,
        source            TEXT,
        body              TEXT NOT NULL,
        attributes        TEXT NOT NULL,
        trace_header      TEXT,
        group_id          TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS message_by_visibility ON message (queue, visible_at, seq);
    CREATE INDEX IF NOT EXISTS message_by_age ON message (queue, sent_at);
";

/// A random UUID, made where the row is.
const NEW_ID: &str = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||
    substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))";

#[derive(Debug)]
pub(super) struct Store {
    db: Mutex<Connection>,
    /// Notified after every commit that may have made a message visible, in any queue.
    pub(super) bell: Notify,
}

/// A queue as it was found.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) spec: QueueSpec,
    pub(super) created_at: Timestamp,
    pub(super) modified_at: Timestamp,
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    pub visible: u64,
    /// Received, not deleted, and not yet visible again.
    pub in_flight: u64,
    /// Sent with a delay that is not over.
    pub delayed: u64,
}

/// What came of changing a message's visibility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Changed,
    /// Visible again already, so there is nothing to prolong.
    NotInFlight,
    /// Deleted, moved, or received again since.
    Gone,
}

impl Store {
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Error> {
        let db = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        db.execute_batch(SCHEMA)?;
        Ok(Self { db: Mutex::new(db), bell: Notify::new() })
    }

    /// Creates the queue or changes its settings; its messages stay. Its dead-letter queue must be there.
    pub(super) fn put_queue(&self, spec: &QueueSpec, now: Timestamp) -> Result<(), Error> {
        spec.check()?;
        if let Some(redrive) = &spec.redrive
            && self.find(&redrive.dead_letter_queue)?.is_none()
        {
            return Err(invalid("RedrivePolicy", redrive.policy(), "Dead letter target does not exist."));
        }
        self.db().execute(
            "INSERT INTO queue VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT DO UPDATE SET spec = ?2, modified_at = ?3 WHERE spec != ?2",
            params![spec.name, to_json(spec)?, now.as_millis()],
        )?;
        Ok(())
    }

    pub(super) fn queue(&self, name: &str) -> Result<Queue, Error> {
        self.find(name)?.ok_or_else(|| Code::QueueDoesNotExist.because("The specified queue does not exist."))
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<Queue>, Error> {
        let found = self.db().query_row("SELECT * FROM queue WHERE name = ?1", [name], queue).optional()?;
        Ok(found)
    }

    /// The queues whose names start with `prefix` and follow `after`, by name.
    pub(super) fn queues(&self, prefix: &str, after: &str, max: u32) -> Result<Vec<QueueSpec>, Error> {
        let db = self.db();
        let mut query = db.prepare_cached(
            "SELECT * FROM queue WHERE substr(name, 1, length(?1)) = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        )?;
        let rows = query.query_map(params![prefix, after, max], queue)?;
        Ok(rows.map(|row| Ok(row?.spec)).collect::<rusqlite::Result<_>>()?)
    }

    /// Writes all messages or none, and gives their ids in order.
    pub(super) fn send(
        &self,
        queue: &str,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        let mut db = self.db();
        let tx = write(&mut db)?;
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            let visible_at = now + Duration::from_secs(message.delay_s.into());
            let id = tx
                .prepare_cached(&format!(
                    "INSERT INTO message (message_id, queue, visible_at, sent_at, body, attributes,
                         trace_header, group_id)
                     VALUES ({NEW_ID}, ?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING message_id"
                ))?
                .query_row(
                    params![
                        queue,
                        visible_at.as_millis(),
                        now.as_millis(),
                        message.body,
                        to_json(&message.attributes)?,
                        message.trace_header,
                        message.group_id,
                    ],
                    |row| row.get(0),
                )?;
            ids.push(id);
        }
        tx.commit()?;
        self.bell.notify_waiters();
        Ok(ids)
    }

    /// Takes up to `max` messages and hides them for `hidden_s`: those that have been visible
    /// for longest, but fairly between groups. A message's turn comes after as many others as
    /// its group has in flight and waiting before it, and of equals that of the group with
    /// fewer waiting; one without a group is a group of its own.
    ///
    /// Two receives never take the same message while it is hidden.
    /// What is too old is dropped first, and what was received too often goes to the dead-letter queue.
    pub(super) fn receive(
        &self,
        queue: &QueueSpec,
        max: u32,
        hidden_s: u32,
        now: Timestamp,
    ) -> Result<Vec<Received>, Error> {
        let mut db = self.db();
        let tx = write(&mut db)?;
        expire(&tx, queue, now)?;
        let moved = redrive(&tx, queue, now)?;
        let mut taken = tx
            .prepare_cached(
                "UPDATE message
                 SET receives = receives + 1, visible_at = :hidden_until,
                     first_received_at = coalesce(first_received_at, :now)
                 WHERE seq IN (
                     SELECT seq FROM (
                         SELECT seq, visible_at, group_id,
                                row_number() OVER (PARTITION BY coalesce(group_id, message_id)
                                                   ORDER BY visible_at, seq) AS place,
                                count(*) OVER (PARTITION BY coalesce(group_id, message_id)) AS in_group
                         FROM message WHERE queue = :queue AND visible_at <= :now
                     ) AS waiting
                     LEFT JOIN (
                         SELECT group_id, count(*) AS running FROM message
                         WHERE queue = :queue AND visible_at > :now AND receives > 0 GROUP BY group_id
                     ) AS flight USING (group_id)
                     ORDER BY place + coalesce(running, 0), in_group, visible_at, seq LIMIT :max)
                 RETURNING *",
            )?
            .query_map(
                named_params! {
                    ":queue": queue.name,
                    ":now": now.as_millis(),
                    ":hidden_until": (now + Duration::from_secs(hidden_s.into())).as_millis(),
                    ":max": max,
                },
                |row| Ok((row.get("seq")?, received(row)?)),
            )?
            .collect::<rusqlite::Result<Vec<(i64, Received)>>>()?;
        tx.commit()?;
        if moved > 0 {
            self.bell.notify_waiters();
        }
        // SQLite returns updated rows in no particular order.
        taken.sort_unstable_by_key(|(seq, _)| *seq);
        Ok(taken.into_iter().map(|(_, received)| received).collect())
    }

    /// Deletes the message unless the receipt is stale; that it is already gone is no error.
    pub(super) fn delete(&self, receipt: &Receipt) -> Result<(), Error> {
        self.db().execute(
            "DELETE FROM message WHERE queue = ?1 AND message_id = ?2 AND receives = ?3",
            params![receipt.queue, receipt.message_id, receipt.receive_count],
        )?;
        Ok(())
    }

    /// Moves the message to a dead-letter queue unless the receipt is stale.
    pub(super) fn bury(&self, receipt: &Receipt, dead_letters: &str, now: Timestamp) -> Result<(), Error> {
        self.db().execute(
            "UPDATE message SET queue = ?4, source = ?1, visible_at = ?5
             WHERE queue = ?1 AND message_id = ?2 AND receives = ?3",
            params![receipt.queue, receipt.message_id, receipt.receive_count, dead_letters, now.as_millis()],
        )?;
        self.bell.notify_waiters();
        Ok(())
    }

    /// Hides a message in flight until `until`, counted anew; a time not in the future shows it at once.
    pub(super) fn hide(&self, receipt: &Receipt, until: Timestamp, now: Timestamp) -> Result<Change, Error> {
        let mut db = self.db();
        let tx = write(&mut db)?;
        let found: Option<(i64, i64)> = tx
            .query_row(
                "SELECT seq, visible_at FROM message WHERE queue = ?1 AND message_id = ?2 AND receives = ?3",
                params![receipt.queue, receipt.message_id, receipt.receive_count],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((seq, visible_at)) = found else { return Ok(Change::Gone) };
        if visible_at <= now.as_millis() {
            return Ok(Change::NotInFlight);
        }
        tx.execute("UPDATE message SET visible_at = ?2 WHERE seq = ?1", params![seq, until.as_millis()])?;
        tx.commit()?;
        self.bell.notify_waiters();
        Ok(Change::Changed)
    }

    pub(super) fn purge(&self, queue: &str) -> Result<(), Error> {
        self.db().execute("DELETE FROM message WHERE queue = ?1", [queue])?;
        Ok(())
    }

    /// Moves the visible messages of a dead-letter queue to `to`, or each to the queue that it came from.
    ///
    /// They arrive as new messages. Without `to`, messages that came from no other queue stay.
    pub(super) fn move_all(&self, from: &str, to: Option<&str>, now: Timestamp) -> Result<(), Error> {
        self.db().execute(
            &format!(
                "UPDATE message
                 SET queue = coalesce(?2, source), message_id = {NEW_ID}, sent_at = ?3, visible_at = ?3,
                     receives = 0, first_received_at = NULL, source = NULL
                 WHERE queue = ?1 AND visible_at <= ?3 AND coalesce(?2, source) IS NOT NULL"
            ),
            params![from, to, now.as_millis()],
        )?;
        self.bell.notify_waiters();
        Ok(())
    }

    pub(super) fn depth(&self, queue: &QueueSpec, now: Timestamp) -> Result<Depth, Error> {
        let db = self.db();
        expire(&db, queue, now)?;
        let depth = db.query_row(
            "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                    count(*) FILTER (WHERE visible_at > ?2 AND receives > 0),
                    count(*) FILTER (WHERE visible_at > ?2 AND receives = 0)
             FROM message WHERE queue = ?1",
            params![queue.name, now.as_millis()],
            |row| Ok(Depth { visible: row.get(0)?, in_flight: row.get(1)?, delayed: row.get(2)? }),
        )?;
        Ok(depth)
    }

    /// When the queue's first message is or was visible.
    pub(super) fn first_visible_at(&self, queue: &str) -> Result<Option<Timestamp>, Error> {
        let first =
            self.db().query_row("SELECT min(visible_at) FROM message WHERE queue = ?1", [queue], |row| {
                row.get::<_, Option<i64>>(0)
            })?;
        Ok(first.map(Timestamp::from_millis))
    }

    /// When the next message of any queue turns visible.
    pub(super) fn next_visible_at(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let next = self.db().query_row(
            "SELECT min(visible_at) FROM message WHERE visible_at > ?1",
            [now.as_millis()],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        Ok(next.map(Timestamp::from_millis))
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        // A panic cannot leave half a write behind: its transaction was rolled back.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn expire(db: &Connection, queue: &QueueSpec, now: Timestamp) -> rusqlite::Result<()> {
    let oldest = now.minus(Duration::from_secs(queue.retention_s.into()));
    db.prepare_cached("DELETE FROM message WHERE queue = ?1 AND sent_at <= ?2")?
        .execute(params![queue.name, oldest.as_millis()])?;
    Ok(())
}

/// Moves what was received often enough, and gives the number of messages moved.
fn redrive(db: &Connection, queue: &QueueSpec, now: Timestamp) -> rusqlite::Result<usize> {
    let Some(redrive) = &queue.redrive else { return Ok(0) };
    db.prepare_cached(
        "UPDATE message SET queue = ?2, source = ?1, visible_at = ?3
         WHERE queue = ?1 AND visible_at <= ?3 AND receives >= ?4",
    )?
    .execute(params![queue.name, redrive.dead_letter_queue, now.as_millis(), redrive.max_receive_count])
}

fn queue(row: &Row<'_>) -> rusqlite::Result<Queue> {
    Ok(Queue {
        spec: from_json(row, "spec")?,
        created_at: Timestamp::from_millis(row.get("created_at")?),
        modified_at: Timestamp::from_millis(row.get("modified_at")?),
    })
}

fn received(row: &Row<'_>) -> rusqlite::Result<Received> {
    let message_id: String = row.get("message_id")?;
    let receive_count = row.get("receives")?;
    let body: String = row.get("body")?;
    let receipt = Receipt { queue: row.get("queue")?, message_id: message_id.clone(), receive_count };
    Ok(Received {
        receipt_handle: receipt.to_string(),
        message_id,
        md5_of_body: digest::of_body(&body),
        body,
        attributes: from_json(row, "attributes")?,
        trace_header: row.get("trace_header")?,
        group_id: row.get("group_id")?,
        receive_count,
        sent_at: Timestamp::from_millis(row.get("sent_at")?),
        first_received_at: Timestamp::from_millis(row.get("first_received_at")?),
        dead_letter_source: row.get("source")?,
    })
}

fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}
