//! `PROCESSORS`: whom the owner is paid by, their credentials, and what their webhooks are proved by.

use std::collections::BTreeMap;

use domain::payment::purchase::{Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Mode, Processor};
use domain::time::Timestamp;
use signatures::{AbacatePay, BadKey, Secret, Signing, Stripe};
use tokio::sync::OnceCell;

use super::env::Reader;
use super::{Process, StartError};
use crate::payment::{Credentials, Processors, Webhooks, paypal_signing};

/// `PROCESSORS`: the payment processors by name, separated by commas; none without it.
fn on(read: &mut Reader<'_>) -> Vec<Processor> {
    let names: String = read.optional("PROCESSORS", "a list").unwrap_or_default();
    let mut on: Vec<Processor> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(processor) => on.push(processor),
            Err(unknown) => {
                let known = Processor::ALL.map(Processor::name).join(", ");
                read.problem(format!("PROCESSORS: {name} is {unknown}: {known}"));
            }
        }
    }
    on
}

/// `PAYMENT_MODE`: `live`, or `test` where no money moves.
fn mode(read: &mut Reader<'_>) -> Mode {
    read.optional("PAYMENT_MODE", "`live` or `test`").unwrap_or_default()
}

/// The client of every processor in `PROCESSORS`, with its credentials.
pub fn processors(read: &mut Reader<'_>) -> Result<Processors, StartError> {
    let mode = mode(read);
    let mut credentials = Credentials::default();
    for processor in on(read) {
        match processor {
            Processor::Stripe => credentials.stripe = Some(stripe_key(read, mode)),
            Processor::Paypal => {
                let id = read.key("PAYPAL_CLIENT_ID");
                credentials.paypal = Some((id, Secret::new(read.key("PAYPAL_CLIENT_SECRET"))));
            }
            Processor::Abacatepay => {
                credentials.abacatepay = Some(Secret::new(read.key("ABACATEPAY_API_KEY")));
            }
        }
    }
    let base_url = read.optional("PAYMENT_BASE_URL", "a URL");
    Processors::new(mode, credentials, base_url).map_err(StartError::Http)
}

/// The processors of a function that does more than sell. Their credentials are read for the first purchase: what is
/// wrong with them stops purchases alone.
#[derive(Debug)]
pub struct Till {
    on: Vec<Processor>,
    mode: Mode,
    process: Process,
    opened: OnceCell<Processors>,
}

/// Every processor in `PROCESSORS`, and `PAYMENT_KEYS`: the secret that has their credentials.
pub fn till(process: &Process, read: &mut Reader<'_>) -> Till {
    let (on, mode) = (on(read), mode(read));
    let keys = if on.is_empty() { String::new() } else { read.required("PAYMENT_KEYS") };
    let process = Process { env: process.env.clone().with("SECRETS", keys), ..process.clone() };
    Till { on, mode, process, opened: OnceCell::new() }
}

