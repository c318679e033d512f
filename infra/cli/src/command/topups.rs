//! `genmux topups` and `genmux packs`: what credits cost, and purchases of them. Callers buy by the API; operators see
//! what an account bought.

use anyhow::{Context, Result, ensure};
use clap::{ArgGroup, Args, Subcommand};
use domain::credit::Credits;
use domain::id::{AccountId, TopupId, base32};
use domain::payment::money::{Currency, Money};
use domain::payment::purchase::Purchase;
use domain::payment::{Method, Processor};
use serde_json::{Value, json};
use shared::boot::Random;
use shared::store::purchases::Purchases;

use super::api::Api;
use super::client::text;
use super::print::{self, Output, table};
use super::target::Opened;
use super::{Local, Target};

#[derive(Debug, Args)]
pub(super) struct Packs {
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
pub(super) struct Topups {
    #[command(subcommand)]
    command: TopupsCommand,
}

#[derive(Debug, Subcommand)]
enum TopupsCommand {
    /// List the purchases, newest first.
    List {
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
        limit: i32,
        #[command(flatten)]
        of: Of,
    },
    /// Show a purchase: its state, where it can be paid, and what was paid back.
    Show {
        id: TopupId,
        #[command(flatten)]
        of: Of,
    },
    /// Buy credits: a pack, or an amount. Prints where to pay.
    Create(Create),
}

/// Whose purchases.
#[derive(Debug, Args)]
struct Of {
    /// For operators: those of this account, from the table in place of the API.
    #[arg(long)]
    account: Option<AccountId>,
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["pack", "amount"]))]
struct Create {
    /// A pack of `genmux packs`.
    #[arg(long)]
    pack: Option<String>,
    /// An amount in minor units, such as cents.
    #[arg(long, requires = "currency")]
    amount: Option<u64>,
    /// Its currency, as USD. A pack with one price does not need it.
    #[arg(long)]
    currency: Option<Currency>,
    /// Who takes the payment: stripe, paypal or abacatepay. Not needed if only one is configured.
    #[arg(long)]
    processor: Option<Processor>,
    /// How it is paid: on the processor's page (hosted), or by a code (pix). Default: the processor's first.
    #[arg(long)]
    method: Option<Method>,
    /// The https URL that the buyer is led back to. Required if it is paid on a page.
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
    /// A repeat with the same key returns the same purchase. Default: random.
    #[arg(long)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    api: Api,
}

pub(super) async fn packs(args: Packs, local: &Local) -> Result<Output> {
    let sold = args.api.client(local)?.get("/v1/packs", "packs").await?;
    let mut rows = Vec::new();
    for pack in list(&sold, "packs") {
        let credits = pack["credits"].as_u64().unwrap_or_default();
        for (code, minor) in members(&pack["prices"]) {
            let price = money(minor.as_u64().unwrap_or_default(), code);
            rows.push([
                text(pack, "name").to_owned(),
                credits.to_string(),
                price,
                text(pack, "title").to_owned(),
            ]);
        }
    }
    for (code, rate) in members(&sold["amounts"]) {
        let [min, max] = ["min", "max"].map(|name| money(rate[name].as_u64().unwrap_or_default(), code));
        // Millionths of the currency's unit, as micro-credits are of a credit.
        let price = format!("{} {code}", credits(rate, "per_credit"));
        rows.push(["--amount".to_owned(), "1".to_owned(), price, format!("any amount from {min} to {max}")]);
    }
    let processors: Vec<_> = list(&sold, "processors").iter().filter_map(Value::as_str).collect();
    let by = match processors.is_empty() {
        true => "no payment processor is configured: credits cannot be bought".to_owned(),
        false => format!("paid by {} ({} mode)", processors.join(", "), text(&sold, "mode")),
    };
    Ok(Output::new(table(["PACK", "CREDITS", "PRICE", "TITLE"], &rows) + &by, sold))
}

pub(super) async fn run(args: Topups, local: &Local) -> Result<Output> {
    match args.command {
        TopupsCommand::List { limit, of } => {
            let found = match of.account(local).await? {
                Some((account, opened)) => {
                    let page = Purchases::new(opened.table()).list(&account, limit, None).await?;
                    json!({"topups": page.items.iter().map(Purchase::shown).collect::<Vec<_>>()})
                }
                None => of.api.client(local)?.get(&format!("/v1/topups?limit={limit}"), "topups").await?,
            };
            let rows: Vec<_> = list(&found, "topups").iter().map(row).collect();
            Ok(Output::new(table(["ID", "CREATED", "STATUS", "PRICE", "CREDITS", "PROCESSOR"], &rows), found))
        }
        TopupsCommand::Show { id, of } => match of.account(local).await? {
            Some((account, opened)) => {
                let found = Purchases::new(opened.table()).get(&id).await?;
                let found = found.filter(|purchase| *purchase.account() == account);
                Ok(shown(found.with_context(|| format!("{account} has no purchase {id}"))?.shown()))
            }
            None => Ok(shown(of.api.client(local)?.get(&format!("/v1/topups/{id}"), "status").await?)),
        },
        TopupsCommand::Create(create) => buy(create, local).await,
    }
}

impl Of {
    /// The account that an operator names, and the target, which is open until it is dropped.
    async fn account(&self, local: &Local) -> Result<Option<(AccountId, Opened)>> {
        ensure!(self.account.is_some() || self.target.table.is_none(), "name the account by --account");
        let Some(account) = self.account.clone() else { return Ok(None) };
        Ok(Some((account, self.target.open(local).await?)))
    }
}

