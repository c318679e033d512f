//! `PayPal`: Orders v2, <https://developer.paypal.com/docs/api/orders/v2/>.
//!
//! The buyer approves an order on PayPal's page; then it is captured, once, by an idempotency key. Only a completed
//! capture is money. A dispute takes money when it is resolved for the buyer.

use std::collections::BTreeSet;

use domain::id::TopupId;
use domain::payment::decide::Fact;
use domain::payment::money::{Currency, Money};
use domain::payment::purchase::{Cause, Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Mode, Reference, is_object};
use domain::time::Timestamp;
use serde_json::{Value, json};

use super::Said;
use super::call::{Answer, Call, Content, back_url, entries, list, text, unreadable};
use super::client::Processors;

/// Events of one page of the list.
const LIST_MAX: &str = "100";
/// Disputes of one payment that are looked at.
const DISPUTES_MAX: usize = 10;
const LISTED: &str = "/v1/notifications/webhooks-events";

/// Why an approved order is not captured, where that is the buyer's affair: their account, their bank, or this one
/// payment of theirs. What else is refused is the owner's to mend.
/// <https://developer.paypal.com/docs/api/orders/v2/#orders_capture>
const OF_BUYERS: [&str; 14] = [
    "AGREEMENT_ALREADY_CANCELLED",
    "CARD_EXPIRED",
    "COMPLIANCE_VIOLATION",
    "INSTRUMENT_DECLINED",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED",
    "ORDER_NOT_APPROVED",
    "PAYEE_BLOCKED_TRANSACTION",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
    "PAYER_ACCOUNT_RESTRICTED",
    "PAYER_ACTION_REQUIRED",
    "PAYER_CANNOT_PAY",
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
    "TRANSACTION_BLOCKED_BY_PAYEE",
    "TRANSACTION_REFUSED",
];

pub(super) const fn host(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "api-m.paypal.com",
        Mode::Test => "api-m.sandbox.paypal.com",
    }
}

/// Makes an order: the same one for a repeat.
pub(super) fn open(purchase: &Purchase) -> Call {
    let (id, price) = (purchase.id().to_string(), purchase.price());
    let back = purchase.return_url().map(|url| back_url(url, &id)).unwrap_or_default();
    let body = json!({
        "intent": "CAPTURE",
        "purchase_units": [{
            "reference_id": id,
            "custom_id": id,
            "invoice_id": id,
            "description": purchase.title(),
            "amount": {"currency_code": price.currency, "value": price.decimal()},
        }],
        "payment_source": {"paypal": {"experience_context": {
            "return_url": back,
            "cancel_url": back,
            "user_action": "PAY_NOW",
            "shipping_preference": "NO_SHIPPING",
        }}},
    });
    Call::post("/v2/checkout/orders", Content::Json(body), &id)
}

/// Takes the money of an order that the buyer has approved: once, however often it is asked for.
fn capture(order: &str, purchase: &TopupId) -> Call {
    let path = format!("/v2/checkout/orders/{order}/capture");
    Call::post(&path, Content::Json(json!({})), &format!("{purchase}-capture"))
}

pub(super) fn opened(answer: &Answer) -> Result<Session, Trouble> {
    session(&answer.body).ok_or_else(unreadable)
}

fn session(body: &Value) -> Option<Session> {
    let id = text(body, "/id").filter(|id| is_object(id))?;
    let is_page = |link: &&Value| matches!(text(link, "/rel"), Some("payer-action" | "approve"));
    let url = list(body, "/links").iter().find(is_page).and_then(|link| text(link, "/href"));
    Some(Session { id: id.to_owned(), url: url.map(str::to_owned), pix: None })
}

/// <https://developer.paypal.com/api/rest/responses/>
pub(super) fn trouble(answer: &Answer) -> Trouble {
    let issue = answer.text("/details/0/issue").or_else(|| answer.text("/name"));
    let code = issue.or_else(|| answer.text("/error")).unwrap_or_default();
    let known = match code {
        code if OF_BUYERS.contains(&code) => Some(Class::Declined),
        "ORDER_ALREADY_CAPTURED"
        | "ORDER_COMPLETION_IN_PROGRESS"
        | "DUPLICATE_INVOICE_ID"
        | "DUPLICATE_REQUEST_ID"
        | "PREVIOUS_REQUEST_IN_PROGRESS" => Some(Class::KeyInUse),
        _ => None,
    };
    let trouble = answer.trouble(code);
    Trouble { class: known.unwrap_or(trouble.class), ..trouble }
}

