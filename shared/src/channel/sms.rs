//! Texts to phones, by Twilio or SNS. Neither knows the id of an event: a text whose answer was lost counts
//! as sent.

use domain::delivery::Outcome;
use domain::endpoint::Endpoint;
use domain::time::Timestamp;
use http::header::CONTENT_TYPE;
use reqwest::RequestBuilder;
use signatures::Secret;
use url::{Url, form_urlencoded};

use super::aws::targets;
use super::client::{Answer, Channels, Envelope};
use super::senders::{NO_SENDER, SenderRefused};
use super::text::line;

/// Maximum length of a text, in characters.
const TEXT_MAX: usize = 1_600;
/// A text that was not delivered after this long is dropped, in seconds: it is late news by then.
const VALID_S: &str = "14400";

/// Who sends texts.
#[derive(Debug, Clone)]
pub enum Texter {
    Twilio(Twilio),
    Sns,
}

/// An account of Twilio's.
#[derive(Debug, Clone)]
pub struct Twilio {
    /// `AC…`: part of the path that is called.
    pub account: String,
    pub token: Secret,
    /// A number, a name, or a messaging service (`MG…`).
    pub from: String,
    /// Where it reports what became of a text.
    pub status_url: Option<Url>,
}

pub(super) async fn request(
    channels: &Channels,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let text: String = line(envelope.body).chars().take(TEXT_MAX).collect();
    match channels.senders().sms.as_ref().ok_or(NO_SENDER)? {
        Texter::Twilio(twilio) => Ok(by_twilio(channels, twilio, endpoint, envelope, &text)),
        Texter::Sns => targets::text(channels, &endpoint.address, &text, now).await,
    }
}

/// By <https://www.twilio.com/docs/messaging/api/message-resource#create-a-message>.
fn by_twilio(
    channels: &Channels,
    twilio: &Twilio,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    text: &str,
) -> RequestBuilder {
    let Twilio { account, token, from, status_url } = twilio;
    let sender = if from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
    let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
    let post = channels.post("api.twilio.com", &path).basic_auth(account, Some(token.expose()));
    let mut form = form_urlencoded::Serializer::new(String::new());
    let to = endpoint.address.as_str();
    form.extend_pairs([("To", to), (sender, from), ("Body", text), ("ValidityPeriod", VALID_S)]);
    if let Some(mut url) = status_url.clone() {
        // A report has these again: Twilio signs the whole URL.
        let of = [("event", envelope.id), ("endpoint", endpoint.id.as_str())];
        url.query_pairs_mut().extend_pairs(of);
        form.append_pair("StatusCallback", url.as_str());
    }
    post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
}

pub(super) fn outcome(
    texter: Option<&Texter>,
    answer: &Answer,
    now: Timestamp,
) -> Result<Outcome, SenderRefused> {
    match texter {
        Some(Texter::Twilio(_)) => of_twilio(answer, now),
        Some(Texter::Sns) => targets::text_outcome(answer, now),
        None => Ok(Outcome::Later { wait: None }),
    }
}

/// By <https://www.twilio.com/docs/api/errors>: 21610 is a reader who answered STOP; 21211, 21217 and 21614 are
/// numbers that take no texts; 21212, 21603, 21606 and 21607 are of our own number.
fn of_twilio(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let code = answer.json()["code"].as_u64();
    Ok(match (answer.status.as_u16(), code) {
        (200..=299, _) => Outcome::Delivered,
        (400..=499, Some(21_610 | 21_211 | 21_217 | 21_614)) => Outcome::Gone,
        (400..=499, Some(21_212 | 21_603 | 21_606 | 21_607)) | (401..=404, _) => return Err(SenderRefused),
        (408 | 409 | 425 | 429, _) => Outcome::Later { wait: answer.retry_after(now) },
        (400..=499, _) => Outcome::Never,
        _ => Outcome::Later { wait: answer.retry_after(now) },
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn each_answer_of_twilio_has_its_outcome() {
        let later = Outcome::Later { wait: None };
        for (status, code, outcome) in [
            (201, 0, Ok(Outcome::Delivered)),
            (400, 21_610, Ok(Outcome::Gone)),
            (400, 21_211, Ok(Outcome::Gone)),
            (400, 21_614, Ok(Outcome::Gone)),
            (400, 21_606, Err(SenderRefused)),
            (400, 21_608, Ok(Outcome::Never)),
            (400, 21_617, Ok(Outcome::Never)),
            (401, 20_003, Err(SenderRefused)),
            (403, 20_005, Err(SenderRefused)),
            (404, 20_404, Err(SenderRefused)),
            (429, 20_429, Ok(later)),
            (500, 20_500, Ok(later)),
            (503, 20_503, Ok(later)),
        ] {
            let body = format!(r#"{{"code": {code}, "message": "", "status": {status}}}"#);
            assert_eq!(of_twilio(&answer(status, &[], &body), NOW), outcome, "{status} {code}");
        }
    }
}
