//! Buying credits: the form, and the page of a purchase with where to pay and what became of its money.

use domain::id::{TopupId, base32};
use domain::payment::money::{Currency, Money};
use domain::payment::offer::Topups;
use domain::payment::purchase::{Cause, Purchase, Status, Withdrawal};
use domain::payment::{Method, Processor};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use maud::{Markup, html};
use serde_json::json;
use shared::edge::http::Problem;
use shared::operate::topups::{Buyer, Order, Refusal, Shop};

use super::qr;
use crate::Page;
use crate::form::Form;
use crate::layout::{Content, credits, live, table, time};

/// What cannot be bought, in one sentence, and the status of that answer.
type Wrong = (StatusCode, String);

/// The form to buy credits; nothing where no processor is configured.
pub(crate) fn form(page: &Page<'_>, key: Option<&str>) -> Markup {
    let app = page.app;
    let (topups, on) = (app.catalog.topups(), app.till.on());
    let target = page.layout.at("credits/buy");
    let key = key.map_or_else(|| base32(&app.random.bytes::<10>()), str::to_owned);
    let (packs, amounts) = (packs(topups, on), amounts(topups, on));
    html! {
        @if !packs.is_empty() || !amounts.is_empty() { h2 #buy { "Buy credits" } }
        @if !packs.is_empty() {
            form.row method="post" action=(target) {
                input type="hidden" name="form" value=(key);
                div {
                    label for="pack" { "Pack" }
                    select #pack name="pack" {
                        @for (way, packs) in &packs {
                            optgroup label=(way) { (options(packs, page.form.get("pack"))) }
                        }
                    }
                }
                button type="submit" { "Buy pack" }
            }
        }
        @if !amounts.is_empty() {
            form.row method="post" action=(target) {
                input type="hidden" name="form" value=(key);
                div {
                    label for="amount" { "Another amount" }
                    input #amount name="amount" inputmode="decimal" autocomplete="off" required placeholder="25.00"
                        value=(page.form.get("amount").unwrap_or_default());
                }
                div {
                    label for="in" { "In" }
                    select #in name="in" { (options(&amounts, page.form.get("in"))) }
                }
                button type="submit" { "Buy amount" }
            }
        }
    }
}

/// What can be chosen, with what was chosen before.
fn options(all: &[(String, String)], chosen: Option<&str>) -> Markup {
    html! {
        @for (value, text) in all { option value=(value) selected[chosen == Some(value.as_str())] { (text) } }
    }
}

/// Each way to pay with the packs that it takes: what the form sends, and what it shows.
fn packs(topups: &Topups, on: &[Processor]) -> Vec<(String, Vec<(String, String)>)> {
    let of_way = |way: Way| {
        let all = topups.packs.iter().flat_map(|pack| pack.prices.iter().map(move |price| (pack, price)));
        let sold = all.filter_map(|(pack, (currency, minor))| {
            let price = Money { minor: *minor, currency: *currency };
            way.0.takes(price).ok()?;
            Some((format!("{} {} {currency}", way.value(), pack.name), format!("{}: {price}", pack.title)))
        });
        (way.name(), sold.collect::<Vec<_>>())
    };
    ways(on).map(of_way).filter(|(_, packs)| !packs.is_empty()).collect()
}

/// Each way to pay with the currencies of free amounts that it takes.
fn amounts(topups: &Topups, on: &[Processor]) -> Vec<(String, String)> {
    let of_way = |way: Way| {
        topups.amounts.iter().filter_map(move |(currency, rate)| {
            let [min, max] = [rate.min, rate.max].map(|minor| Money { minor, currency: *currency });
            way.0.takes(min).ok()?;
            let text = format!("{currency} by {}, {} to {}", way.name(), min.decimal(), max.decimal());
            Some((format!("{} {currency}", way.value()), text))
        })
    };
    ways(on).flat_map(of_way).collect()
}

/// A way to pay.
#[derive(Debug, Clone, Copy)]
struct Way(Processor, Method);

fn ways(on: &[Processor]) -> impl Iterator<Item = Way> {
    on.iter().flat_map(|processor| processor.methods().iter().map(|method| Way(*processor, *method)))
}

