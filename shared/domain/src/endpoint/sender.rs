//! Senders: what an owner has at the vendors of channels, and the kinds of endpoints that each serves.

use strum::EnumString;

use super::Kind;
use crate::public_url::Reach;

/// A bot, an account or a project of the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Sender {
    Telegram,
    Sendgrid,
    Ses,
    Twilio,
    SnsSms,
    Google,
    Apns,
    SnsPush,
}

impl Sender {
    pub const ALL: [Self; 8] = [
        Self::Telegram,
        Self::Sendgrid,
        Self::Ses,
        Self::Twilio,
        Self::SnsSms,
        Self::Google,
        Self::Apns,
        Self::SnsPush,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Telegram => "telegram",
            Self::Sendgrid => "sendgrid",
            Self::Ses => "ses",
            Self::Twilio => "twilio",
            Self::SnsSms => "sns_sms",
            Self::Google => "google",
            Self::Apns => "apns",
            Self::SnsPush => "sns_push",
        }
    }

    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Telegram => &[Kind::Telegram],
            Self::Sendgrid | Self::Ses => &[Kind::Email],
            Self::Twilio | Self::SnsSms => &[Kind::Sms],
            Self::Google => &[Kind::Fcm, Kind::Pubsub, Kind::CloudRun],
            Self::Apns => &[Kind::Apns],
            Self::SnsPush => &[Kind::SnsPush],
        }
    }
}

/// What an owner has set up.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    kinds: Vec<Kind>,
    targets: Vec<String>,
}

impl Offers {
    /// With these senders, and these targets as they are kept.
    ///
    /// # Errors
    ///
    /// The first target that is no address of a kind that takes targets.
    pub fn new(senders: &[Sender], targets: &[&str]) -> Result<Self, String> {
        let takes = |kind: Kind, target: &str| {
            kind.needs().has_target() && kind.address(target, Reach::Public).is_ok_and(|kept| kept == target)
        };
        let is_one = |target: &str| Kind::ALL.iter().any(|kind| takes(*kind, target));
        if let Some(wrong) = targets.iter().find(|target| !is_one(target)) {
            return Err((*wrong).to_owned());
        }
        let has_sender = |kind: &Kind| senders.iter().any(|sender| sender.kinds().contains(kind));
        let has_target = |kind: &Kind| targets.iter().any(|target| takes(*kind, target));
        let is_set_up = |kind: &Kind| {
            let needs = kind.needs();
            (!needs.has_sender() || has_sender(kind)) && (!needs.has_target() || has_target(kind))
        };
        let kinds = Kind::ALL.into_iter().filter(is_set_up).collect();
        Ok(Self { kinds, targets: targets.iter().map(|target| (*target).to_owned()).collect() })
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether an address of an offered kind may be named.
    pub fn allows(&self, kind: Kind, address: &str) -> bool {
        // Only a local stack takes such a URL at all: it is of its simulator.
        let is_local = kind == Kind::CloudRun && address.starts_with("http://");
        is_local || !kind.needs().has_target() || self.targets.iter().any(|target| target == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:events";

    #[test]
    fn a_kind_needs_a_sender_where_there_is_one_for_it() {
        for kind in Kind::ALL {
            let has_one = Sender::ALL.iter().any(|sender| sender.kinds().contains(&kind));
            assert_eq!(kind.needs().has_sender(), has_one, "{kind:?}");
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for sender in Sender::ALL {
            assert_eq!(sender.name().parse(), Ok(sender));
        }
    }

    #[test]
    fn an_owner_offers_what_is_set_up_and_no_target_but_those_that_are_listed() {
        let offers = |senders: &[Sender], targets: &[&str]| Offers::new(senders, targets);
        let free = [Kind::Webhook, Kind::Slack, Kind::Discord, Kind::Websocket];
        assert_eq!(offers(&[], &[]).unwrap().kinds(), free);
        let some = offers(&[Sender::Telegram], &[TOPIC]).unwrap();
        let kinds = [Kind::Webhook, Kind::Slack, Kind::Discord, Kind::Telegram, Kind::Sns, Kind::Websocket];
        assert_eq!(some.kinds(), kinds);
        assert!(some.allows(Kind::Sns, TOPIC) && some.allows(Kind::Telegram, "1"));
        assert!(!some.allows(Kind::Sns, "arn:aws:sns:eu-central-1:123456789012:other"));
        // A topic of Google's needs both.
        let topic = "projects/my-project/topics/events";
        assert!(!offers(&[], &[topic]).unwrap().kinds().contains(&Kind::Pubsub));
        assert!(!offers(&[Sender::Google], &[]).unwrap().kinds().contains(&Kind::Pubsub));
        let both = offers(&[Sender::Google], &[topic]).unwrap();
        assert!(both.kinds().contains(&Kind::Pubsub) && both.allows(Kind::Pubsub, topic));
        assert!(!both.allows(Kind::Pubsub, "projects/my-project/topics/other"));
        for wrong in ["", "*", "arn:aws:sns:eu-central-1:123456789012:*", "arn:aws:s3:::bucket", "1"] {
            assert_eq!(offers(&[], &[TOPIC, wrong]).unwrap_err(), wrong);
        }
    }
}