/// Asks for the order of a purchase, captures it if it is approved, and asks what became of the payment.
pub(super) async fn ask(
    client: &Processors,
    purchase: &Purchase,
    object: &str,
    now: Timestamp,
) -> Result<Said, Trouble> {
    let order = Call::get(&format!("/v2/checkout/orders/{object}"), &[]);
    let mut body = client.paypal(&order, now).await?.body;
    // What is not ours is not captured.
    if text(&body, "/status") == Some("APPROVED") && topup_of(&body).as_ref() == Some(purchase.id()) {
        match client.paypal(&capture(object, purchase.id()), now).await {
            Ok(_) => {}
            Err(trouble) if trouble.class == Class::KeyInUse => {}
            Err(trouble) if trouble.class == Class::Declined => {
                let mut said = read(&body)?;
                said.facts.push(Fact::Failed { code: trouble.code });
                return Ok(said);
            }
            Err(trouble) => return Err(trouble),
        }
        body = client.paypal(&order, now).await?.body;
    }
    let said = read(&body)?;
    Ok(match said.payment() {
        Some(payment) => said.and(disputes(client, purchase, &payment, now).await),
        None => said,
    })
}

/// What left again of a payment by disputes.
async fn disputes(
    client: &Processors,
    purchase: &Purchase,
    payment: &str,
    now: Timestamp,
) -> Result<Vec<Fact>, Trouble> {
    let query = [("disputed_transaction_id", payment)];
    let listed = client.paypal(&Call::get("/v1/customer/disputes", &query), now).await?.body;
    let mut facts = Vec::new();
    for id in ids(&listed)? {
        let dispute = client.paypal(&Call::get(&format!("/v1/customer/disputes/{id}"), &[]), now).await?;
        facts.extend(disputed(&dispute.body, purchase.price()));
    }
    Ok(facts)
}

/// The disputes of a list. PayPal's schema requires no `items`: without one, its links alone may be there.
pub(super) fn ids(listed: &Value) -> Result<Vec<&str>, Trouble> {
    if listed.get("items").is_none() && listed["links"].is_array() {
        return Ok(Vec::new());
    }
    let ids = entries(listed, "/items")?.iter().filter_map(|one| text(one, "/dispute_id"));
    Ok(ids.filter(|id| is_object(id)).take(DISPUTES_MAX).collect())
}

/// What an order says. Its mode is that of the host.
pub(super) fn read(body: &Value) -> Result<Said, Trouble> {
    let mut facts = vec![Fact::Opened(session(body).ok_or_else(unreadable)?)];
    let payments = "/purchase_units/0/payments";
    let captures = list(body, &format!("{payments}/captures"));
    let status = |capture: &&Value, names: &[&str]| {
        text(capture, "/status").is_some_and(|status| names.contains(&status))
    };
    let paid = ["COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"];
    if let Some(capture) = captures.iter().find(|capture| status(capture, &paid)) {
        let payment = text(capture, "/id").filter(|id| is_object(id));
        let (Some(payment), Some(amount)) = (payment, money(&capture["amount"])) else {
            return Err(unreadable());
        };
        facts.push(Fact::Paid { payment: payment.to_owned(), amount, receipt_url: None });
    } else if captures.iter().any(|capture| status(&capture, &["PENDING"])) {
        facts.push(Fact::Processing);
    } else if let Some(capture) = captures.iter().find(|capture| status(capture, &["DECLINED", "FAILED"])) {
        let code = text(capture, "/status_details/reason").unwrap_or("declined");
        facts.push(Fact::Failed { code: Trouble::new(Class::Declined, code).code });
    } else if text(body, "/status") == Some("VOIDED") {
        facts.push(Fact::Expired);
    }
    for refund in list(body, &format!("{payments}/refunds")) {
        let (Some(id), Some(amount)) = (text(refund, "/id"), money(&refund["amount"])) else { continue };
        let (id, amount) = (id.to_owned(), amount.minor);
        facts.push(Fact::Withdrawn { id: id.clone(), cause: Cause::Refund, amount });
        let is_back = status(&refund, &["CANCELLED", "FAILED"]);
        facts.extend(is_back.then_some(Fact::Returned { id }));
    }
    Ok(Said { topup: topup_of(body), mode: None, facts, trouble: None })
}

