//! Stripe: Checkout Sessions, <https://docs.stripe.com/api/checkout/sessions>.
//!
//! A session is believed when it is `paid`: delayed methods complete it before the money is there. Refunds and
//! disputes are listed by the payment. A dispute takes money when its balance transactions do.

use std::collections::BTreeSet;

use domain::id::TopupId;
use domain::payment::decide::Fact;
use domain::payment::money::Money;
use domain::payment::purchase::{Cause, Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Mode, Reference, is_object};
use domain::time::Timestamp;
use serde_json::Value;

use super::Said;
use super::call::{Answer, Call, Content, back_url, entries, https_url, list, text, unreadable};
use super::client::Processors;

pub(super) const HOST: &str = "api.stripe.com";
/// The version that requests and webhooks are read in; an endpoint of webhooks is made with it, too.
pub(super) const VERSION: &str = "2026-10-28.endive";
/// Objects of one list: all refunds and disputes of a payment.
const LIST_MAX: &str = "100";
/// Where a list is in its answer.
pub(super) const LIST: &str = "/data";

/// The events that tell of a payment.
pub(super) const EVENTS: [&str; 13] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];

/// Makes a session: the same one for a repeat.
pub(super) fn open(purchase: &Purchase) -> Call {
    let (id, price) = (purchase.id().to_string(), purchase.price());
    let back = purchase.return_url().map(|url| back_url(url, &id)).unwrap_or_default();
    let item = "line_items[0]";
    let fields = [
        ("mode".to_owned(), "payment".to_owned()),
        (format!("{item}[price_data][currency]"), price.currency.code().to_ascii_lowercase()),
        (format!("{item}[price_data][unit_amount]"), price.minor.to_string()),
        (format!("{item}[price_data][product_data][name]"), purchase.title()),
        (format!("{item}[quantity]"), "1".to_owned()),
        ("client_reference_id".to_owned(), id.clone()),
        ("metadata[topup]".to_owned(), id.clone()),
        // Reports of refunds and disputes carry the payment, and not the session.
        ("payment_intent_data[metadata][topup]".to_owned(), id.clone()),
        ("success_url".to_owned(), back.clone()),
        ("cancel_url".to_owned(), back),
        ("expires_at".to_owned(), purchase.payable_until().as_secs().to_string()),
    ];
    Call::post("/v1/checkout/sessions", Content::Form(fields.to_vec()), &id)
}

pub(super) fn opened(answer: &Answer) -> Result<Session, Trouble> {
    session(&answer.body).ok_or_else(unreadable)
}

fn session(body: &Value) -> Option<Session> {
    let id = text(body, "/id").filter(|id| is_object(id))?;
    Some(Session { id: id.to_owned(), url: text(body, "/url").map(str::to_owned), pix: None })
}

/// <https://docs.stripe.com/api/errors>
pub(super) fn trouble(answer: &Answer) -> Trouble {
    let code = answer.text("/error/code").or_else(|| answer.text("/error/type")).unwrap_or_default();
    let known = match (answer.text("/error/type"), code) {
        (Some("card_error"), _) => {
            let code = answer.text("/error/decline_code").unwrap_or(code);
            return Trouble::new(Class::Declined, code);
        }
        (Some("idempotency_error"), _) | (_, "idempotency_key_in_use") => Some(Class::KeyInUse),
        (_, "lock_timeout") => Some(Class::Throttled),
        (_, "resource_missing") => Some(Class::NotFound),
        _ => None,
    };
    let trouble = answer.trouble(code);
    Trouble { class: known.unwrap_or(trouble.class), ..trouble }
}

/// Asks for the session of a purchase, and for what became of its payment.
pub(super) async fn ask(client: &Processors, object: &str, now: Timestamp) -> Result<Said, Trouble> {
    let Some(session) = session_of(client, object, now).await? else {
        return Err(Trouble::new(Class::NotFound, "no_session"));
    };
    let said = read(&session)?;
    Ok(match said.payment() {
        Some(payment) => said.and(left(client, &session, &payment, now).await),
        None => said,
    })
}

