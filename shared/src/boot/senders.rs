//! `SENDERS`: what the owner sends with, and its credentials.

use domain::endpoint::{Kind, Offers, Sender};
use signatures::Secret;
use url::Url;

use super::Process;
use super::config::public_url;
use super::env::Reader;
use crate::channel::{Apns, Aws, Google, MailService, Mailbox, Mailer, Senders, Texter, Twilio};

/// `SENDERS`: the owner's senders by name, separated by commas. Two for one kind are a problem.
pub fn senders(read: &mut Reader<'_>) -> Vec<Sender> {
    let names: String = read.optional("SENDERS", "a list").unwrap_or_default();
    let mut senders: Vec<Sender> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(sender) => senders.push(sender),
            Err(_unknown) => {
                let known = Sender::ALL.map(Sender::name).join(", ");
                read.problem(format!("SENDERS: {name} is not one of {known}"));
            }
        }
    }
    for kind in Kind::ALL {
        let serving = senders.iter().filter(|sender| sender.kinds().contains(&kind));
        if serving.count() > 1 {
            read.problem(format!("SENDERS names two for {}", kind.name()));
        }
    }
    senders
}

/// `SENDERS`, and what events may be sent to, separated by commas: `EVENT_TARGETS`, ARNs, and `GOOGLE_TARGETS`,
/// topics and URLs.
pub fn offers(read: &mut Reader<'_>) -> Offers {
    let senders = senders(read);
    let mut targets = Vec::new();
    for variable in ["EVENT_TARGETS", "GOOGLE_TARGETS"] {
        let list: String = read.optional(variable, "a list").unwrap_or_default();
        let named: Vec<_> = list.split(',').map(str::trim).filter(|target| !target.is_empty()).collect();
        if let Err(wrong) = Offers::new(&senders, &named) {
            read.problem(format!("{variable}: {wrong} is no target"));
        }
        targets.extend(named.into_iter().map(str::to_owned));
    }
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    Offers::new(&senders, &targets).unwrap_or_default()
}

/// The credentials of every sender that `SENDERS` names.
pub fn credentials(process: &Process, read: &mut Reader<'_>) -> Senders {
    let aws = Aws::new(&process.aws);
    named(read, Senders { aws, ..Senders::default() })
}

fn named(read: &mut Reader<'_>, mut all: Senders) -> Senders {
    all.base_url = read.optional("CHANNEL_BASE_URL", "a URL");
    let api = public_url(read, "API_URL");
    let configuration_set = configuration_set(read);
    for sender in senders(read) {
        match sender {
            Sender::Telegram => all.telegram = Some(telegram(read)),
            Sender::Twilio => all.sms = Some(Texter::Twilio(twilio(read))),
            Sender::SnsSms => all.sms = Some(Texter::Sns),
            Sender::Google => all.google = google(read),
            Sender::Apns => all.apns = apns(read),
            // With our own credentials.
            Sender::SnsPush => {}
            Sender::Ses => {
                let service = MailService::Ses { configuration_set: configuration_set.clone() };
                all.email = mailer(read, service, &api);
            }
            Sender::Sendgrid => {
                let key = Secret::new(read.key("SENDGRID_API_KEY"));
                all.email = mailer(read, MailService::Sendgrid(key), &api);
            }
        }
    }
    all
}

/// The key file of a service account.
fn google(read: &mut Reader<'_>) -> Option<Google> {
    let google = Google::new(&Secret::new(read.key("GOOGLE_SERVICE_ACCOUNT_JSON")));
    if google.is_none() {
        read.problem("GOOGLE_SERVICE_ACCOUNT_JSON is not the key file of a service account");
    }
    google
}

/// A key of Apple's, its id and its team, and the app's bundle id.
fn apns(read: &mut Reader<'_>) -> Option<Apns> {
    let key = read.required("APNS_KEY");
    let [key_id, team_id, topic] =
        ["APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC"].map(|variable| (variable, read.required(variable)));
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    for (variable, text) in [&key_id, &team_id, &topic] {
        if !text.bytes().all(is_allowed) {
            read.problem(format!("{variable} is malformed: it has letters, digits, dots and hyphens alone"));
        }
    }
    let sandbox = read.optional("APNS_SANDBOX", "true or false").unwrap_or(false);
    let apns = Apns::new(&key, key_id.1, team_id.1, topic.1, sandbox);
    if apns.is_none() && !key.is_empty() {
        read.problem("APNS_KEY is not a private key in PEM");
    }
    apns
}

/// A token is part of the path that is called.
fn telegram(read: &mut Reader<'_>) -> Secret {
    let token = read.key("TELEGRAM_BOT_TOKEN");
    let is_one = token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_'));
    if !is_one {
        read.problem("TELEGRAM_BOT_TOKEN is malformed: its form is `<number>:<letters>`");
    }
    Secret::new(token)
}

