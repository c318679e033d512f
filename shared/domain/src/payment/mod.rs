//! Payments for credits: what is sold, the record of a purchase, and its state machine.
//!
//! - [`offer`]: packs and free amounts; [`money`]: amounts in the minor units of their currency.
//! - [`purchase`]: the record; [`decide`]: its moves; [`trouble`]: what a failed call of a processor means.

pub mod decide;
pub mod money;
pub mod offer;
pub mod purchase;
pub mod trouble;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::TopupId;
use money::Money;

/// Who takes the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    Stripe,
    Paypal,
    Abacatepay,
}

/// What PayPal takes, of the currencies that we know.
const OF_PAYPAL: [&str; 22] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "JPY", "MXN", "MYR", "NOK",
    "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "USD",
];

impl Processor {
    pub const ALL: [Self; 3] = [Self::Stripe, Self::Paypal, Self::Abacatepay];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Paypal => "paypal",
            Self::Abacatepay => "abacatepay",
        }
    }

    /// How a buyer can pay; the first is the default.
    pub const fn methods(self) -> &'static [Method] {
        match self {
            Self::Stripe | Self::Paypal => &[Method::Hosted],
            Self::Abacatepay => &[Method::Pix, Method::Hosted],
        }
    }

    /// Whether it can list its events, so that a lost webhook is found later.
    pub const fn lists_events(self) -> bool {
        matches!(self, Self::Stripe | Self::Paypal)
    }

    /// Whether it takes this amount.
    ///
    /// # Errors
    ///
    /// Why it does not, for the caller.
    pub fn takes(self, money: Money) -> Result<(), &'static str> {
        let code = money.currency.code();
        match self {
            // <https://docs.stripe.com/currencies#three-decimal>
            Self::Stripe if money.currency.exponent() == 3 && !money.minor.is_multiple_of(10) => {
                Err("must end in 0 at this processor, which rounds to two decimals")
            }
            Self::Stripe => Ok(()),
            Self::Paypal if OF_PAYPAL.contains(&code) => Ok(()),
            Self::Abacatepay if code == "BRL" => Ok(()),
            Self::Paypal | Self::Abacatepay => Err("is in a currency that this processor does not take"),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the buyer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// On a page of the processor, which leads back to a URL of the caller's.
    Hosted,
    /// By a code that a bank's app reads.
    Pix,
}

impl Method {
    pub const ALL: [Self; 2] = [Self::Hosted, Self::Pix];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosted => "hosted",
            Self::Pix => "pix",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no method has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a way to pay: hosted or pix")]
pub struct UnknownMethod;

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        Self::ALL.into_iter().find(|method| method.name() == text).ok_or(UnknownMethod)
    }
}

/// A name that no processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a payment processor")]
pub struct UnknownProcessor;

impl FromStr for Processor {
    type Err = UnknownProcessor;

    fn from_str(text: &str) -> Result<Self, UnknownProcessor> {
        Self::ALL.into_iter().find(|processor| processor.name() == text).ok_or(UnknownProcessor)
    }
}

/// Whether money moves. What is of the other mode is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Live,
    Test,
}

impl Mode {
    pub const fn of_live(live: bool) -> Self {
        if live { Self::Live } else { Self::Test }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        [Self::Live, Self::Test].into_iter().find(|mode| mode.name() == text).ok_or("not `live` or `test`")
    }
}

/// What a report of a processor is about: a purchase of ours if it names one, and the processor's own object.
/// Neither is believed before the processor was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topup: Option<TopupId>,
    /// The processor's id of a session, an order or a payment.
    pub object: String,
}

impl Reference {
    /// Maximum length of the processor's id, in bytes.
    pub const BYTES_MAX: usize = 200;

    /// `None` if the object is none that could be a part of a path: letters, digits, `_` and `-` alone.
    pub fn new(topup: Option<&str>, object: &str) -> Option<Self> {
        is_object(object)
            .then(|| Self { topup: topup.and_then(|id| id.parse().ok()), object: object.to_owned() })
    }
}

/// Whether a text can be the id of a processor's object.
pub fn is_object(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    !text.is_empty() && text.len() <= Reference::BYTES_MAX && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_no_other_text_is() {
        for processor in Processor::ALL {
            assert_eq!(processor.name().parse(), Ok(processor));
            assert_eq!(serde_json::to_value(processor).unwrap(), processor.name());
        }
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
            assert!(UnknownMethod.to_string().contains(method.name()), "the error names every method");
        }
        assert!("Stripe".parse::<Processor>().is_err() && "".parse::<Processor>().is_err());
        assert!("Pix".parse::<Method>().is_err() && "".parse::<Method>().is_err());
        assert_eq!(("test".parse(), "prod".parse::<Mode>().is_err()), (Ok(Mode::Test), true));
    }

    #[test]
    fn an_amount_is_taken_in_the_currencies_of_the_processor() {
        let takes = |processor: Processor, minor, code: &str| {
            processor.takes(Money { minor, currency: code.parse().unwrap() }).is_ok()
        };
        assert!(takes(Processor::Stripe, 1_001, "USD") && takes(Processor::Paypal, 1_001, "USD"));
        assert!(takes(Processor::Stripe, 1_010, "KWD") && !takes(Processor::Stripe, 1_001, "KWD"));
        assert!(!takes(Processor::Paypal, 1_010, "KWD") && !takes(Processor::Abacatepay, 1_000, "USD"));
        assert!(takes(Processor::Abacatepay, 1_000, "BRL"));
    }

    #[test]
    fn an_object_cannot_leave_its_place_in_a_path() {
        assert!(Reference::new(Some("top_a"), "cs_test_a1-B2").unwrap().topup.is_some());
        assert_eq!(Reference::new(Some("x"), "pi_1").unwrap().topup, None);
        for object in ["", "../a", "a/b", "a?b", "a b", "ä", &"x".repeat(201)] {
            assert_eq!(Reference::new(None, object), None, "{object}");
        }
    }
}
