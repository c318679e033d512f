//! Lists: jobs, models, providers, an account's money.

use data_encoding::BASE64URL_NOPAD;
use domain::credit::Entry;
use domain::id::{AccountId, JobId};
use domain::job::State;
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::{Value, json};
use shared::edge::http::{Problem, json as answer};

use super::{App, bad_parameter, listed};

const LIMIT_DEFAULT: i32 = 20;
const LIMIT_MAX: i32 = 100;
/// Minimum page size of a filtered list's reads.
const PAGE_MIN: i32 = 20;
/// The end of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;
/// Maximum length of a key of the table.
const LEDGER_KEY_BYTES_MAX: usize = 1024;
/// Pages that a filtered list reads before it returns a partial result.
const PAGES_MAX: usize = 10;

/// `GET /v1/jobs?status=&limit=&cursor=`: newest first.
pub(crate) async fn jobs(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let status = status(request)?;
    let mut cursor = cursor(request, |text| text.parse::<JobId>().ok())?;
    let mut found = Vec::new();
    let mut more = true;
    for _ in 0..PAGES_MAX {
        let size = if status.is_some() { limit.max(PAGE_MIN) } else { limit };
        let page = app.jobs.list(account, size, cursor.clone()).await?;
        more = page.len() == usize::try_from(size).unwrap_or(0);
        for job in page {
            cursor = Some((job.created_at(), job.id().clone()));
            if status.is_none_or(|status| status == job.state()) {
                found.push(job);
            }
            if found.len() == usize::try_from(limit).unwrap_or(0) {
                more = true;
                break;
            }
        }
        if !more || found.len() == usize::try_from(limit).unwrap_or(0) {
            break;
        }
    }
    let next = cursor.filter(|_| more).map(|(at, id)| encode(at, id.as_str()));
    let jobs: Vec<_> = found.iter().map(listed).collect();
    Ok(answer(StatusCode::OK, &json!({"jobs": jobs, "next_cursor": next})))
}

/// `GET /v1/account`: the balance, and the ledger newest first.
pub(crate) async fn account(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let cursor = cursor(request, ledger_key)?;
    let balance = app.ledger.balance(account).await?;
    let lines = app.ledger.lines(account, limit, cursor).await?;
    let full = lines.len() == usize::try_from(limit).unwrap_or(0);
    let next = lines.last().filter(|_| full).map(|(key, line)| encode(line.at, key));
    let entries: Vec<Value> = lines
        .iter()
        .map(|(_, line)| {
            let kind = match line.entry {
                Entry::Charge { .. } => "charge",
                Entry::Refund { .. } => "refund",
                Entry::Grant { .. } => "grant",
            };
            let amount = line.entry.amount().micros();
            json!({"kind": kind, "micro_credits": amount, "job": line.entry.job(), "at": line.at.to_string()})
        })
        .collect();
    let body = json!({
        "id": account,
        "balance_micro_credits": balance.micros(),
        "ledger": entries,
        "next_cursor": next,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// `GET /v1/providers`: health of every configured provider.
pub(crate) async fn providers(app: &App) -> Result<Response<Body>, Problem> {
    let gauges = app.admission.health(&app.providers).await?;
    let providers: Vec<Value> = app
        .providers
        .iter()
        .map(|provider| match gauges.get(provider) {
            Some(gauge) => json!({
                "name": provider,
                "health": gauge.health,
                "latency_ms": gauge.latency_ms,
                "since": gauge.since.to_string(),
                "checked_at": gauge.checked_at.to_string(),
            }),
            None => json!({"name": provider, "health": "unknown"}),
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({"providers": providers})))
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    request.query_string_parameters().first(name).map(str::to_owned)
}

fn limit(request: &Request) -> Result<i32, Problem> {
    let Some(text) = parameter(request, "limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad_parameter("limit", "is a whole number from 1 to 100", vec![]))
}

fn status(request: &Request) -> Result<Option<State>, Problem> {
    let Some(text) = parameter(request, "status") else { return Ok(None) };
    let state = State::ALL.into_iter().find(|state| state.name() == text);
    let names = || State::ALL.iter().map(|state| state.name().to_owned()).collect();
    state.map(Some).ok_or_else(|| bad_parameter("status", "is not a job status", names()))
}

/// A cursor marks the position in a list. It is opaque, and cannot reach another account.
fn encode(at: Timestamp, name: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{}.{name}", at.as_millis()).as_bytes())
}

/// Accepts only the output of [`encode`].
fn decode<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<(Timestamp, T)> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (at, name) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
    let millis: i64 = at.parse().ok().filter(|millis| (0..=LATEST_MS).contains(millis))?;
    let at = Timestamp::from_millis(millis);
    let parsed = parse(name)?;
    (encode(at, name) == text).then_some((at, parsed))
}

/// The key of a ledger line, if valid.
fn ledger_key(text: &str) -> Option<String> {
    let rest = text.strip_prefix("ENTRY#")?;
    let of_job = rest.strip_suffix("#CHARGE").or_else(|| rest.strip_suffix("#REFUND"));
    let fits = match (of_job, rest.strip_suffix("#GRANT")) {
        (Some(job), _) => job.len() == JobId::BYTES && job.parse::<JobId>().is_ok(),
        (None, Some(id)) => !id.is_empty() && !id.chars().any(char::is_control),
        (None, None) => false,
    };
    (fits && text.len() <= LEDGER_KEY_BYTES_MAX).then(|| text.to_owned())
}

fn cursor<T>(
    request: &Request,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<(Timestamp, T)>, Problem> {
    let Some(text) = parameter(request, "cursor") else { return Ok(None) };
    decode(&text, parse)
        .map(Some)
        .ok_or_else(|| bad_parameter("cursor", "is not one that a list gave out", vec![]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cursors_of_a_list_are_accepted() {
        let id = JobId::from_bytes([7; 16]);
        let at = Timestamp::from_millis(1_800_000_000_123);
        let job = |text: &str| decode(text, |name| name.parse::<JobId>().ok());
        assert_eq!(job(&encode(at, id.as_str())), Some((at, id.clone())));
        let raw = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        for at in ["+1", "-1", "01", "", "x", "253402300800000", "9223372036854775808", " 1"] {
            assert_eq!(job(&raw(format!("{at}.{id}"))), None, "{at}");
        }
        for text in [
            raw("1".to_owned()),
            raw(format!("1.{id}x")),
            format!("{}=", encode(at, id.as_str())),
            "?".to_owned(),
        ] {
            assert_eq!(job(&text), None, "{text}");
        }
    }

    #[test]
    fn a_ledger_cursor_names_a_ledger_line() {
        let id = JobId::from_bytes([7; 16]);
        for key in
            [format!("ENTRY#{id}#CHARGE"), format!("ENTRY#{id}#REFUND"), "ENTRY#a#b c#GRANT".to_owned()]
        {
            assert_eq!(ledger_key(&key), Some(key.clone()));
        }
        let long = format!("ENTRY#{}#GRANT", "x".repeat(1_100));
        for key in [
            "ENTRY#",
            "ENTRY##GRANT",
            "ENTRY#job_1#CHARGE",
            "ENTRY#a\n#GRANT",
            "BALANCE#",
            "ENTRY#a#X",
            &long,
        ] {
            assert_eq!(ledger_key(key), None, "{key}");
        }
    }
}