async fn buy(create: Create, local: &Local) -> Result<Output> {
    let Create { pack, amount, currency, processor, method, return_url, idempotency_key, api } = create;
    let fields = [
        ("pack", pack.map(Value::from)),
        ("amount", amount.map(Value::from)),
        ("currency", currency.map(|currency| currency.code().into())),
        ("processor", processor.map(|processor| processor.name().into())),
        ("method", method.map(|method| method.name().into())),
        ("return_url", return_url.map(Value::from)),
    ];
    let body: Value = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let client = api.client(local)?;
    let key = idempotency_key.unwrap_or_else(|| base32(&Random::System.bytes::<10>()));
    // Before the call: a command that is stopped meanwhile can be repeated.
    print::notice(format_args!("idempotency key {key}"));
    let bought = client.buy(&body, &key).await.with_context(|| {
        format!(
            "no purchase was confirmed; the same command with `--idempotency-key {key}` makes at most one"
        )
    })?;
    Ok(shown(bought))
}

fn row(topup: &Value) -> [String; 6] {
    let created = text(topup, "created_at");
    [
        text(topup, "id").to_owned(),
        created.get(..16).unwrap_or(created).replace('T', " "),
        text(topup, "status").to_owned(),
        price(topup),
        credits(topup, "micro_credits"),
        text(topup, "processor").to_owned(),
    ]
}

/// A purchase in lines, without what it does not have.
fn shown(topup: Value) -> Output {
    let of = |name: &str| Some(text(&topup, name)).filter(|text| !text.is_empty()).map(str::to_owned);
    let pack = of("pack").map(|pack| format!(" (pack {pack})")).unwrap_or_default();
    let withdrawn = topup["withdrawn_amount"].as_u64().filter(|minor| *minor > 0).map(|minor| {
        let back = money(minor, text(&topup, "currency"));
        format!("{back}, and {} credits taken back", credits(&topup, "taken_back_micro_credits"))
    });
    let kinds: Vec<_> = ["processor", "method", "mode"].into_iter().filter_map(of).collect();
    let lines = [
        ("purchase", of("id")),
        ("status", of("status")),
        ("failure", of("failure")),
        ("price", Some(format!("{} for {} credits{pack}", price(&topup), credits(&topup, "micro_credits")))),
        ("paid by", Some(kinds.join(", "))),
        ("pay at", of("url")),
        ("PIX code", of("pix_code")),
        ("payable until", of("payable_until").filter(|_| text(&topup, "status") == "pending")),
        ("payment", of("payment")),
        ("receipt", of("receipt_url")),
        ("paid back", withdrawn),
        ("created", of("created_at")),
        ("updated", of("updated_at")),
    ];
    let lines =
        lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<14} {}", print::plain(&value?))));
    let lines: Vec<_> = lines.collect();
    Output::new(lines.join("\n"), topup)
}

fn price(topup: &Value) -> String {
    format!("{} {}", text(topup, "price"), text(topup, "currency"))
}

fn credits(of: &Value, name: &str) -> String {
    Credits::from_micros(of[name].as_u64().unwrap_or_default()).to_string()
}

/// An amount in minor units as a decimal; of a currency that is not known here, as it is.
fn money(minor: u64, code: &str) -> String {
    match code.parse() {
        Ok(currency) => Money { minor, currency }.to_string(),
        Err(_unknown) => format!("{minor} minor units of {code}"),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purchase_shows_what_it_has() {
        let topup = json!({
            "id": "top_a", "status": "refunded", "processor": "abacatepay", "method": "pix", "mode": "test",
            "pack": null, "amount": 5500, "currency": "BRL", "price": "55.00", "micro_credits": 1_000_000_000_u64,
            "withdrawn_amount": 5500, "taken_back_micro_credits": 1_000_000_000_u64, "url": null, "pix_code": null,
            "failure": "a\u{1b}[31m\nb", "payment": "char_1", "created_at": "2026-11-30T09:00:00.000Z",
        });
        assert_eq!(
            shown(topup.clone()).text,
            "purchase       top_a\nstatus         refunded\nfailure        a\\u001b[31m\\u000ab\n\
             price          55.00 BRL for 1000 credits\npaid by        abacatepay, pix, test\npayment        char_1\n\
             paid back      55.00 BRL, and 1000 credits taken back\ncreated        2026-11-30T09:00:00.000Z"
        );
        assert_eq!(row(&topup), ["top_a", "2026-11-30 09:00", "refunded", "55.00 BRL", "1000", "abacatepay"]);
        // An answer with nothing in it is no reason to fail.
        assert!(shown(json!({"status": "paid"})).text.contains("status         paid"));
    }

    #[test]
    fn money_is_in_the_decimals_of_its_currency() {
        assert_eq!(
            (money(1_050, "USD"), money(1_500, "JPY")),
            ("10.50 USD".to_owned(), "1500 JPY".to_owned())
        );
        assert_eq!(money(5, "???"), "5 minor units of ???");
        let per_credit = |millionths: u64| credits(&json!({"per_credit": millionths}), "per_credit");
        assert_eq!((per_credit(10_000), per_credit(1_500_000)), ("0.01".to_owned(), "1.5".to_owned()));
    }
}