impl Way {
    fn value(self) -> String {
        format!("{} {}", self.0, self.1)
    }

    fn name(self) -> String {
        match self {
            Self(Processor::Stripe, _) => "Stripe".to_owned(),
            Self(Processor::Paypal, _) => "PayPal".to_owned(),
            Self(Processor::Abacatepay, Method::Pix) => "PIX (AbacatePay)".to_owned(),
            Self(Processor::Abacatepay, Method::Hosted) => "card or PIX (AbacatePay)".to_owned(),
        }
    }
}

/// `POST credits/buy`: records the purchase, and shows it. The same form makes one purchase, however often it is sent.
pub(crate) async fn buy(page: &Page<'_>, origin: &str) -> Result<Response<Body>, Problem> {
    page.check_write()?;
    let app = page.app;
    let Some(key) = page.form.get("form") else { return Ok(page.layout.redirect("credits")) };
    let id = TopupId::of_key(page.account(), &format!("console-{key}"));
    let back = format!("{origin}{}", page.layout.at(&format!("credits/{id}")));
    let Some(order) = order(page.form, back) else {
        let text = "The amount must be a number like 25.00, in a currency of the list.";
        return super::credits::page_with(page, Some((StatusCode::UNPROCESSABLE_ENTITY, text.to_owned())))
            .await;
    };
    let shop = Shop {
        purchases: &app.purchases,
        offer: app.catalog.topups(),
        processors: app.till.on(),
        mode: app.till.mode(),
        reach: app.reach,
    };
    let digest = digest(&order);
    let now = app.clock.now();
    let open = async |purchase: &Purchase| app.till.open(purchase, now).await;
    let bought = shop.buy(order, Buyer { account: page.account(), id, digest }, now, open).await;
    match bought {
        Ok((purchase, _)) => Ok(page.layout.redirect(&format!("credits/{}", purchase.id()))),
        Err(refusal) => super::credits::page_with(page, Some(wrong(refusal)?)).await,
    }
}

fn wrong(refusal: Refusal) -> Result<Wrong, Problem> {
    let text = match &refusal {
        Refusal::Taken => "This form has bought something else already. Nothing was bought now.".to_owned(),
        refusal => refusal.to_string(),
    };
    match refusal {
        Refusal::Store(error) => Err(error.into()),
        Refusal::Off => Err(Refusal::Off.into()),
        Refusal::Unavailable(_) => Ok((StatusCode::SERVICE_UNAVAILABLE, text)),
        Refusal::Field(_) | Refusal::Taken | Refusal::Refused(_) => {
            Ok((StatusCode::UNPROCESSABLE_ENTITY, text))
        }
    }
}

/// Identifies what is ordered, wherever the buyer is led back to.
fn digest(order: &Order) -> String {
    json!([order.processor, order.method, order.pack, order.amount, order.currency]).to_string()
}

/// What the form asks for; `None` for what no form of ours sends, and for an amount that is no number.
fn order(form: &Form, back: String) -> Option<Order> {
    let amount = form.get("amount");
    let chosen: Vec<_> = form.get(if amount.is_some() { "in" } else { "pack" })?.split(' ').collect();
    let (processor, method, pack, currency) = match chosen[..] {
        [processor, method, pack, currency] => (processor, method, Some(pack), currency),
        [processor, method, currency] => (processor, method, None, currency),
        _ => return None,
    };
    let processor: Processor = processor.parse().ok()?;
    let method = method.parse().ok().filter(|method| processor.methods().contains(method))?;
    let currency: Currency = currency.parse().ok()?;
    let amount = match amount {
        Some(text) => Some(Money::from_decimal(text, currency)?.minor),
        None => None,
    };
    Some(Order {
        pack: pack.map(str::to_owned),
        amount,
        currency: Some(currency.code().to_owned()),
        processor: Some(processor),
        method: Some(method),
        return_url: Some(back),
    })
}

