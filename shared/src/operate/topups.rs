//! Purchases of credits, for every door that sells them. A purchase is recorded before its processor is asked for a
//! session, so that a repeat gets the same one.

use domain::id::{AccountId, TopupId};
use domain::payment::decide::Fact;
use domain::payment::offer::{Topups, Wanted};
use domain::payment::purchase::{New, OPENED_WITHIN, Purchase, Session, Status};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Method, Mode, Processor};
use domain::public_url::{ALLOWED, PublicUrl, Reach};
use domain::request::FieldError;
use domain::time::Timestamp;
use serde::Deserialize;

use crate::store::Error;
use crate::store::purchases::Purchases;

/// What is sold, and by whom it can be paid.
#[derive(Debug)]
pub struct Shop<'a> {
    pub purchases: &'a Purchases,
    pub offer: &'a Topups,
    /// Those that are configured.
    pub processors: &'a [Processor],
    pub mode: Mode,
    /// Allowed hosts of return URLs.
    pub reach: Reach,
}

/// What a buyer wants: the body of `POST /v1/topups`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(default)]
    pub pack: Option<String>,
    /// In minor units.
    #[serde(default)]
    pub amount: Option<u64>,
    #[serde(default)]
    pub currency: Option<String>,
    #[serde(default)]
    pub processor: Option<Processor>,
    #[serde(default)]
    pub method: Option<Method>,
    #[serde(default)]
    pub return_url: Option<String>,
}

/// Whose purchase it is. Its id is that of a repeat, too, which has the same digest.
#[derive(Debug)]
pub struct Buyer<'a> {
    pub account: &'a AccountId,
    pub id: TopupId,
    pub digest: String,
}

/// Why nothing can be paid now.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("No payment processor is configured: credits cannot be bought here.")]
    Off,
    #[error("{0}")]
    Field(FieldError),
    /// A purchase of this id is another.
    #[error("a purchase of this id is another")]
    Taken,
    /// The processor refuses it.
    #[error("{} Its code is `{}`.", .0.class.message(), .0.code)]
    Refused(Trouble),
    /// The purchase is recorded, and a repeat asks for its session again.
    #[error("{}", .0.class.message())]
    Unavailable(Trouble),
}

