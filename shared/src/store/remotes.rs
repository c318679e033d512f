//! The owner of each remote job: one item each, written before the attempt records it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::item::{Item, key, number, number_of, text, text_of};
use super::keys::{self, PK};
use super::{Error, Table};
use domain::id::{JobId, RemoteJob};
use domain::provider::Provider;
use domain::time::Timestamp;

/// How long a remote job belongs to its attempt: longer than any runs. After that, a provider may
/// reuse an id.
pub const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The owners of all remote jobs.
#[derive(Debug, Clone)]
pub struct Remotes {
    table: Table,
}

/// The attempt that owns a remote job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub job: JobId,
    pub attempt: u8,
}

impl Remotes {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Assigns a remote job to an attempt. Returns the owner if it is another one. A repeat is safe.
    #[expect(clippy::disallowed_methods, reason = "the one write that assigns a remote job to an attempt")]
    pub(super) async fn claim(
        &self,
        provider: Provider,
        remote: &RemoteJob,
        holder: &Holder,
        now: Timestamp,
    ) -> Result<Option<Holder>, Error> {
        let doing = format!("record the remote job of attempt {} of job {}", holder.attempt, holder.job);
        let mut item = key(keys::remote(provider, &remote.id), keys::REMOTE);
        item.insert("job".to_owned(), text(holder.job.as_str()));
        item.insert("attempt".to_owned(), number(holder.attempt));
        item.insert(keys::EXPIRES_AT.to_owned(), number((now + HELD_FOR).as_secs()));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let sent = put
            .condition_expression(
                "attribute_not_exists(PK) OR expires_at < :now OR (job = :job AND attempt = :attempt)",
            )
            .expression_attribute_values(":now", number(now.as_secs()))
            .expression_attribute_values(":job", text(holder.job.as_str()))
            .expression_attribute_values(":attempt", number(holder.attempt))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else { return Ok(None) };
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(Error::sdk(doing, error));
        };
        let other = failed.item.as_ref().and_then(holder_of);
        other.map(Some).ok_or_else(|| Error::unreadable(doing, "it has no owner"))
    }

    /// The given remote jobs that no attempt other than `own` owns, in order.
    pub async fn free_for(
        &self,
        provider: Provider,
        remotes: &[RemoteJob],
        own: &Holder,
        now: Timestamp,
    ) -> Result<Vec<RemoteJob>, Error> {
        let doing = "read the owners of remote jobs";
        let keys = remotes.iter().map(|remote| key(keys::remote(provider, &remote.id), keys::REMOTE));
        let items = self.table.batch_get(doing, keys.collect()).await?;
        let is_held = |remote: &RemoteJob| {
            let pk = keys::remote(provider, &remote.id);
            let found = items.iter().find(|item| text_of(item, PK) == Some(pk.as_str()));
            let lives = |item: &&Item| {
                number_of::<i64>(item, keys::EXPIRES_AT).is_none_or(|end| end >= now.as_secs())
            };
            found.filter(lives).and_then(holder_of).is_some_and(|holder| holder != *own)
        };
        Ok(remotes.iter().filter(|remote| !is_held(remote)).cloned().collect())
    }

    /// The owners of remote jobs by id, as far as their items are still kept.
    pub async fn holders(
        &self,
        provider: Provider,
        ids: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Holder>, Error> {
        let by_key: BTreeMap<_, _> = ids.iter().map(|id| (keys::remote(provider, id), *id)).collect();
        let keys = by_key.keys().map(|pk| key(pk, keys::REMOTE)).collect();
        let items = self.table.batch_get("read the owners of remote jobs", keys).await?;
        let owner = |item: &Item| {
            let id = by_key.get(text_of(item, PK)?)?;
            Some(((*id).to_owned(), holder_of(item)?))
        };
        Ok(items.iter().filter_map(owner).collect())
    }
}

pub(super) fn holder_of(item: &Item) -> Option<Holder> {
    let job = text_of(item, "job")?.parse().ok()?;
    Some(Holder { job, attempt: number_of(item, "attempt")? })
}