/// The newest purchases, one row each.
pub(crate) fn rows(page: &Page<'_>, purchases: &[Purchase]) -> Markup {
    let row = |purchase: &Purchase| {
        [
            html! { a href=(page.layout.at(&format!("credits/{}", purchase.id()))) { (time(purchase.created_at())) } },
            html! { (purchase.price()) },
            credits(purchase.credits()),
            status(purchase.status()),
            html! { @if let Some(payment) = purchase.payment() { code { (payment) } } },
            receipt(purchase),
        ]
    };
    let rows: Vec<_> = purchases.iter().map(row).collect();
    let headings = ["Bought (UTC)", "Price", "Credits", "Status", "Payment", "Receipt"];
    table("Purchases", headings, &rows, "Nothing was bought yet.")
}

fn receipt(purchase: &Purchase) -> Markup {
    html! { @if let Some(url) = purchase.receipt_url() { a href=(url) rel="noreferrer" { "Receipt" } } }
}

/// `GET credits/{id}`: a purchase. While it is open, its status alone refreshes, so that a code can be copied; the page
/// is loaded again by its script when it is no longer open.
pub(crate) async fn show(page: &Page<'_>, id: &str, is_refresh: bool) -> Result<Response<Body>, Problem> {
    let id: TopupId = id.parse().map_err(|_not_an_id| Problem::not_found())?;
    let found = page.app.purchases.get(&id).await?;
    let purchase =
        found.filter(|purchase| purchase.account() == page.account()).ok_or_else(Problem::not_found)?;
    let is_open = purchase.status().is_open();
    if is_refresh && !is_open {
        return Ok(page.layout.reload(&format!("credits/{id}")));
    }
    let body = html! {
        (live(&html! { p role="status" { strong { (status(purchase.status())) } ": " (meaning(&purchase)) } }, is_open))
        @if purchase.status() == Status::Pending { (pay(&purchase)) }
        (facts(&purchase))
        @if !purchase.withdrawals().is_empty() { (withdrawals(&purchase)) }
        p { a href=(page.layout.at("credits")) { "To the credits" } }
    };
    Ok(page.layout.page(page.visitor, Content { title: "Purchase", entry: "credits", media: None, body }))
}

fn status(status: Status) -> Markup {
    html! { span class={ "status " (status.name()) } { (status.name()) } }
}

fn meaning(purchase: &Purchase) -> String {
    match purchase.status() {
        Status::Created => "the payment processor has not confirmed it yet.".to_owned(),
        Status::Pending => "this page shows by itself when it is paid.".to_owned(),
        Status::Paid => format!("{} credits were added to the balance.", purchase.credits()),
        Status::Expired => "it was not paid in time. A late payment still counts.".to_owned(),
        Status::Failed if purchase.failure() == Some("amount_mismatch") => {
            "another amount was paid than is due. The operator has been alerted.".to_owned()
        }
        Status::Failed => "it could not be paid. A late payment still counts.".to_owned(),
        Status::Refunded => "all of it was paid back, and its credits were taken back.".to_owned(),
        Status::Disputed => "the payment was disputed, and its credits were taken back.".to_owned(),
        Status::Reinstated => "money that had left is back, and so are its credits.".to_owned(),
    }
}

/// Where to pay.
fn pay(purchase: &Purchase) -> Markup {
    let Some(session) = purchase.session() else { return html! {} };
    let way = Way(purchase.processor(), purchase.method());
    html! {
        @if let Some(url) = &session.url { p { a.button href=(url) rel="noreferrer" { "Pay by " (way.name()) } } }
        @if let Some(code) = &session.pix {
            p { "Scan this code with your bank's app, or paste its text there." }
            (qr::svg(code, "QR code of the PIX payment"))
            div.stack {
                label for="pix" { "PIX code" }
                textarea #pix readonly { (code) }
            }
        }
    }
}

fn facts(purchase: &Purchase) -> Markup {
    let pending = purchase.status() == Status::Pending;
    html! {
        dl.facts {
            dt { "Credits" } dd { (credits(purchase.credits())) }
            dt { "Price" } dd { (purchase.price()) }
            dt { "Paid by" } dd { (Way(purchase.processor(), purchase.method()).name()) @if purchase.mode().name() == "test" { " in test mode: no money moves" } }
            @if pending { dt { "Payable until" } dd { (time(purchase.payable_until())) " UTC" } }
            @if let Some(code) = purchase.failure() { dt { "Reason" } dd { code { (code) } } }
            @if let Some(payment) = purchase.payment() { dt { "Payment" } dd { code { (payment) } } }
            @if purchase.receipt_url().is_some() { dt { "Receipt" } dd { (receipt(purchase)) } }
            dt { "Bought" } dd { (time(purchase.created_at())) " UTC" }
            dt { "Updated" } dd { (time(purchase.updated_at())) " UTC" }
            dt { "Purchase" } dd { code { (purchase.id()) } }
        }
    }
}