/// What left again of a payment, by refunds and disputes.
async fn left(
    client: &Processors,
    session: &Value,
    payment: &str,
    now: Timestamp,
) -> Result<Vec<Fact>, Trouble> {
    let query = [("payment_intent", payment), ("limit", LIST_MAX)];
    let refunds = client.stripe(&Call::get("/v1/refunds", &query), now).await?;
    let disputes = client.stripe(&Call::get("/v1/disputes", &query), now).await?;
    let currency = text(session, "/currency").unwrap_or_default();
    let whole = session["amount_total"].as_u64().unwrap_or(0);
    let mut facts = refunded(entries(&refunds.body, LIST)?);
    facts.extend(disputed(entries(&disputes.body, LIST)?, currency, whole));
    Ok(facts)
}

/// The session, by its id or its payment's.
async fn session_of(client: &Processors, object: &str, now: Timestamp) -> Result<Option<Value>, Trouble> {
    let expand = ("expand[]", "payment_intent.latest_charge");
    if object.starts_with("cs_") {
        let call = Call::get(&format!("/v1/checkout/sessions/{object}"), &[expand]);
        return client.stripe(&call, now).await.map(|answer| Some(answer.body));
    }
    let Some(payment) = payment_of(client, object, now).await? else { return Ok(None) };
    let query = [
        ("payment_intent", payment.as_str()),
        ("limit", "1"),
        ("expand[]", "data.payment_intent.latest_charge"),
    ];
    let answer = client.stripe(&Call::get("/v1/checkout/sessions", &query), now).await?;
    Ok(entries(&answer.body, LIST)?.first().cloned())
}

async fn payment_of(client: &Processors, object: &str, now: Timestamp) -> Result<Option<String>, Trouble> {
    if object.starts_with("pi_") {
        return Ok(Some(object.to_owned()));
    }
    let answer = client.stripe(&Call::get(&format!("/v1/charges/{object}"), &[]), now).await?;
    Ok(answer.text("/payment_intent").filter(|id| is_object(id)).map(str::to_owned))
}

/// The purchase that an object was made for.
pub(super) async fn find(
    client: &Processors,
    object: &str,
    now: Timestamp,
) -> Result<Option<TopupId>, Trouble> {
    if object.starts_with("cs_") {
        return Ok(session_of(client, object, now).await?.as_ref().and_then(topup_of));
    }
    let Some(payment) = payment_of(client, object, now).await? else { return Ok(None) };
    let answer = client.stripe(&Call::get(&format!("/v1/payment_intents/{payment}"), &[]), now).await?;
    Ok(topup_of(&answer.body))
}

fn topup_of(body: &Value) -> Option<TopupId> {
    let named = ["/client_reference_id", "/metadata/topup"].iter().find_map(|at| text(body, at));
    named?.parse().ok()
}

/// What a session says, before its refunds and disputes.
pub(super) fn read(body: &Value) -> Result<Said, Trouble> {
    let opened = session(body).ok_or_else(unreadable)?;
    let mut facts = vec![Fact::Opened(opened)];
    let intent = &body["payment_intent"];
    match (text(body, "/status"), text(body, "/payment_status")) {
        (_, Some("paid")) => {
            let payment = text(intent, "/id").or_else(|| intent.as_str()).filter(|id| is_object(id));
            let currency = text(body, "/currency").and_then(|code| code.to_ascii_uppercase().parse().ok());
            let amount = body["amount_total"].as_u64();
            let (Some(payment), Some(minor), Some(currency)) = (payment, amount, currency) else {
                return Err(unreadable());
            };
            let receipt_url = https_url(intent, "/latest_charge/receipt_url");
            facts.push(Fact::Paid {
                payment: payment.to_owned(),
                amount: Money { minor, currency },
                receipt_url,
            });
        }
        (Some("expired"), _) => facts.push(Fact::Expired),
        // Completed, and the delayed method has failed.
        (Some("complete"), Some("unpaid"))
            if matches!(text(intent, "/status"), Some("requires_payment_method" | "canceled")) =>
        {
            let code = text(intent, "/last_payment_error/code").unwrap_or("payment_failed");
            facts.push(Fact::Failed { code: Trouble::new(Class::Declined, code).code });
        }
        // Completed, and the money of a delayed method is on its way.
        (Some("complete"), Some("unpaid")) => facts.push(Fact::Processing),
        _ => {}
    }
    let mode = body["livemode"].as_bool().map(Mode::of_live);
    Ok(Said { topup: topup_of(body), mode, facts, trouble: None })
}

