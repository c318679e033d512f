//! E-mail, by SendGrid or SES. No service knows the id of an event: a mail whose answer was lost counts as
//! sent.
//!
//! The text is put together by plain code: an engine for templates would be larger than its two texts.

use std::fmt;
use std::str::FromStr;

use domain::delivery::{Outcome, RETRY_AFTER_MAX};
use domain::endpoint::{Endpoint, Kind};
use domain::public_url::Reach;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use signatures::Secret;
use signatures::own::Master;
use url::Url;

use super::aws::ses;
use super::client::{Answer, Channels, Envelope};
use super::senders::{NO_SENDER, SenderRefused};
use super::text::line;

/// Maximum length of a subject, in characters: two lines of a mail's head.
const SUBJECT_MAX: usize = 150;

/// Who writes, and where a reader can stop it.
#[derive(Debug, Clone)]
pub struct Mailer {
    pub service: MailService,
    pub from: Mailbox,
    /// The API's URL, as a folder.
    pub api: Url,
}

#[derive(Debug, Clone)]
pub enum MailService {
    /// With an API key.
    Sendgrid(Secret),
    /// With the set whose events are published, if there is one.
    Ses { configuration_set: Option<String> },
}

/// An address, perhaps with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<String>,
    pub address: String,
}

/// A mail, for any service.
pub(super) struct Mail {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) headers: [(&'static str, String); 3],
}

/// The token of the link that stops the mails to an endpoint's present address.
pub(super) fn unsubscribe_token(master: &Master, endpoint: &Endpoint) -> String {
    let (account, id) = (endpoint.account.as_str(), endpoint.id.as_str());
    format!("{account}~{id}~{}", master.tag(&["unsubscribe", account, id, &endpoint.address]))
}

/// The account and the endpoint that a token names; [`is_unsubscribe_token`] proves it.
pub fn named_by(token: &str) -> Option<(&str, &str)> {
    let mut parts = token.split('~');
    let named = (parts.next()?, parts.next()?);
    (parts.count() == 1).then_some(named)
}

/// Whether it is the token of the endpoint as it is now.
pub fn is_unsubscribe_token(master: &Master, endpoint: &Endpoint, token: &str) -> bool {
    let (account, id) = (endpoint.account.as_str(), endpoint.id.as_str());
    let tag = token.rsplit('~').next().unwrap_or_default();
    named_by(token) == Some((account, id))
        && master.is_tag(&["unsubscribe", account, id, &endpoint.address], tag)
}

pub(super) async fn request(
    channels: &Channels,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let mailer = channels.senders().email.as_ref().ok_or(NO_SENDER)?;
    let link = format!("{}v1/unsubscribe/{}", mailer.api, unsubscribe_token(channels.master(), endpoint));
    let mail = mail(envelope, &link);
    match &mailer.service {
        MailService::Sendgrid(key) => {
            let post = channels.post("api.sendgrid.com", "/v3/mail/send");
            Ok(post.bearer_auth(key.expose()).json(&for_sendgrid(mailer, endpoint, envelope, &mail)))
        }
        MailService::Ses { .. } => ses::request(channels, mailer, endpoint, envelope, &mail, now).await,
    }
}

/// The mail of an event. `List-Unsubscribe` by RFC 8058: one click, without a question.
fn mail(envelope: Envelope<'_>, link: &str) -> Mail {
    let said: String = line(envelope.body).chars().filter(|c| !c.is_control()).collect();
    let subject: String = said.trim_end_matches('.').chars().take(SUBJECT_MAX).collect();
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    let at = body["timestamp"].as_str().unwrap_or_default();
    let text = format!(
        "{said}\n\nTime: {at}\nEvent: {}\n\nTo get no more of these mails, open {link}\n",
        envelope.id
    );
    let headers = [
        ("List-Unsubscribe", format!("<{link}>")),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
        ("Auto-Submitted", "auto-generated".to_owned()),
    ];
    Mail { subject, text, headers }
}

/// By <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>. Without tracking, which would
/// rewrite the link and add an image.
fn for_sendgrid(mailer: &Mailer, endpoint: &Endpoint, envelope: Envelope<'_>, mail: &Mail) -> Value {
    let mut from = json!({"email": mailer.from.address});
    if let Some(name) = &mailer.from.name {
        from["name"] = name.as_str().into();
    }
    let headers: serde_json::Map<_, _> =
        mail.headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    json!({
        "personalizations": [{"to": [{"email": endpoint.address}]}],
        "from": from,
        "subject": mail.subject,
        "content": [{"type": "text/plain", "value": mail.text}],
        "headers": headers,
        "custom_args": {"endpoint": endpoint.id, "genmux_id": envelope.id},
        "tracking_settings": {"click_tracking": {"enable": false}, "open_tracking": {"enable": false}},
    })
}

pub(super) fn outcome(
    service: Option<&MailService>,
    answer: &Answer,
    now: Timestamp,
) -> Result<Outcome, SenderRefused> {
    match service {
        Some(MailService::Sendgrid(_)) => of_sendgrid(answer, now),
        Some(MailService::Ses { .. }) => ses::outcome(answer, now),
        None => Ok(Outcome::Later { wait: None }),
    }
}

/// By <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses>: 403 is a
/// sender that is not verified, or blocked. An address that bounces is known only later, at SendGrid.
fn of_sendgrid(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    Ok(match answer.status.as_u16() {
        200..=299 => Outcome::Delivered,
        401 | 403 => return Err(SenderRefused),
        400 | 413 => Outcome::Never,
        _ => {
            let reset = answer.headers.get("x-ratelimit-reset").and_then(|at| at.to_str().ok()?.parse().ok());
            let until = reset.map(|at| Timestamp::from_secs(at).since(now).min(RETRY_AFTER_MAX));
            Outcome::Later { wait: answer.retry_after(now).or(until) }
        }
    })
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "\"{name}\" <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

impl FromStr for Mailbox {
    type Err = &'static str;

    /// `a@b.example` or `Name <a@b.example>`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
            Some((name, address)) => (Some(name.trim()).filter(|name| !name.is_empty()), address),
            None => (None, text),
        };
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>') || c == ' ';
        if name.is_some_and(|name| !name.chars().all(is_plain)) {
            return Err("its name has a character that a name cannot have");
        }
        let address = Kind::Email.address(address, Reach::Public)?;
        Ok(Self { name: name.map(str::to_owned), address })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signatures::own::Master;

    use super::super::tests::{NOW, answer, endpoint};
    use super::*;

    fn later(seconds: u64) -> Result<Outcome, SenderRefused> {
        Ok(Outcome::Later { wait: Some(Duration::from_secs(seconds)) })
    }

    const FAILED: &str = r#"{"type": "job.failed", "timestamp": "2026-11-29T10:00:00Z", "data": {"id": "job_a",
        "model": "veo\r\nBcc: all", "status": "failed", "request": {"prompt": "secret"}}}"#;

    #[test]
    fn a_mail_is_a_line_with_a_link_that_ends_it() {
        let mail = mail(Envelope { id: "evt_a", body: FAILED }, "https://api.example/x");
        assert_eq!(mail.subject, "Job job_a (veoBcc: all) has failed");
        assert_eq!(
            mail.text,
            "Job job_a (veoBcc: all) has failed.\n\nTime: 2026-11-29T10:00:00Z\nEvent: evt_a\n\n\
             To get no more of these mails, open https://api.example/x\n"
        );
        assert_eq!(mail.headers[0], ("List-Unsubscribe", "<https://api.example/x>".to_owned()));
    }

    #[test]
    fn a_link_is_of_one_endpoint_and_its_present_address() {
        let master = Master::new(Secret::new("m".repeat(32))).unwrap();
        let one = endpoint(Kind::Email, "anna@a.example");
        let token = unsubscribe_token(&master, &one);
        assert!(is_unsubscribe_token(&master, &one, &token));
        assert_eq!(named_by(&token), Some((one.account.as_str(), one.id.as_str())));
        let moved = endpoint(Kind::Email, "bert@a.example");
        assert!(!is_unsubscribe_token(&master, &moved, &token));
        for other in ["", "~~", "a~b", &token[..token.len() - 1], &format!("{token}~")] {
            assert!(!is_unsubscribe_token(&master, &one, other), "{other}");
        }
        let other = Master::new(Secret::new("n".repeat(32))).unwrap();
        assert!(!is_unsubscribe_token(&other, &one, &token));
    }

    #[test]
    fn a_sender_has_a_name_perhaps() {
        let parse = |text: &str| text.parse::<Mailbox>().map(|box_| (box_.name, box_.address));
        assert_eq!(parse("a@b.example"), Ok((None, "a@b.example".to_owned())));
        assert_eq!(parse("Genmux <a@B.example>"), Ok((Some("Genmux".to_owned()), "a@b.example".to_owned())));
        for text in [
            "",
            "Genmux",
            "Genmux <a@b>",
            "Bücher <a@b.example>",
            "\"x\" <a@b.example>",
            "a\nb <a@b.example>",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_answer_of_sendgrid_has_its_outcome() {
        for (status, headers, outcome) in [
            (202, &[][..], Ok(Outcome::Delivered)),
            (400, &[], Ok(Outcome::Never)),
            (413, &[], Ok(Outcome::Never)),
            (401, &[], Err(SenderRefused)),
            (403, &[], Err(SenderRefused)),
            (429, &[("x-ratelimit-reset", "1800000030")], later(30)),
            (429, &[("retry-after", "9"), ("x-ratelimit-reset", "1800000030")], later(9)),
            (500, &[], Ok(Outcome::Later { wait: None })),
            (503, &[], Ok(Outcome::Later { wait: None })),
        ] {
            assert_eq!(of_sendgrid(&answer(status, headers, ""), NOW), outcome, "{status} {headers:?}");
        }
    }
}
