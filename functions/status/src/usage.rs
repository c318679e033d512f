//! `GET /v1/usage`: sums over the account's jobs, in the form of OpenAI's usage API, or as CSV.

use std::fmt::Write;
use std::time::Duration;

use domain::id::{AccountId, JobId};
use domain::time::Timestamp;
use domain::usage::{Group, Sums, Width, cell, project};
use lambda_http::http::StatusCode;
use lambda_http::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LINK};
use lambda_http::{Body, Request, Response};
use serde_json::{Map, Value, json};
use shared::edge::http::{Problem, json as answer};
use shared::edge::page::{bad_parameter, decode, encode, limit, parameter};
use shared::operate::usage::{Page, Query, page};
use shared::store::usage::Place;

use super::App;

/// Days that one query spans at most.
const DAYS_MAX: u32 = 400;
/// Buckets of a page, by default: a month of days.
const LIMIT_DEFAULT: u32 = 31;
/// The latest time that a query names, in seconds: the end of the year 9999.
const LATEST_S: i64 = 253_402_300_799;
/// The name of a place behind no job.
const NO_JOB: &str = "-";
const GROUPS_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

/// The names of the sums of a result.
const COLUMNS: [&str; 7] =
    ["jobs", "succeeded", "failed", "canceled", "seconds", "charged_micro_credits", "refunded_micro_credits"];

const fn columns(sums: &Sums) -> [u64; 7] {
    [sums.jobs, sums.succeeded, sums.failed, sums.canceled, sums.seconds, sums.charged, sums.refunded]
}

pub(crate) async fn usage(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    let format = format(request)?;
    let query = query(request, now)?;
    let from = place(request, &query)?;
    let page = page(&app.usage, account, &query, &from).await?;
    let next = page.next.as_ref().map(|(at, job)| encode(*at, job.as_ref().map_or(NO_JOB, JobId::as_str)));
    Ok(match format {
        Format::Json => answer(StatusCode::OK, &document(&query, &page, next.as_deref(), &from, now)),
        Format::Csv => csv(request, &query, &page, next.as_deref()),
    })
}

fn query(request: &Request, now: Timestamp) -> Result<Query, Problem> {
    let width = match parameter(request, "bucket") {
        None => Width::Day,
        Some(text) => {
            let names = || Width::ALL.iter().map(|width| width.name().to_owned()).collect();
            let found = Width::ALL.into_iter().find(|width| width.name() == text);
            found.ok_or_else(|| bad_parameter("bucket", "is not the length of a bucket", names()))?
        }
    };
    let month = now.month().map_or(now, |(start, _)| start);
    let start = width.start(time(request, "start")?.unwrap_or(month));
    // A bucket that begins now has this very moment.
    let end = width.start_from(time(request, "end")?.unwrap_or(now + Duration::from_millis(1)));
    if end <= start {
        return Err(bad_parameter("end", "is not after `start`", vec![]));
    }
    if end.since(start) > Width::Day.times(DAYS_MAX) {
        return Err(bad_parameter("end", &format!("is more than {DAYS_MAX} days after `start`"), vec![]));
    }
    let limit = match parameter(request, "limit") {
        None => LIMIT_DEFAULT,
        Some(_) => u32::try_from(limit(request)?).unwrap_or(LIMIT_DEFAULT),
    };
    Ok(Query { start, end, width, groups: groups(request)?, limit })
}

/// Seconds since the epoch, a day of UTC, or a time in RFC 3339.
fn time(request: &Request, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = parameter(request, name) else { return Ok(None) };
    let is_known = |secs: &i64| (0..=LATEST_S).contains(secs);
    let secs = text.parse().ok().filter(is_known).map(Timestamp::from_secs);
    let found = secs.or_else(|| Timestamp::of_day(&text)).or_else(|| Timestamp::parse(&text));
    let found = found.filter(|at| is_known(&at.as_secs()));
    let detail = "is neither seconds since 1970, nor a day like 2026-11-30, nor a time in RFC 3339";
    found.map(Some).ok_or_else(|| bad_parameter(name, detail, vec![]))
}

