//! What a caller wants to buy, checked against what is sold.

use domain::id::{AccountId, TopupId};
use domain::payment::Processor;
use domain::payment::offer::Wanted;
use domain::payment::purchase::New;
use domain::public_url::{ALLOWED, PublicUrl};
use domain::request::FieldError;
use lambda_http::http::StatusCode;
use serde::Deserialize;
use shared::edge::http::Problem;

use super::App;

/// `POST /v1/topups`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    #[serde(default)]
    pack: Option<String>,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    processor: Option<Processor>,
    #[serde(default)]
    return_url: Option<String>,
}

pub(crate) fn checked(
    app: &App,
    order: Order,
    id: TopupId,
    account: &AccountId,
    digest: &str,
) -> Result<New, Problem> {
    let invalid = |error| Problem::invalid(vec![error]);
    let processor = processor(app, order.processor)?;
    let wanted = match (&order.pack, order.amount) {
        (Some(pack), None) => Wanted::Pack(pack),
        (None, Some(amount)) => Wanted::Amount(amount),
        _ => return Err(invalid(wrong("pack", "or `amount` is required, and only one of them"))),
    };
    let quoted = app.catalog.topups().quote(wanted, order.currency.as_deref());
    let (price, credits) = quoted.map_err(invalid)?;
    let field = if order.pack.is_some() { "currency" } else { "amount" };
    processor.takes(price).map_err(|why| invalid(wrong(field, why)))?;
    let return_url = order.return_url.map(|url| PublicUrl::parse(&url, app.reach)).transpose();
    let return_url =
        return_url.map_err(|why| invalid(wrong("return_url", &format!("must be {ALLOWED}: {why}"))))?;
    if return_url.is_none() && processor.has_page() {
        return Err(invalid(wrong("return_url", "is required: the buyer is led back to it")));
    }
    Ok(New {
        id,
        account: account.clone(),
        processor,
        mode: app.processors.mode(),
        price,
        credits,
        pack: order.pack,
        return_url: return_url.map(PublicUrl::into_string),
        digest: digest.to_owned(),
    })
}

/// The processor that is asked for, or the only one.
fn processor(app: &App, named: Option<Processor>) -> Result<Processor, Problem> {
    let on = app.processors.on();
    if on.is_empty() {
        let detail = "No payment processor is configured: credits cannot be bought here.";
        return Err(Problem::new(StatusCode::CONFLICT, "payments_off", detail));
    }
    let only = if on.len() == 1 { on.first().copied() } else { None };
    named.or(only).filter(|processor| on.contains(processor)).ok_or_else(|| {
        let allowed = on.iter().map(Processor::to_string).collect();
        let detail = "must be a configured payment processor".to_owned();
        Problem::invalid(vec![FieldError { field: "processor".into(), detail, allowed }])
    })
}

fn wrong(field: &'static str, detail: &str) -> FieldError {
    FieldError { field: field.into(), detail: detail.to_owned(), allowed: Vec::new() }
}
