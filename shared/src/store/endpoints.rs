//! Endpoints of accounts. The balance item counts them, so that a submit knows within its own
//! transaction whether anyone wants events.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};

use super::events::event_put;
use super::item::{from_item, key, number, number_of, text, to_item};
use super::keys::{self, EXPIRES_AT};
use super::{Error, RACES_MAX, Table, back_off, is_transient};
use domain::endpoint::{ENDPOINTS_MAX, Endpoint, Kind, SUPPRESSED_FOR};
use domain::event::Event;
use domain::id::{AccountId, EndpointId};
use domain::job::Notifies;
use domain::time::Timestamp;

/// The outcome of adding an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    New,
    /// There is one with this id: by the same request before, or by another with its key.
    Existing(Box<Endpoint>),
    /// The account has [`ENDPOINTS_MAX`].
    TooMany,
}

/// The endpoints of the table.
#[derive(Debug, Clone)]
pub struct EndpointStore {
    table: Table,
}

impl EndpointStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// An account's endpoints, oldest first.
    pub async fn list(&self, account: &AccountId) -> Result<Vec<Endpoint>, Error> {
        let doing = format!("list the endpoints of {account}");
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let answer = query
            .key_condition_expression("PK = :pk")
            .expression_attribute_values(":pk", text(keys::endpoints(account)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let items = answer.items.unwrap_or_default().into_iter();
        let mut found: Vec<Endpoint> = items.map(|item| from_item(&doing, item)).collect::<Result<_, _>>()?;
        found.sort_by_key(|endpoint| (endpoint.created_at, endpoint.id.clone()));
        Ok(found)
    }

    pub async fn get(&self, account: &AccountId, id: &EndpointId) -> Result<Option<Endpoint>, Error> {
        let doing = format!("read endpoint {id}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::endpoints(account), keys::endpoint(id))))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    /// Adds an endpoint.
    pub async fn create(&self, endpoint: &Endpoint) -> Result<Created, Error> {
        let doing = format!("create endpoint {}", endpoint.id);
        let put = self.put(&doing, endpoint, "attribute_not_exists(PK)", None)?;
        let counted = self.count(&endpoint.account, 1, i32::from(endpoint.wants_moves()));
        match self.transact(&doing, vec![put, counted]).await? {
            None => Ok(Created::New),
            Some(0) => {
                let found = self.get(&endpoint.account, &endpoint.id).await?;
                // It was deleted meanwhile: a repeat adds it.
                found.map(|found| Created::Existing(Box::new(found))).ok_or_else(|| Error::contended(doing))
            }
            Some(_) => Ok(Created::TooMany),
        }
    }

    /// Deletes this version of an endpoint. `false` if another write was faster.
    pub async fn delete(&self, endpoint: &Endpoint) -> Result<bool, Error> {
        let delete = Delete::builder()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::endpoints(&endpoint.account), keys::endpoint(&endpoint.id))))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", number(endpoint.version))
            .build()
            .expect("table and key are set");
        let writes = vec![
            TransactWriteItem::builder().delete(delete).build(),
            self.count(&endpoint.account, -1, -i32::from(endpoint.wants_moves())),
        ];
        Ok(self.transact(&format!("delete endpoint {}", endpoint.id), writes).await?.is_none())
    }

    /// Changes the counts of an account's endpoints, up to [`ENDPOINTS_MAX`].
    fn count(&self, account: &AccountId, listeners: i32, movers: i32) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::account(account), keys::BALANCE)))
            .update_expression(
                "SET balance = if_not_exists(balance, :zero) ADD listeners :more, movers :movers",
            )
            .condition_expression("attribute_not_exists(listeners) OR listeners <= :room")
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":more", number(listeners))
            .expression_attribute_values(":movers", number(movers))
            .expression_attribute_values(":room", number(i64::from(ENDPOINTS_MAX) - i64::from(listeners)))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    /// Writes the first version of an endpoint that no one created: the callback URLs of an account.
    pub async fn put_first(&self, endpoint: &Endpoint) -> Result<bool, Error> {
        let doing = format!("write endpoint {}", endpoint.id);
        let put = self.put(&doing, endpoint, "attribute_not_exists(PK)", None)?;
        Ok(self.transact(&doing, vec![put]).await?.is_none())
    }

    /// Replaces an endpoint by its next version, with an event of the change.
    /// `false` if another write was faster.
    pub async fn replace(
        &self,
        before: &Endpoint,
        next: &Endpoint,
        event: Option<&Event>,
    ) -> Result<bool, Error> {
        let doing = format!("write version {} of endpoint {}", next.version, next.id);
        let mut writes = vec![self.put(&doing, next, "#version = :before", Some(before.version))?];
        let movers = i32::from(next.wants_moves()) - i32::from(before.wants_moves());
        if movers != 0 {
            writes.push(self.count(&next.account, 0, movers));
        }
        if let Some(event) = event {
            writes.push(event_put(&self.table, event)?);
        }
        Ok(self.transact(&doing, writes).await?.is_none())
    }

    /// Keeps new endpoints of all accounts from an address. A repeat makes it longer.
    #[expect(clippy::disallowed_methods, reason = "the one write that suppresses an address")]
    pub async fn suppress(&self, kind: Kind, address: &str, now: Timestamp) -> Result<(), Error> {
        let mut item = key(keys::suppressed(kind, address), keys::SUPPRESSED);
        item.insert(EXPIRES_AT.to_owned(), number((now + SUPPRESSED_FOR).as_secs()));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(|source| Error::sdk("suppress an address", source))
    }

    /// Lets endpoints have an address again. A repeat changes nothing.
    #[expect(clippy::disallowed_methods, reason = "the operator says that the address takes messages")]
    pub async fn allow(&self, kind: Kind, address: &str) -> Result<(), Error> {
        let delete = self.table.client.delete_item().table_name(&self.table.name);
        let delete = delete.set_key(Some(key(keys::suppressed(kind, address), keys::SUPPRESSED)));
        delete.send().await.map(|_| ()).map_err(|source| Error::sdk("allow an address", source))
    }

    /// Whether an address has bounced, or complained, of late.
    pub async fn is_suppressed(&self, kind: Kind, address: &str, now: Timestamp) -> Result<bool, Error> {
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::suppressed(kind, address), keys::SUPPRESSED)))
            .send()
            .await
            .map_err(|source| Error::sdk("read whether an address is suppressed", source))?;
        // An item may be there for days after its time.
        let until = answer.item.and_then(|item| number_of::<i64>(&item, EXPIRES_AT));
        Ok(until.is_some_and(|until| now.as_secs() < until))
    }

    fn put(
        &self,
        doing: &str,
        endpoint: &Endpoint,
        condition: &str,
        before: Option<u64>,
    ) -> Result<TransactWriteItem, Error> {
        let mut item = to_item(doing, endpoint)?;
        item.extend(key(keys::endpoints(&endpoint.account), keys::endpoint(&endpoint.id)));
        let mut put =
            Put::builder().table_name(&self.table.name).set_item(Some(item)).condition_expression(condition);
        if let Some(before) = before {
            put = put
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":before", number(before));
        }
        let put = put.build().expect("table and item are set");
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The index of the write whose condition failed; `None` if all were written.
    #[expect(clippy::disallowed_methods, reason = "the one transaction that changes endpoints")]
    async fn transact(&self, doing: &str, writes: Vec<TransactWriteItem>) -> Result<Option<usize>, Error> {
        for tries in 0..RACES_MAX {
            let send = self.table.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = send.send().await else { return Ok(None) };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                error.as_service_error()
            else {
                return Err(Error::sdk(doing, error));
            };
            let reasons = canceled.cancellation_reasons();
            let failed = reasons.iter().position(|reason| reason.code() == Some("ConditionalCheckFailed"));
            if failed.is_some() {
                return Ok(failed);
            }
            if !is_transient(reasons) {
                return Err(Error::sdk(doing, error));
            }
            back_off(tries).await;
        }
        Err(Error::contended(doing))
    }
}

/// What is taken for true of an account's endpoints by a transaction that charges a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listening {
    /// The events that they want. The charge is refused if they want more.
    pub wanted: Notifies,
    /// The charge is an event that is written: it is refused if there is no endpoint.
    pub is_event: bool,
}

impl Listening {
    /// The condition of the account's item, behind others; `:one` is 1.
    pub(super) fn condition(self) -> String {
        let most = match self.wanted {
            Notifies::Nothing => " AND (attribute_not_exists(listeners) OR listeners < :one)",
            Notifies::Ends => " AND (attribute_not_exists(movers) OR movers < :one)",
            Notifies::Moves => "",
        };
        let least = if self.is_event { " AND listeners >= :one" } else { "" };
        format!("{most}{least}")
    }
}