impl Shop<'_> {
    /// Records the purchase and has `open` ask its processor for the session. Also returns whether it is a repeat,
    /// which gets what was bought, whatever is sold today.
    pub async fn buy(
        &self,
        order: Order,
        buyer: Buyer<'_>,
        now: Timestamp,
        open: impl AsyncFnOnce(&Purchase) -> Result<Session, Trouble>,
    ) -> Result<(Purchase, bool), Refusal> {
        let Buyer { account, id, digest } = buyer;
        let known = match self.checked(order, id.clone(), account, &digest) {
            Ok(new) => {
                let new = Purchase::new(new, now);
                match self.purchases.create(&new).await? {
                    Some(known) => known,
                    None => return Ok((self.open(new, now, open).await?, false)),
                }
            }
            Err(refusal) => self.purchases.get(&id).await?.ok_or(refusal)?,
        };
        if known.digest() != digest || known.account() != account {
            return Err(Refusal::Taken);
        }
        Ok((self.open(known, now, open).await?, true))
    }

    /// Asks the processor for the session of a purchase that has none. An unknown outcome leaves it as it is: a repeat
    /// asks again, under the same key.
    async fn open(
        &self,
        purchase: Purchase,
        now: Timestamp,
        open: impl AsyncFnOnce(&Purchase) -> Result<Session, Trouble>,
    ) -> Result<Purchase, Refusal> {
        if purchase.status() != Status::Created {
            return Ok(purchase);
        }
        let opened = match now.since(purchase.created_at()) > OPENED_WITHIN {
            true => Ok(Fact::Expired),
            false => open(&purchase).await.map(Fact::Opened),
        };
        match opened {
            Ok(fact) => Ok(self.purchases.apply(purchase, &fact, now).await?.into_purchase()),
            Err(trouble) if trouble.class.is_retryable() => {
                alert(&purchase, &trouble);
                let (processor, class) = (purchase.processor().name(), trouble.class.name());
                tracing::warn!(processor, class, code = trouble.code, "topup.not_opened");
                Err(Refusal::Unavailable(trouble))
            }
            Err(trouble) => {
                alert(&purchase, &trouble);
                tracing::warn!(topup = %purchase.id(), class = trouble.class.name(), code = trouble.code, "topup.refused");
                let fact = Fact::Failed { code: trouble.code.clone() };
                self.purchases.apply(purchase, &fact, now).await?;
                Err(Refusal::Refused(trouble))
            }
        }
    }

    /// What is wanted, checked against what is sold.
    fn checked(&self, order: Order, id: TopupId, account: &AccountId, digest: &str) -> Result<New, Refusal> {
        let processor = self.processor(order.processor)?;
        let wanted = match (&order.pack, order.amount) {
            (Some(pack), None) => Wanted::Pack(pack),
            (None, Some(amount)) => Wanted::Amount(amount),
            _ => return Err(wrong("pack", "or `amount` is required, and only one of them")),
        };
        let quoted = self.offer.quote(wanted, order.currency.as_deref());
        let (price, credits) = quoted.map_err(Refusal::Field)?;
        let field = if order.pack.is_some() { "currency" } else { "amount" };
        processor.takes(price).map_err(|why| wrong(field, why))?;
        let method = method(processor, order.method)?;
        let return_url = order.return_url.map(|url| PublicUrl::parse(&url, self.reach)).transpose();
        let return_url =
            return_url.map_err(|why| wrong("return_url", &format!("must be {ALLOWED}: {why}")))?;
        if return_url.is_none() && method == Method::Hosted {
            return Err(wrong("return_url", "is required: the buyer is led back to it"));
        }
        Ok(New {
            id,
            account: account.clone(),
            processor,
            method,
            mode: self.mode,
            price,
            credits,
            pack: order.pack,
            return_url: return_url.map(PublicUrl::into_string),
            digest: digest.to_owned(),
        })
    }

    /// The processor that is asked for, or the only one.
    fn processor(&self, named: Option<Processor>) -> Result<Processor, Refusal> {
        let on = self.processors;
        let only = match *on {
            [] => return Err(Refusal::Off),
            [only] => Some(only),
            _ => None,
        };
        named.or(only).filter(|processor| on.contains(processor)).ok_or_else(|| {
            let allowed = on.iter().map(Processor::to_string).collect();
            let detail = "must be a configured payment processor".to_owned();
            Refusal::Field(FieldError { field: "processor".into(), detail, allowed })
        })
    }
}

/// The method that is asked for, or the processor's first.
fn method(processor: Processor, named: Option<Method>) -> Result<Method, Refusal> {
    let offered = processor.methods();
    named.or(offered.first().copied()).filter(|method| offered.contains(method)).ok_or_else(|| {
        let allowed = offered.iter().map(|method| method.name().to_owned()).collect();
        let detail = "must be a method of this processor".to_owned();
        Refusal::Field(FieldError { field: "method".into(), detail, allowed })
    })
}

/// Alerts the owner to what they alone can mend: a refused key, an account that may not take a payment, a price that
/// is none.
fn alert(purchase: &Purchase, trouble: &Trouble) {
    let (processor, class) = (purchase.processor().name(), trouble.class.name());
    if matches!(trouble.class, Class::Unauthorized | Class::Refused) {
        tracing::error!(processor, class, code = trouble.code, alert = true, "processor.needs_attention");
    }
}

fn wrong(field: &'static str, detail: &str) -> Refusal {
    Refusal::Field(FieldError { field: field.into(), detail: detail.to_owned(), allowed: Vec::new() })
}
