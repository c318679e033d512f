//! The kinds of sources: how each signs.

use crate::outside::platforms::paypal;
use signatures::{
    AbacatePay, BadKey, HmacHeader, Secret, SendGrid, Signing, Sns, StandardWebhooks, Stripe, Twilio,
};

/// What kind of sender a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stripe,
    Github,
    Shopify,
    Slack,
    Twilio,
    Sendgrid,
    /// The event publishing of SES, by a topic of SNS.
    Ses,
    Paypal,
    Abacatepay,
    /// Standard Webhooks, also under the header names of Svix.
    StandardWebhooks,
    /// A sender that one writes oneself.
    Hmac,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Stripe,
        Self::Github,
        Self::Shopify,
        Self::Slack,
        Self::Twilio,
        Self::Sendgrid,
        Self::Ses,
        Self::Paypal,
        Self::Abacatepay,
        Self::StandardWebhooks,
        Self::Hmac,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Github => "github",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Twilio => "twilio",
            Self::Sendgrid => "sendgrid",
            Self::Ses => "ses",
            Self::Paypal => "paypal",
            Self::Abacatepay => "abacatepay",
            Self::StandardWebhooks => "standard_webhooks",
            Self::Hmac => "hmac",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its events may be about what we have sent.
    pub(super) const fn reports_deliveries(self) -> bool {
        matches!(self, Self::Twilio | Self::Sendgrid | Self::Ses)
    }

    /// The verifier by all active secrets; of `SendGrid`, its public keys; of SES, the ARNs of topics; of
    /// PayPal, the webhook's id. `authorities` are whom its certificate may be from, in PEM, if not those whom
    /// the system trusts.
    pub(super) fn signing(self, secrets: &[Secret], authorities: Option<&str>) -> Result<Signing, BadKey> {
        let texts: Vec<_> = secrets.iter().map(Secret::expose).collect();
        Ok(match self {
            Self::Stripe => Signing::Stripe(Stripe::new(secrets)?),
            Self::Github => Signing::Hmac(HmacHeader::github(secrets)?),
            Self::Shopify => Signing::Hmac(HmacHeader::shopify(secrets)?),
            Self::Slack => Signing::Hmac(HmacHeader::slack(secrets)?),
            Self::Twilio => Signing::Twilio(Twilio::new(secrets)?),
            Self::Sendgrid => Signing::SendGrid(SendGrid::new(&texts)?),
            Self::Ses => Signing::Sns(Sns::new(&texts)?),
            // A webhook has one id, which is no secret, and does not change.
            Self::Paypal => match texts[..] {
                [id] => paypal(id, authorities)?,
                _ => return Err(BadKey),
            },
            Self::Abacatepay => {
                let published = [Secret::new(AbacatePay::PUBLISHED_KEY)];
                Signing::AbacatePay(AbacatePay::new(secrets, &published)?)
            }
            Self::StandardWebhooks => Signing::StandardWebhooks(StandardWebhooks::svix(secrets)?),
            Self::Hmac => Signing::Hmac(HmacHeader::own(secrets)?),
        })
    }
}
