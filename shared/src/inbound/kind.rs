//! The kinds of sources: how each signs.

use signatures::{
    AbacatePay, BadKey, HmacHeader, Secret, SendGrid, Signing, StandardWebhooks, Stripe, Twilio,
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
    Abacatepay,
    /// Standard Webhooks, also under the header names of Svix.
    StandardWebhooks,
    /// A sender that one writes oneself.
    Hmac,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Stripe,
        Self::Github,
        Self::Shopify,
        Self::Slack,
        Self::Twilio,
        Self::Sendgrid,
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
            Self::Abacatepay => "abacatepay",
            Self::StandardWebhooks => "standard_webhooks",
            Self::Hmac => "hmac",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The verifier by all active secrets; of `SendGrid`, its public keys.
    pub(super) fn signing(self, secrets: &[Secret]) -> Result<Signing, BadKey> {
        Ok(match self {
            Self::Stripe => Signing::Stripe(Stripe::new(secrets)?),
            Self::Github => Signing::Hmac(HmacHeader::github(secrets)?),
            Self::Shopify => Signing::Hmac(HmacHeader::shopify(secrets)?),
            Self::Slack => Signing::Hmac(HmacHeader::slack(secrets)?),
            Self::Twilio => Signing::Twilio(Twilio::new(secrets)?),
            Self::Sendgrid => {
                let keys: Vec<_> = secrets.iter().map(Secret::expose).collect();
                Signing::SendGrid(SendGrid::new(&keys)?)
            }
            Self::Abacatepay => {
                let published = [Secret::new(AbacatePay::PUBLISHED_KEY)];
                Signing::AbacatePay(AbacatePay::new(secrets, &published)?)
            }
            Self::StandardWebhooks => Signing::StandardWebhooks(StandardWebhooks::svix(secrets)?),
            Self::Hmac => Signing::Hmac(HmacHeader::own(secrets)?),
        })
    }
}
