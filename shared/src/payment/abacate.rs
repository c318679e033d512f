//! `AbacatePay`: PIX codes and hosted checkouts (cards and PIX), <https://docs.abacatepay.com>.
//!
//! Each answer is `{data, success, error}`, and only `success` says whether it is one. A payment is paid back as a whole.

use domain::payment::decide::Fact;
use domain::payment::money::Money;
use domain::payment::purchase::{Cause, PAYABLE_FOR, Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Method, Mode, Reference, is_object};
use domain::time::Timestamp;
use serde_json::{Value, json};

use super::Said;
use super::call::{Answer, Call, Content, back_url, https_url, text, unreadable};
use super::client::Processors;

pub(super) const HOST: &str = "api.abacatepay.com";

/// Makes a PIX code or a checkout: the same one for a repeat.
pub(super) async fn opened(
    client: &Processors,
    purchase: &Purchase,
    now: Timestamp,
) -> Result<Session, Trouble> {
    if purchase.method() == Method::Pix {
        return code(&client.abacate(&open_code(purchase), now).await?);
    }
    match made(client, &open_checkout(purchase), now).await {
        // Its product may be missing. With which status it says so is not documented.
        Err(trouble) if !trouble.class.is_retryable() => {
            checkout(&with_product(client, purchase, now).await?, purchase)
        }
        answer => checkout(&answer?, purchase),
    }
}

/// Makes the product of a checkout that was refused, and the checkout.
async fn with_product(client: &Processors, purchase: &Purchase, now: Timestamp) -> Result<Answer, Trouble> {
    let refused = match made(client, &product(purchase), now).await {
        Ok(_) => None,
        // One that exists is refused in a sentence. Whether it does, the checkout says.
        Err(trouble) if trouble.class == Class::KeyInUse => None,
        Err(trouble) if !trouble.class.is_retryable() => Some(trouble),
        Err(trouble) => return Err(trouble),
    };
    match made(client, &open_checkout(purchase), now).await {
        Err(trouble) if !trouble.class.is_retryable() => Err(refused.unwrap_or(trouble)),
        answer => answer,
    }
}

/// One call that makes something, or says that it does.
async fn made(client: &Processors, call: &Call, now: Timestamp) -> Result<Answer, Trouble> {
    let answer = client.abacate(call, now).await?;
    data(&answer)?;
    Ok(answer)
}

pub(super) fn open_code(purchase: &Purchase) -> Call {
    let id = purchase.id().as_str();
    let body = json!({
        "method": "PIX",
        "data": {
            "amount": purchase.price().minor,
            "expiresIn": PAYABLE_FOR.as_secs(),
            "description": purchase.title(),
            "externalId": id,
            "metadata": {"topup": id},
        },
    });
    Call::post("/v2/transparents/create", Content::Json(body), id)
}

pub(super) fn code(answer: &Answer) -> Result<Session, Trouble> {
    session(data(answer)?).filter(|session| session.pix.is_some()).ok_or_else(unreadable)
}

fn session(data: &Value) -> Option<Session> {
    let id = text(data, "/id").filter(|id| is_object(id))?;
    let [url, pix] = ["/url", "/brCode"].map(|at| text(data, at).map(str::to_owned));
    (url.is_some() || pix.is_some()).then(|| Session { id: id.to_owned(), url, pix })
}

/// The product of a checkout: one for each amount of credits and price, as the price of one never changes.
pub(super) fn product(purchase: &Purchase) -> Call {
    let id = product_id(purchase);
    let body = json!({
        "externalId": id,
        "name": purchase.title(),
        "price": purchase.price().minor,
        "currency": purchase.price().currency,
    });
    Call::post("/v2/products/create", Content::Json(body), &id)
}

/// Our id of a product, which names it in a checkout.
fn product_id(purchase: &Purchase) -> String {
    format!("genmux-{}-{}", purchase.credits().micros(), purchase.price().minor)
}

pub(super) fn open_checkout(purchase: &Purchase) -> Call {
    let id = purchase.id().as_str();
    let back = purchase.return_url().map(|url| back_url(url, id)).unwrap_or_default();
    let body = json!({
        "items": [{"id": product_id(purchase), "quantity": 1}],
        "methods": ["PIX", "CARD"],
        "externalId": id,
        "returnUrl": back,
        "completionUrl": back,
        "metadata": {"topup": id},
    });
    Call::post("/v2/checkouts/create", Content::Json(body), id)
}

