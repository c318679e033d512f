//! A job and its request as items of the table.

use crate::store::Error;
use crate::store::item::{Item, Update, from_item, key, number, text, to_item, to_value};
use crate::store::keys::{self, CHECK_AT, DUE_SHARD, MOVES};
use crate::store::moves::Move;
use domain::decide::{Event, Transition};
use domain::id::{JobId, KeyId};
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;

pub(super) const VERSION_UNCHANGED: &str = "#state = :state_before AND #version = :version_before";

pub(super) fn job_update(doing: &str, transition: &Transition, event: &Event) -> Result<Update, Error> {
    let (before, after) = (transition.before(), transition.after());
    let mut update = Update::between(&to_item(doing, before)?, &to_item(doing, after)?);
    update.append(MOVES, to_value(doing, &Move::new(transition, event))?);
    for name in ["state", "version"] {
        update.name(name);
    }
    update.values.insert(":state_before".to_owned(), text(before.state().name()));
    update.values.insert(":version_before".to_owned(), number(before.version()));
    if after.state().is_terminal() && !before.state().is_terminal() {
        update.remove(DUE_SHARD);
        update.remove(CHECK_AT);
    }
    Ok(update)
}

pub(super) fn job_item(doing: &str, job: &Job, check_at: Timestamp) -> Result<Item, Error> {
    let mut item = to_item(doing, job)?;
    item.extend(key(keys::job(job.id()), keys::JOB));
    item.insert(DUE_SHARD.to_owned(), text(keys::due_shard(keys::shard(job.id()))));
    item.insert(CHECK_AT.to_owned(), number(check_at.as_millis()));
    item.insert(keys::ACCOUNT_KEY.to_owned(), text(keys::account(job.account())));
    Ok(item)
}

pub(super) fn request_item(
    doing: &str,
    id: &JobId,
    request: &JobRequest,
    ordered_by: Option<&KeyId>,
) -> Result<Item, Error> {
    let mut item = to_item(doing, request)?;
    item.extend(key(keys::job(id), keys::REQUEST));
    item.extend(ordered_by.map(|key| (keys::ORDERED_BY.to_owned(), text(key.as_str()))));
    Ok(item)
}

pub(in crate::store) fn job_from_item(doing: &str, item: Item) -> Result<Job, Error> {
    from_item(doing, item)
}