/// A dispute that is resolved for the buyer takes what was refunded; one that is later resolved for us brings it
/// back. What PayPal pays itself is not ours.
pub(super) fn disputed(body: &Value, price: Money) -> Vec<Fact> {
    let Some(id) = text(body, "/dispute_id").map(str::to_owned) else { return Vec::new() };
    match text(body, "/dispute_outcome/outcome_code") {
        Some("RESOLVED_BUYER_FAVOUR" | "ACCEPTED") => {
            let refunded = money(&body["dispute_outcome"]["amount_refunded"]);
            let refunded = refunded.or_else(|| money(&body["dispute_amount"]));
            let refunded = refunded.filter(|amount| amount.currency == price.currency);
            let amount = refunded.map_or(price.minor, |amount| amount.minor);
            vec![Fact::Withdrawn { id, cause: Cause::Dispute, amount }]
        }
        Some("RESOLVED_SELLER_FAVOUR" | "CANCELED_BY_BUYER" | "DENIED") => vec![Fact::Returned { id }],
        _ => Vec::new(),
    }
}

fn money(value: &Value) -> Option<Money> {
    let currency: Currency = text(value, "/currency_code")?.parse().ok()?;
    Money::from_decimal(text(value, "/value")?, currency)
}

fn topup_of(body: &Value) -> Option<TopupId> {
    let named = ["/custom_id", "/purchase_units/0/custom_id"].iter().find_map(|at| text(body, at));
    named?.parse().ok()
}

/// The purchase and the order of a capture, or of an order.
pub(super) async fn find(
    client: &Processors,
    object: &str,
    now: Timestamp,
) -> Result<Option<TopupId>, Trouble> {
    let capture = client.paypal(&Call::get(&format!("/v2/payments/captures/{object}"), &[]), now).await;
    match capture {
        Ok(answer) => Ok(topup_of(&answer.body)),
        Err(trouble) if trouble.class == Class::NotFound => {
            let order = Call::get(&format!("/v2/checkout/orders/{object}"), &[]);
            client.paypal(&order, now).await.map(|answer| topup_of(&answer.body))
        }
        Err(trouble) => Err(trouble),
    }
}

/// What a verified event is about; `None` if about nothing of ours.
pub(super) fn reference(event: &Value) -> Option<Reference> {
    let resource = event.get("resource")?;
    let kind = text(event, "/event_type")?;
    if kind.starts_with("CUSTOMER.DISPUTE.") {
        let disputed = resource.pointer("/disputed_transactions/0")?;
        return Reference::new(text(disputed, "/custom"), text(disputed, "/seller_transaction_id")?);
    }
    let topup = ["/custom_id", "/purchase_units/0/custom_id"].iter().find_map(|at| text(resource, at));
    // A refund leads up to its capture.
    let up = list(resource, "/links").iter().find(|link| text(link, "/rel") == Some("up"));
    let up = up.and_then(|link| text(link, "/href")?.rsplit('/').next());
    let families = ["CHECKOUT.ORDER.", "PAYMENT.CAPTURE.", "PAYMENT.REFUND."];
    match families.iter().any(|family| kind.starts_with(family)) {
        true => Reference::new(topup, up.or_else(|| text(resource, "/id"))?),
        false => None,
    }
}

/// What the events of a page are about.
pub(super) fn references(page: &Value) -> Result<impl Iterator<Item = Reference>, Trouble> {
    Ok(entries(page, "/events")?.iter().filter_map(reference))
}

/// What the events of a span of time are about; `None` if there are more than `pages` pages.
pub(super) async fn events(
    client: &Processors,
    (since, until): (Timestamp, Timestamp),
    pages: usize,
    now: Timestamp,
) -> Result<Option<BTreeSet<Reference>>, Trouble> {
    let (since, until) = (since.to_string(), until.to_string());
    let query = [("start_time", since.as_str()), ("end_time", until.as_str()), ("page_size", LIST_MAX)];
    let (mut found, mut call) = (BTreeSet::new(), Call::get(LISTED, &query));
    for _ in 0..pages {
        let page = client.paypal(&call, now).await?.body;
        found.extend(references(&page)?);
        let next = list(&page, "/links").iter().find(|link| text(link, "/rel") == Some("next"));
        let next = next.and_then(|link| url::Url::parse(text(link, "/href")?).ok());
        match next.filter(|next| next.path() == LISTED) {
            Some(next) => call.path = format!("{LISTED}?{}", next.query().unwrap_or_default()),
            None => return Ok(Some(found)),
        }
    }
    Ok(None)
}