fn groups(request: &Request) -> Result<Vec<Group>, Problem> {
    let Some(text) = parameter(request, "group_by") else { return Ok(Vec::new()) };
    let names = || Group::NAMES.map(str::to_owned).to_vec();
    let mut groups: Vec<Group> = Vec::new();
    for name in text.split(',') {
        let group = name.trim().parse();
        let group = group.map_err(|_none| bad_parameter("group_by", "names no group", names()))?;
        if groups.contains(&group) || groups.len() == GROUPS_MAX {
            let detail = format!("has a group twice, or more than {GROUPS_MAX}");
            return Err(bad_parameter("group_by", &detail, names()));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn format(request: &Request) -> Result<Format, Problem> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match parameter(request, "format").as_deref() {
        None if accept.contains("text/csv") => Ok(Format::Csv),
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(_) => {
            let names = ["json", "csv"].map(str::to_owned).to_vec();
            Err(bad_parameter("format", "is not a form of usage", names))
        }
    }
}

/// Where the page begins: at the start, or where an earlier page of the same query ended.
fn place(request: &Request, query: &Query) -> Result<Place, Problem> {
    let Some(text) = parameter(request, "page") else { return Ok((query.start, None)) };
    let job = |name: &str| if name == NO_JOB { Some(None) } else { name.parse().ok().map(Some) };
    let found = decode(&text, job).filter(|(at, _)| query.start <= *at && *at < query.end);
    found.ok_or_else(|| bad_parameter("page", "is not one that this query gave out", vec![]))
}

fn document(query: &Query, page: &Page, next: Option<&str>, from: &Place, now: Timestamp) -> Value {
    let bucket = |start: &Timestamp| {
        let results = page.usage.results(*start).map(|(values, sums)| {
            let mut result = Map::new();
            result.insert("object".to_owned(), json!("usage.result"));
            let groups = query.groups.iter().map(ToString::to_string).zip(values.iter().map(|it| json!(it)));
            result.extend(groups);
            result.extend(COLUMNS.map(str::to_owned).into_iter().zip(columns(sums).map(|sum| json!(sum))));
            Value::Object(result)
        });
        json!({
            "object": "bucket",
            "start_time": start.as_secs(),
            "end_time": (*start + query.width.times(1)).as_secs(),
            "results": results.collect::<Vec<_>>(),
        })
    };
    json!({
        "object": "page",
        "data": page.starts.iter().map(bucket).collect::<Vec<_>>(),
        "has_more": next.is_some(),
        "next_page": next,
        "projection": projection(query, page, from, now),
    })
}

/// What the current month comes to if it goes on like this: of a page that has all of it so far.
fn projection(query: &Query, page: &Page, from: &Place, now: Timestamp) -> Option<Value> {
    let (start, end) = now.month()?;
    let has_month = query.start == start && query.end > now && query.end <= end;
    let is_whole = *from == (start, None) && page.next.is_none();
    let net = page.usage.net();
    (has_month && is_whole).then(|| {
        json!({
            "start_time": start.as_secs(),
            "end_time": end.as_secs(),
            "net_micro_credits": net,
            "projected_micro_credits": project(net, start, now, end),
        })
    })
}

/// One line for each result. `Link` leads to the next page.
fn csv(request: &Request, query: &Query, page: &Page, next: Option<&str>) -> Response<Body> {
    let groups = query.groups.iter().map(ToString::to_string);
    let heads = ["start_time", "end_time"].map(str::to_owned).into_iter().chain(groups);
    let heads: Vec<_> = heads.chain(COLUMNS.map(str::to_owned)).map(|head| cell(&head)).collect();
    let mut text = heads.join(",") + "\r\n";
    for start in &page.starts {
        for (values, sums) in page.usage.results(*start) {
            let end = *start + query.width.times(1);
            let values = values.iter().map(|value| cell(value.as_deref().unwrap_or_default()));
            let cells = [start.to_string(), end.to_string()].into_iter().chain(values);
            let cells: Vec<_> = cells.chain(columns(sums).map(|sum| sum.to_string())).collect();
            let _infallible = write!(text, "{}\r\n", cells.join(","));
        }
    }
    let mut response = Response::new(Body::Text(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    let link = next.and_then(|next| HeaderValue::from_str(&link(request, next)).ok());
    link.and_then(|link| response.headers_mut().insert(LINK, link));
    response
}

/// This query with its next page (RFC 8288), relative to its own path.
fn link(request: &Request, next: &str) -> String {
    let given = request.uri().query().unwrap_or_default().split('&');
    let mut query: Vec<_> = given.filter(|pair| !pair.is_empty() && !pair.starts_with("page=")).collect();
    let page = format!("page={next}");
    query.push(&page);
    format!("<?{}>; rel=\"next\"", query.join("&"))
}
