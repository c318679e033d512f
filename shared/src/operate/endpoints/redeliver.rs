//! An event that was sent, once more.

use std::time::Duration;

use domain::delivery::{Delivery, Status};
use domain::endpoint::{self, Endpoint};
use domain::event::Event;
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;

use super::{Refusal, enabled, spend};
use crate::store::Error;
use crate::store::endpoints::EndpointStore;
use crate::store::events::EventStore;
use crate::store::queue::{Message, Queue};

/// What another round of tries is written to.
#[derive(Debug, Clone, Copy)]
pub struct Redelivery<'a> {
    pub endpoints: &'a EndpointStore,
    pub events: &'a EventStore,
    pub deliver: &'a Queue,
}

impl Redelivery<'_> {
    /// Sends an event of an account to one endpoint, also if the event was not for it. Its id stays.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotEnabled`, `NotSentYet`, `BeingSent`, `SentEnough`, `Busy`, `Store`.
    pub async fn to_one(
        self,
        account: &AccountId,
        event: &EventId,
        endpoint: EndpointId,
        now: Timestamp,
    ) -> Result<Delivery, Refusal> {
        let (event, deliveries) = self.sent(account, event).await?;
        let first = deliveries.into_iter().find(|delivery| delivery.endpoint == endpoint);
        if !endpoint.is_callback() {
            enabled(self.endpoints, account, &endpoint).await?;
            if first.as_ref().is_none_or(|first| !first.claimed) {
                spend(self.endpoints, account, &endpoint, now).await?;
            }
        }
        let delivery = match first {
            Some(delivery) => self.again(&delivery, now).await?.ok_or(Refusal::BeingSent)?,
            None if endpoint.is_callback() => return Err(Refusal::NotFound),
            None => {
                let new = Delivery::new(&event, endpoint, None, Status::Pending, now);
                self.events.put_delivery(&new).await?;
                new
            }
        };
        self.queue(&delivery).await?;
        Ok(delivery)
    }

    /// Sends it to each endpoint that had it and takes events now.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotSentYet`, `Store`; `BeingSent`, `SentEnough` and `Busy` if it was sent to none.
    pub async fn to_all(
        self,
        account: &AccountId,
        event: &EventId,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, Refusal> {
        let (_, deliveries) = self.sent(account, event).await?;
        let all = self.endpoints.list(account).await?;
        let takes = |id: &EndpointId| {
            let is_on = |one: &Endpoint| one.id == *id && one.status == endpoint::Status::Enabled;
            id.is_callback() || all.iter().any(is_on)
        };
        let (mut sent, mut left_out) = (Vec::new(), None);
        for delivery in deliveries.iter().filter(|delivery| takes(&delivery.endpoint)) {
            if delivery.claimed {
                left_out = Some(Refusal::BeingSent);
                continue;
            }
            if let Err(refusal) = spend(self.endpoints, account, &delivery.endpoint, now).await {
                left_out = Some(refusal);
                continue;
            }
            match self.again(delivery, now).await? {
                Some(next) => {
                    self.queue(&next).await?;
                    sent.push(next);
                }
                None => left_out = Some(Refusal::BeingSent),
            }
        }
        match left_out {
            Some(why) if sent.is_empty() => Err(why),
            _ => Ok(sent),
        }
    }

    /// An event of this account that has been sent, with its deliveries.
    async fn sent(&self, account: &AccountId, id: &EventId) -> Result<(Event, Vec<Delivery>), Refusal> {
        let found = self.events.with_deliveries(id).await?;
        let found = found.filter(|(event, _)| event.account == *account).ok_or(Refusal::NotFound)?;
        if found.0.body.is_some() { Ok(found) } else { Err(Refusal::NotSentYet) }
    }

    /// Another round of tries. `None` if one is running: it finishes first.
    async fn again(&self, delivery: &Delivery, now: Timestamp) -> Result<Option<Delivery>, Error> {
        let next = delivery.again(now);
        let is_written = !delivery.claimed && self.events.replace_delivery(&next).await?;
        Ok(is_written.then_some(next))
    }

    async fn queue(&self, delivery: &Delivery) -> Result<(), Error> {
        let message = Message::Deliver { event: delivery.event.clone(), endpoint: delivery.endpoint.clone() };
        self.deliver.send(&message, Some(delivery.group()), Duration::ZERO).await
    }
}