/// A refund takes the money when it is made, and brings it back if it fails.
pub(super) fn refunded(refunds: &[Value]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for refund in refunds {
        let (Some(id), Some(amount)) = (text(refund, "/id"), refund["amount"].as_u64()) else { continue };
        let is_back = matches!(text(refund, "/status"), Some("failed" | "canceled"));
        facts.push(Fact::Withdrawn { id: id.to_owned(), cause: Cause::Refund, amount });
        facts.extend(is_back.then(|| Fact::Returned { id: id.to_owned() }));
    }
    facts
}

/// A dispute takes money by a balance transaction, and brings it back by the next, perhaps several times: its first
/// round has its own id, and each further one a number. A dispute in another currency is about the whole payment.
pub(super) fn disputed(disputes: &[Value], currency: &str, whole: u64) -> Vec<Fact> {
    let mut facts = Vec::new();
    for dispute in disputes {
        let Some(id) = text(dispute, "/id") else { continue };
        let same = text(dispute, "/currency") == Some(currency);
        let amount = dispute["amount"].as_u64().filter(|_| same).unwrap_or(whole);
        let moved = list(dispute, "/balance_transactions").iter().filter_map(|one| one["amount"].as_i64());
        let (outs, backs): (Vec<_>, Vec<_>) = moved.filter(|moved| *moved != 0).partition(|moved| *moved < 0);
        for round in 1..=outs.len() {
            let id = if round == 1 { id.to_owned() } else { format!("{id}-{round}") };
            facts.push(Fact::Withdrawn { id: id.clone(), cause: Cause::Dispute, amount });
            facts.extend((round <= backs.len()).then_some(Fact::Returned { id }));
        }
    }
    facts
}

/// What a verified event is about; `None` if about nothing of ours.
pub(super) fn reference(event: &Value) -> Option<Reference> {
    let object = event.pointer("/data/object")?;
    let topup = ["/client_reference_id", "/metadata/topup"].iter().find_map(|at| text(object, at));
    let about = match text(object, "/object")? {
        "checkout.session" => text(object, "/id"),
        "charge" | "refund" | "dispute" => {
            text(object, "/payment_intent").or_else(|| text(object, "/charge"))
        }
        _ => None,
    };
    Reference::new(topup, about?)
}

/// What the events of a span of time are about; `None` if there are more than `pages` pages.
pub(super) async fn events(
    client: &Processors,
    (since, until): (Timestamp, Timestamp),
    pages: usize,
    now: Timestamp,
) -> Result<Option<BTreeSet<Reference>>, Trouble> {
    let (since, until) = (since.as_secs().to_string(), until.as_secs().to_string());
    let (mut found, mut after) = (BTreeSet::new(), None::<String>);
    for _ in 0..pages {
        let mut query = vec![("created[gte]", since.as_str()), ("created[lt]", until.as_str())];
        query.push(("limit", LIST_MAX));
        query.extend(EVENTS.map(|kind| ("types[]", kind)));
        query.extend(after.as_deref().map(|after| ("starting_after", after)));
        let page = client.stripe(&Call::get("/v1/events", &query), now).await?.body;
        let events = entries(&page, LIST)?;
        found.extend(events.iter().filter_map(reference));
        after = events.last().and_then(|event| text(event, "/id")).map(str::to_owned);
        if page["has_more"] != true || after.is_none() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
