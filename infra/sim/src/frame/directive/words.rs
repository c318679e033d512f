//! Parses the keys and values of directives.

use std::time::Duration;

use super::IsOwn;
use crate::frame::play::{
    AnswerPlay, AssetPlay, CreatePlay, Failure, Play, Refusal, ResultPlay, RetryAfter, StatusPlay, Then,
    WebhookPlay,
};

/// The failure of that name that is billed.
const BILLED: &str = "internal-billed";

/// The pairs of a block, by their commas.
pub(super) fn pairs(block: &str) -> Result<Vec<(&str, &str)>, String> {
    block
        .split(',')
        .map(|pair| {
            pair.split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| format!("directive {:?} is not key=value", pair.trim()))
        })
        .collect()
}

/// Applies one pair.
pub(super) fn apply(play: &mut Play, key: &str, value: &str, is_own: IsOwn) -> Result<(), String> {
    let unknown = || format!("unknown directive {key}={value}");
    let (word, argument) = value.split_once(':').unwrap_or((value, ""));
    match key {
        "latency" => play.latency = Some(seconds(value).ok_or_else(unknown)?),
        "throttled" => play.throttled = seconds(value).ok_or_else(unknown)?,
        "times" => play.times = Some(value.parse().ok().ok_or_else(unknown)?),
        "retry_after" => play.retry_after = Some(retry_after(word, argument).ok_or_else(unknown)?),
        "note" => {}
        "all" => play.all = create(word, argument).ok_or_else(unknown)?,
        "create" => play.create = create(word, argument).ok_or_else(unknown)?,
        "fail" => {
            play.fail = Some(failure(value).ok_or_else(unknown)?);
            play.fail_bills = value == BILLED;
        }
        "status" => play.status = Some(status(word, argument).ok_or_else(unknown)?),
        "answer" => play.answer = Some(answer(value).ok_or_else(unknown)?),
        "cancel" if value == "ignored" => play.cancel_ignored = true,
        "webhook" => play.webhook = webhook(word, argument).ok_or_else(unknown)?,
        "result" => play.result = Some(result(word, argument).ok_or_else(unknown)?),
        "asset" => play.asset = Some(asset(word, argument).ok_or_else(unknown)?),
        _ if is_own(key, value) => {
            play.own.insert(key.to_owned(), value.to_owned());
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

fn create(word: &str, argument: &str) -> Option<CreatePlay> {
    Some(match (word, argument) {
        ("refuse", "401") => CreatePlay::Refuse(Refusal::WrongKey),
        ("refuse", "403-balance") => CreatePlay::Refuse(Refusal::NoBalance),
        ("refuse", "422") => CreatePlay::Refuse(Refusal::BrokenInput),
        ("refuse", "429") => CreatePlay::Refuse(Refusal::RateLimit),
        ("refuse", "500") => CreatePlay::Refuse(Refusal::Internal),
        ("refuse", "503") => CreatePlay::Refuse(Refusal::Unavailable),
        ("refuse", "policy") => CreatePlay::Refuse(Refusal::Policy),
        ("drop-before", "") => CreatePlay::DropBefore,
        ("drop-after", "") => CreatePlay::DropAfter,
        ("slow", span) => CreatePlay::Slow(seconds(span)?),
        ("html", "") => CreatePlay::Html,
        ("accept-then", "html") => CreatePlay::AcceptThen(Then::Html),
        ("accept-then", code) => {
            CreatePlay::AcceptThen(Then::Error(one_of(&["500", "502", "503", "504"], code)?))
        }
        ("same-id", "") => CreatePlay::SameId,
        _ => return None,
    })
}

fn retry_after(word: &str, argument: &str) -> Option<RetryAfter> {
    Some(match (word, argument) {
        ("date", span) => RetryAfter::Date(span.parse().ok()?),
        (span, "") => match span.split_once('.') {
            None => RetryAfter::Seconds(span.parse().ok()?),
            Some((whole, tenth)) if tenth.len() == 1 => {
                RetryAfter::Tenths(format!("{whole}{tenth}").parse().ok()?)
            }
            Some(_) => return None,
        },
        _ => return None,
    })
}

fn answer(word: &str) -> Option<AnswerPlay> {
    Some(match word {
        "no-file" => AnswerPlay::NoFile,
        "null" => AnswerPlay::Null,
        "number" => AnswerPlay::Number,
        "long" => AnswerPlay::Long,
        _ => return None,
    })
}

fn failure(word: &str) -> Option<Failure> {
    Some(match word {
        "content_policy" => Failure::ContentPolicy,
        "internal" | BILLED => Failure::Internal,
        "invalid" => Failure::Invalid,
        "no_code" => Failure::NoCode,
        _ => return None,
    })
}

fn status(word: &str, argument: &str) -> Option<StatusPlay> {
    Some(match (word, argument) {
        ("backwards", "") => StatusPlay::Backwards,
        ("unknown", "") => StatusPlay::Unknown,
        ("empty", "") => StatusPlay::Empty,
        ("html", "") => StatusPlay::Html,
        ("junk", "") => StatusPlay::Junk,
        ("truncated", "") => StatusPlay::Truncated,
        ("hang", span) => StatusPlay::Hang(seconds(span)?),
        ("invisible", span) => StatusPlay::Invisible(seconds(span)?),
        ("404", span) => StatusPlay::Missing(seconds(span)?),
        (code, "") => StatusPlay::Error(one_of(&["500", "403"], code)?),
        _ => return None,
    })
}

/// The HTTP status, if it is one of these.
fn one_of(codes: &[&str], code: &str) -> Option<u16> {
    codes.contains(&code).then(|| code.parse().ok())?
}

fn webhook(word: &str, argument: &str) -> Option<WebhookPlay> {
    Some(match (word, argument) {
        ("lost", "") => WebhookPlay::Lost,
        ("twice", "") => WebhookPlay::Twice,
        ("early", "") => WebhookPlay::Early,
        ("late", span) => WebhookPlay::Late(seconds(span)?),
        ("badsig", "") => WebhookPlay::BadSignature,
        ("unsigned", "") => WebhookPlay::Unsigned,
        _ => return None,
    })
}

fn result(word: &str, argument: &str) -> Option<ResultPlay> {
    Some(match (word, argument) {
        ("404", "") => ResultPlay::Gone,
        ("422", "") => ResultPlay::NoMedia,
        ("500", count) => ResultPlay::Broken(count.parse().ok()?),
        _ => return None,
    })
}

fn asset(word: &str, argument: &str) -> Option<AssetPlay> {
    Some(match (word, argument) {
        ("404", "") => AssetPlay::Missing,
        ("500", count) => AssetPlay::Broken(count.parse().ok()?),
        ("503", count) => AssetPlay::Busy(count.parse().ok()?),
        ("cut", count) => AssetPlay::Cut(count.parse().ok()?),
        ("expired", when) => {
            let (span, code) = when.split_once(':').unwrap_or((when, "403"));
            AssetPlay::Expires(seconds(span)?, one_of(&["403", "404", "410"], code)?)
        }
        ("slow", "") => AssetPlay::Slow,
        ("trickle", rate) => AssetPlay::Trickle(rate.parse().ok().filter(|rate| *rate > 0)?),
        ("endless", "") => AssetPlay::Endless,
        ("half", "") => AssetPlay::Half,
        ("redirect", "") => AssetPlay::Redirect,
        ("html", "") => AssetPlay::Html,
        ("other", "") => AssetPlay::Other,
        _ => return None,
    })
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}
