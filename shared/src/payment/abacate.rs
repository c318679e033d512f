//! `AbacatePay`: PIX, <https://docs.abacatepay.com>.
//!
//! Each answer is `{data, success, error}`, and only `success` says whether it is one. A PIX is paid back as a whole.

use domain::payment::decide::Fact;
use domain::payment::money::Money;
use domain::payment::purchase::{Cause, PAYABLE_FOR, Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Mode, Reference, is_object};
use domain::time::Timestamp;
use serde_json::{Value, json};

use super::Said;
use super::call::{Answer, Call, Content, text, unreadable};
use super::client::Processors;

pub(super) const HOST: &str = "api.abacatepay.com";

/// Makes a PIX code: the same one for a repeat.
pub(super) fn open(purchase: &Purchase) -> Call {
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

pub(super) fn opened(answer: &Answer) -> Result<Session, Trouble> {
    let data = data(answer)?;
    let id = text(data, "/id").filter(|id| is_object(id));
    let (Some(id), Some(pix)) = (id, text(data, "/brCode")) else { return Err(unreadable()) };
    Ok(Session { id: id.to_owned(), url: None, pix: Some(pix.to_owned()) })
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

/// Asks for the PIX of a purchase.
pub(super) async fn ask(
    client: &Processors,
    purchase: &Purchase,
    object: &str,
    now: Timestamp,
) -> Result<Said, Trouble> {
    let call = Call::get("/v2/transparents/check", &[("id", object)]);
    let answer = client.abacate(&call, now).await?;
    read(&answer, purchase, object)
}

/// What it says. A PIX has the amount of its code, so that an answer without one is about that.
pub(super) fn read(answer: &Answer, purchase: &Purchase, object: &str) -> Result<Said, Trouble> {
    let data = data(answer)?;
    let status = text(data, "/status").ok_or_else(unreadable)?;
    let price = purchase.price();
    let paid = ["/paidAmount", "/amount"].iter().find_map(|at| data.pointer(at)?.as_u64());
    let amount = Money { minor: paid.unwrap_or(price.minor), ..price };
    let paid = Fact::Paid { payment: object.to_owned(), amount };
    let [refund, dispute, lost] = ["refund", "dispute", "lost"].map(|what| format!("{object}-{what}"));
    let out = |id: &str, cause| Fact::Withdrawn { id: id.to_owned(), cause, amount: price.minor };
    let facts = match status {
        "PAID" => vec![paid, Fact::Returned { id: dispute }, Fact::Returned { id: lost }],
        "REFUNDED" => vec![paid, out(&refund, Cause::Refund)],
        "DISPUTED" | "UNDER_DISPUTE" => vec![paid, out(&dispute, Cause::Dispute)],
        // The money may have come back meanwhile: this is another leaving of it.
        "LOST" => vec![paid, out(&lost, Cause::Dispute)],
        "EXPIRED" => vec![Fact::Expired],
        "CANCELLED" | "FAILED" => vec![Fact::Failed { code: status.to_ascii_lowercase() }],
        _ => Vec::new(),
    };
    let named = ["/externalId", "/metadata/topup"].iter().find_map(|at| text(data, at));
    // An answer without a name is about the code that was made for this purchase.
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
    let data = event.pointer("/data/transparent")?;
    let topup = ["/externalId", "/metadata/topup"].iter().find_map(|at| text(data, at));
    Reference::new(topup, text(data, "/id")?)
}