impl Till {
    pub fn on(&self) -> &[Processor] {
        &self.on
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Makes the session of a purchase; of the same purchase, the same session. Credentials that cannot be used are
    /// read again for the next one.
    pub async fn open(&self, purchase: &Purchase, now: Timestamp) -> Result<Session, Trouble> {
        match self.opened.get_or_try_init(|| self.processors()).await {
            Ok(processors) => processors.open(purchase, now).await,
            Err(error) => {
                tracing::error!(error = format!("{error:?}"), "payments.not_configured");
                Err(Trouble::new(Class::Unauthorized, "not_configured"))
            }
        }
    }

    async fn processors(&self) -> Result<Processors, StartError> {
        let process = self.process.clone().with_secrets().await?;
        let mut read = process.env.reader();
        let processors = processors(&mut read)?;
        Ok(read.finish(processors)?)
    }
}

/// A key says itself whether it moves money.
fn stripe_key(read: &mut Reader<'_>, mode: Mode) -> Secret {
    let key = read.key("STRIPE_SECRET_KEY");
    let of =
        |mode: Mode| ["sk", "rk"].iter().any(|kind| key.starts_with(&format!("{kind}_{}_", mode.name())));
    if !key.is_empty() && !of(mode) {
        read.problem(format!("STRIPE_SECRET_KEY is no key of PAYMENT_MODE {}", mode.name()));
    }
    Secret::new(key)
}

/// What proves the webhooks of every processor in `PROCESSORS`.
pub fn webhooks(read: &mut Reader<'_>) -> Webhooks {
    let mode = mode(read);
    let mut all = BTreeMap::new();
    for processor in on(read) {
        let (variable, signing) = match processor {
            Processor::Stripe => {
                let signing = Stripe::new(&secrets(read, "STRIPE_WEBHOOK_SECRET"));
                ("STRIPE_WEBHOOK_SECRET", signing.map(Signing::Stripe))
            }
            Processor::Paypal => ("PAYPAL_WEBHOOK_ID or PAYPAL_AUTHORITIES", paypal(read)),
            Processor::Abacatepay => {
                let published = [Secret::new(AbacatePay::PUBLISHED_KEY)];
                let signing = AbacatePay::new(&secrets(read, "ABACATEPAY_WEBHOOK_SECRET"), &published);
                ("ABACATEPAY_WEBHOOK_SECRET", signing.map(Signing::AbacatePay))
            }
        };
        match signing {
            Ok(signing) => drop(all.insert(processor, signing)),
            Err(bad) => read.problem(format!("{variable}: {bad}")),
        }
    }
    Webhooks::new(mode, all)
}

/// Several while one replaces another, separated by commas.
fn secrets(read: &mut Reader<'_>, variable: &str) -> Vec<Secret> {
    let all: String = read.optional(variable, "a text").unwrap_or_default();
    all.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(Secret::new).collect()
}

/// `PAYPAL_WEBHOOK_ID`, and `PAYPAL_AUTHORITIES` in place of the authorities that the system trusts, in PEM.
fn paypal(read: &mut Reader<'_>) -> Result<Signing, BadKey> {
    let id: String = read.optional("PAYPAL_WEBHOOK_ID", "a text").unwrap_or_default();
    let authorities: Option<String> = read.optional("PAYPAL_AUTHORITIES", "a text");
    paypal_signing(&id, authorities.as_deref())
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::*;

    fn complaint(pairs: &[(&str, &str)]) -> Option<String> {
        let env = Env::from_pairs(pairs.iter().copied());
        let mut read = env.reader();
        let _processors = processors(&mut read).unwrap();
        let _webhooks = webhooks(&mut read);
        read.finish(()).err().map(|error| error.to_string())
    }

    #[test]
    fn a_processor_needs_its_credentials_and_no_other_does() {
        let stripe = [
            ("PROCESSORS", "stripe"),
            ("STRIPE_SECRET_KEY", "rk_live_1"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_1, whsec_2"),
        ];
        assert_eq!((complaint(&[]), complaint(&stripe)), (None, None));
        for (pairs, words) in [
            (vec![("PROCESSORS", "cash")], "PROCESSORS: cash is not a payment processor: stripe, paypal"),
            (vec![("PROCESSORS", " stripe ")], "STRIPE_SECRET_KEY is missing"),
            (vec![("PROCESSORS", "stripe")], "STRIPE_WEBHOOK_SECRET: keys and secrets must be present"),
            (vec![("PROCESSORS", "paypal")], "PAYPAL_CLIENT_SECRET is missing"),
            (vec![("PROCESSORS", "paypal")], "PAYPAL_WEBHOOK_ID"),
            (vec![("PROCESSORS", "abacatepay")], "ABACATEPAY_API_KEY is missing"),
            (vec![("PAYMENT_MODE", "prod")], "PAYMENT_MODE must be `live` or `test`"),
            (
                [&stripe[..], &[("PAYMENT_MODE", "test")]].concat(),
                "STRIPE_SECRET_KEY is no key of PAYMENT_MODE",
            ),
        ] {
            let complaint = complaint(&pairs).unwrap();
            assert!(complaint.contains(words), "{complaint}");
        }
    }
}