/// A checkout of another amount is not shown to a buyer: its product was not made here.
pub(super) fn checkout(answer: &Answer, purchase: &Purchase) -> Result<Session, Trouble> {
    let data = data(answer)?;
    match data["amount"].as_u64() {
        Some(minor) if minor == purchase.price().minor => {
            session(data).filter(|session| session.url.is_some()).ok_or_else(unreadable)
        }
        Some(_) => Err(Trouble::new(Class::Refused, "amount_mismatch")),
        None => Err(unreadable()),
    }
}

/// What a successful answer holds.
fn data(answer: &Answer) -> Result<&Value, Trouble> {
    match answer.body["success"].as_bool() {
        Some(true) => Ok(&answer.body["data"]),
        Some(false) => Err(Trouble::new(Class::Refused, "no_success")),
        None => Err(unreadable()),
    }
}

/// Its errors are sentences: the status alone says what they mean.
pub(super) fn trouble(answer: &Answer) -> Trouble {
    answer.trouble("")
}

/// Asks for the PIX code or the checkout of a purchase.
pub(super) async fn ask(
    client: &Processors,
    purchase: &Purchase,
    object: &str,
    now: Timestamp,
) -> Result<Said, Trouble> {
    let path = match purchase.method() {
        Method::Pix => "/v2/transparents/check",
        Method::Hosted => "/v2/checkouts/get",
    };
    let answer = client.abacate(&Call::get(path, &[("id", object)]), now).await?;
    read(&answer, purchase, object)
}

/// What it says. A PIX code has its amount in it, so that an answer without one is about that; a checkout says it.
pub(super) fn read(answer: &Answer, purchase: &Purchase, object: &str) -> Result<Said, Trouble> {
    let data = data(answer)?;
    let status = text(data, "/status").ok_or_else(unreadable)?;
    let price = purchase.price();
    let said = ["/paidAmount", "/amount"].iter().find_map(|at| data.pointer(at)?.as_u64());
    let of_code = (purchase.method() == Method::Pix).then_some(price.minor);
    let minor = said.or(of_code).ok_or_else(unreadable)?;
    let amount = Money { minor, ..price };
    let receipt_url = https_url(data, "/receiptUrl");
    let paid = Fact::Paid { payment: object.to_owned(), amount, receipt_url };
    let [refund, dispute, lost] = ["refund", "dispute", "lost"].map(|what| format!("{object}-{what}"));
    let out = |id: &str, cause| Fact::Withdrawn { id: id.to_owned(), cause, amount: price.minor };
    let ended = match status {
        "PAID" => vec![paid, Fact::Returned { id: dispute }, Fact::Returned { id: lost }],
        "REFUNDED" => vec![paid, out(&refund, Cause::Refund)],
        "DISPUTED" | "UNDER_DISPUTE" => vec![paid, out(&dispute, Cause::Dispute)],
        // The money may have come back meanwhile: this is another leaving of it.
        "LOST" => vec![paid, out(&lost, Cause::Dispute)],
        "EXPIRED" => vec![Fact::Expired],
        "CANCELLED" | "FAILED" => vec![Fact::Failed { code: status.to_ascii_lowercase() }],
        _ => Vec::new(),
    };
    let facts = session(data).map(Fact::Opened).into_iter().chain(ended).collect();
    let named = ["/externalId", "/metadata/topup"].iter().find_map(|at| text(data, at));
    // An answer without a name is about what was made for this purchase.
    let own = purchase.session().is_some_and(|session| session.id == object);
    let topup = match named {
        Some(id) => id.parse().ok(),
        None => own.then(|| purchase.id().clone()),
    };
    let mode = data["devMode"].as_bool().map(|dev| Mode::of_live(!dev));
    Ok(Said { topup, mode, facts, trouble: None })
}

/// What an event is about; `None` if about nothing of ours.
pub(super) fn reference(event: &Value) -> Option<Reference> {
    let data = ["/data/transparent", "/data/checkout"].iter().find_map(|at| event.pointer(at))?;
    let topup = ["/externalId", "/metadata/topup"].iter().find_map(|at| text(data, at));
    Reference::new(topup, text(data, "/id")?)
}