/// The refunds and disputes.
fn withdrawals(purchase: &Purchase) -> Markup {
    let row = |(id, one): (&String, &Withdrawal)| {
        let what = match (one.cause, one.returned) {
            (Cause::Refund, false) => "paid back to you",
            (Cause::Refund, true) => "a refund that did not arrive: its money is back",
            (Cause::Dispute, false) => "withdrawn in a dispute",
            (Cause::Dispute, true) => "a dispute that was decided against you: its money is back",
        };
        let amount = Money { minor: one.amount, ..purchase.price() };
        [html! { (what) }, html! { (amount) }, html! { code { (id) } }]
    };
    let rows: Vec<_> = purchase.withdrawals().iter().map(row).collect();
    html! {
        h2 { "Refunds and disputes" }
        (table("Refunds and disputes", ["What happened", "Amount", "Processor's id"], &rows, ""))
        p.quiet { (credits(purchase.taken_back())) " of this purchase are taken back now." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_offers_what_each_configured_processor_takes() {
        let topups = domain::catalog::Catalog::for_providers(&[]).topups().clone();
        let offered = |on: &[Processor]| {
            packs(&topups, on).iter().map(|(way, packs)| (way.clone(), packs.len())).collect::<Vec<_>>()
        };
        assert_eq!(offered(&[]), []);
        assert_eq!(offered(&[Processor::Stripe]), [("Stripe".to_owned(), 12)]);
        assert_eq!(
            offered(&[Processor::Abacatepay]),
            [("PIX (AbacatePay)".to_owned(), 3), ("card or PIX (AbacatePay)".to_owned(), 3)]
        );
        assert_eq!(amounts(&topups, &[Processor::Abacatepay]).len(), 2);
        assert_eq!(packs(&topups, &[Processor::Paypal])[0].1[0].0, "paypal hosted starter BRL");
    }

    /// It is kept with a purchase: a later release must make the same of the same order.
    #[test]
    fn an_order_is_the_same_wherever_it_leads_back_to() {
        let of = |pairs: [(&str, &str); 2], back: &str| {
            digest(&order(&Form::from_pairs(pairs), back.to_owned()).unwrap())
        };
        let pack = [("pack", "abacatepay pix starter BRL"), ("form", "a")];
        let amount = [("amount", "25.5"), ("in", "stripe hosted USD")];
        assert_eq!(of(pack, "https://a.example"), r#"["abacatepay","pix","starter",null,"BRL"]"#);
        assert_eq!(of(amount, "https://a.example"), r#"["stripe","hosted",null,2550,"USD"]"#);
        assert_eq!(of(pack, "https://a.example"), of(pack, "https://b.example"));
    }

    #[test]
    fn a_form_is_read_as_the_order_that_it_shows() {
        let read = |pairs: [(&str, &str); 2]| order(&Form::from_pairs(pairs), String::new());
        let pack = read([("pack", "abacatepay pix starter BRL"), ("form", "a")]).unwrap();
        assert_eq!(
            (pack.pack.as_deref(), pack.method, pack.amount),
            (Some("starter"), Some(Method::Pix), None)
        );
        let amount = read([("amount", "25.5"), ("in", "stripe hosted USD")]).unwrap();
        assert_eq!(
            (amount.amount, amount.currency.as_deref(), amount.pack),
            (Some(2_550), Some("USD"), None)
        );
        for (text, way) in [
            ("x", "stripe hosted USD"),
            ("-1", "stripe hosted USD"),
            ("1e9", "stripe hosted USD"),
            ("25", "stripe pix USD"),
            ("25", "cash"),
            ("25", "stripe hosted usd"),
            ("0.001", "stripe hosted USD"),
        ] {
            assert!(read([("amount", text), ("in", way)]).is_none(), "{text} {way}");
        }
    }
}