/// An account's id is part of the path that is called.
fn twilio(read: &mut Reader<'_>) -> Twilio {
    let account = read.key("TWILIO_ACCOUNT_SID");
    let is_one = account.starts_with("AC") && account.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_one && !account.is_empty() {
        read.problem("TWILIO_ACCOUNT_SID is malformed: it is `AC` and 32 digits");
    }
    let token = Secret::new(read.key("TWILIO_AUTH_TOKEN"));
    let status_url = read.optional("TWILIO_STATUS_URL", "a URL");
    Twilio { account, token, from: read.required("TWILIO_FROM"), status_url }
}

/// `SES_CONFIGURATION_SET`: the set of SES whose events are published.
fn configuration_set(read: &mut Reader<'_>) -> Option<String> {
    let name: String = read.optional("SES_CONFIGURATION_SET", "a name")?;
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if name.len() > 64 || !name.bytes().all(is_allowed) {
        read.problem("SES_CONFIGURATION_SET is no name of a configuration set");
    }
    Some(name)
}

/// `EMAIL_FROM`: `a@b.example` or `Name <a@b.example>`. A mail has a link to the API.
fn mailer(read: &mut Reader<'_>, service: MailService, api: &Option<Url>) -> Option<Mailer> {
    let from = read.required("EMAIL_FROM");
    let from = from.parse::<Mailbox>().map_err(|why| read.problem(format!("EMAIL_FROM is no sender: {why}")));
    if api.is_none() {
        read.problem("API_URL is missing");
    }
    Some(Mailer { service, from: from.ok()?, api: api.clone()? })
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::*;

    fn complaint(pairs: &[(&str, &str)]) -> Option<String> {
        let env = Env::from_pairs(pairs.iter().copied());
        let mut read = env.reader();
        let _senders = named(&mut read, Senders::default());
        let _offers = offers(&mut read);
        read.finish(()).err().map(|error| error.to_string())
    }

    #[test]
    fn a_sender_needs_its_credentials_and_no_other_does() {
        assert_eq!(complaint(&[]), None);
        assert_eq!(complaint(&[("SENDERS", "telegram"), ("TELEGRAM_BOT_TOKEN", "1:a-b_c")]), None);
        for (pairs, words) in [
            (vec![("SENDERS", "fax")], "SENDERS: fax is not one of telegram"),
            (vec![("SENDERS", "telegram,telegram")], "SENDERS names two for telegram"),
            (vec![("SENDERS", " telegram ")], "TELEGRAM_BOT_TOKEN is missing"),
            (
                vec![("SENDERS", "telegram"), ("TELEGRAM_BOT_TOKEN", "1:a/b")],
                "TELEGRAM_BOT_TOKEN is malformed",
            ),
            (vec![("SENDERS", "sendgrid"), ("SENDGRID_API_KEY", "k")], "EMAIL_FROM is missing"),
            (vec![("SENDERS", "sendgrid"), ("EMAIL_FROM", "Genmux")], "EMAIL_FROM is no sender"),
            (vec![("SENDERS", "sendgrid"), ("EMAIL_FROM", "a@b.example")], "API_URL is missing"),
            (vec![("SENDERS", "ses,sendgrid")], "SENDERS names two for email"),
            (vec![("EVENT_TARGETS", "arn:aws:s3:::b")], "EVENT_TARGETS: arn:aws:s3:::b is no target"),
            (vec![("GOOGLE_TARGETS", "my-topic")], "GOOGLE_TARGETS: my-topic is no target"),
            (
                vec![("SENDERS", "google"), ("GOOGLE_SERVICE_ACCOUNT_JSON", "{}")],
                "GOOGLE_SERVICE_ACCOUNT_JSON is not the key file",
            ),
            (vec![("SENDERS", "apns"), ("APNS_KEY", "k")], "APNS_KEY is not a private key"),
            (vec![("SENDERS", "apns"), ("APNS_TOPIC", "a b")], "APNS_TOPIC is malformed"),
            (vec![("SENDERS", "twilio"), ("TWILIO_ACCOUNT_SID", "../x")], "TWILIO_ACCOUNT_SID is malformed"),
            (vec![("SENDERS", "twilio"), ("TWILIO_ACCOUNT_SID", "AC1")], "TWILIO_FROM is missing"),
            (vec![("CHANNEL_BASE_URL", "x")], "CHANNEL_BASE_URL must be a URL"),
            (vec![("SENDERS", "twilio"), ("TWILIO_STATUS_URL", "x")], "TWILIO_STATUS_URL must be a URL"),
            (vec![("SES_CONFIGURATION_SET", "a b")], "SES_CONFIGURATION_SET is no name"),
        ] {
            let complaint = complaint(&pairs).unwrap();
            assert!(complaint.contains(words), "{complaint}");
        }
    }
}
