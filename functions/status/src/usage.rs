//! `GET /v1/usage`: sums over the account's jobs, in the form of OpenAI's usage API, or as CSV.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use domain::id::{AccountId, JobId};
use domain::request::FieldError;
use domain::time::Timestamp;
use domain::usage::{Group, Sums, Width, cell, project};
use lambda_http::http::StatusCode;
use lambda_http::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LINK};
use lambda_http::{Body, Request, RequestExt, Response};
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
/// Jobs that one page reads.
const JOBS_MAX: i32 = 1_000;
/// The same where results have metadata: if each job is a result of its own, with the longest, a page is still less
/// than the 6 MB that a function may answer.
const METADATA_JOBS_MAX: i32 = 300;
/// Unknown parameters that a refusal names.
const UNKNOWN_MAX: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

/// The names of a parameter: ours, and OpenAI's.
type Names = &'static [&'static str];
const START: Names = &["start", "start_time"];
const END: Names = &["end", "end_time"];
const BUCKET: Names = &["bucket", "bucket_width"];
const GROUP_BY: Names = &["group_by", "group_by[]"];
const PARAMETERS: [Names; 7] = [START, END, BUCKET, GROUP_BY, &["limit"], &["page"], &["format"]];

pub(crate) async fn usage(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    check_names(request)?;
    let format = format(request)?;
    let query = query(request, now)?;
    let from = place(request, &query)?;
    let page = page(&app.usage, account, &query, &from, jobs_max(&query.groups)).await?;
    let next = page.next.as_ref().map(|(at, job)| encode(*at, job.as_ref().map_or(NO_JOB, JobId::as_str)));
    Ok(match format {
        Format::Json => answer(StatusCode::OK, &document(&query, &page, next.as_deref(), &from, now)),
        Format::Csv => csv(request, &query, &page, next.as_deref()),
    })
}

/// Refuses unknown parameters, and one that is given twice, under one name or two.
fn check_names(request: &Request) -> Result<(), Problem> {
    let given = request.query_string_parameters();
    let given: BTreeSet<&str> = given.iter().map(|(name, _)| name).collect();
    let known: BTreeSet<&str> = PARAMETERS.into_iter().flatten().copied().collect();
    let unknown = given.difference(&known).map(|name| FieldError {
        field: (*name).to_owned().into(),
        detail: "is not a parameter of usage".to_owned(),
        allowed: known.iter().copied().map(str::to_owned).collect(),
    });
    let unknown: Vec<_> = unknown.take(UNKNOWN_MAX).collect();
    if !unknown.is_empty() {
        return Err(Problem::invalid(unknown));
    }
    let once = PARAMETERS.into_iter().filter(|names| *names != GROUP_BY);
    match once.map(|names| values(request, names)).find(|values| values.len() > 1) {
        Some(values) => Err(bad_parameter(values[1].0, "is given more than once", vec![])),
        None => Ok(()),
    }
}

/// What is given for a parameter, each with the name that was used.
fn values(request: &Request, names: Names) -> Vec<(&'static str, String)> {
    let given = request.query_string_parameters();
    let of_name = |name: &&'static str| {
        let values = given.all(name).unwrap_or_default().into_iter();
        values.map(|value| (*name, value.to_owned())).collect::<Vec<_>>()
    };
    names.iter().flat_map(of_name).collect()
}

fn query(request: &Request, now: Timestamp) -> Result<Query, Problem> {
    let width = match values(request, BUCKET).pop() {
        None => Width::Day,
        Some((name, text)) => {
            let names = || Width::ALL.iter().map(|width| width.name().to_owned()).collect();
            let found = Width::ALL.into_iter().find(|width| width.name() == text);
            found.ok_or_else(|| bad_parameter(name, "is not the length of a bucket", names()))?
        }
    };
    let month = now.month().map_or(now, |(start, _)| start);
    let start = width.start(time(request, START)?.unwrap_or(month));
    // A bucket that begins now has this very moment.
    let end = width.start_from(time(request, END)?.unwrap_or(now + Duration::from_millis(1)));
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
fn time(request: &Request, names: Names) -> Result<Option<Timestamp>, Problem> {
    let Some((name, text)) = values(request, names).pop() else { return Ok(None) };
    let is_known = |secs: &i64| (0..=LATEST_S).contains(secs);
    let secs = text.parse().ok().filter(is_known).map(Timestamp::from_secs);
    let found = secs.or_else(|| Timestamp::of_day(&text)).or_else(|| Timestamp::parse(&text));
    let found = found.filter(|at| is_known(&at.as_secs()));
    let detail = "is neither seconds since 1970, nor a day like 2026-11-30, nor a time in RFC 3339";
    found.map(Some).ok_or_else(|| bad_parameter(name, detail, vec![]))
}

/// One `group_by` has several, separated by commas. Of repeated ones and of `group_by[]`, each is one: the name
/// of a pair of metadata may have a comma.
fn groups(request: &Request) -> Result<Vec<Group>, Problem> {
    let given = values(request, GROUP_BY);
    let given: Vec<_> = match given.as_slice() {
        [(name, text)] if *name == GROUP_BY[0] => text.split(',').map(|text| (*name, text.trim())).collect(),
        given => given.iter().map(|(name, text)| (*name, text.as_str())).collect(),
    };
    let names = || Group::NAMES.map(str::to_owned).to_vec();
    let mut groups: Vec<Group> = Vec::new();
    for (name, text) in given {
        let group = text.parse().map_err(|_none| bad_parameter(name, "names no group", names()))?;
        if groups.contains(&group) || groups.len() == GROUPS_MAX {
            let detail = format!("has a group twice, or more than {GROUPS_MAX}");
            return Err(bad_parameter(name, &detail, names()));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn jobs_max(groups: &[Group]) -> i32 {
    let has_metadata = groups.iter().any(|group| matches!(group, Group::Metadata(_)));
    if has_metadata { METADATA_JOBS_MAX } else { JOBS_MAX }
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
            let sums = sums.values().map(|sum| json!(sum));
            result.extend(Sums::NAMES.map(str::to_owned).into_iter().zip(sums));
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
    let heads: Vec<_> = heads.chain(Sums::NAMES.map(str::to_owned)).map(|head| cell(&head)).collect();
    let mut text = heads.join(",") + "\r\n";
    for start in &page.starts {
        for (values, sums) in page.usage.results(*start) {
            let end = *start + query.width.times(1);
            let values = values.iter().map(|value| cell(value.as_deref().unwrap_or_default()));
            let cells = [start.to_string(), end.to_string()].into_iter().chain(values);
            let cells: Vec<_> = cells.chain(sums.values().map(|sum| sum.to_string())).collect();
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

#[cfg(test)]
mod tests {
    use domain::catalog::Catalog;
    use domain::credit::Credits;
    use domain::id::KeyId;
    use domain::job::Job;
    use domain::provider::Provider;
    use domain::request::{JobRequest, METADATA_KEY_CHARS_MAX, METADATA_VALUE_CHARS_MAX};
    use domain::usage::{Record, Usage};

    use super::*;

    /// The largest answer of a function, and what is left for its status and headers.
    const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;
    const HEADERS_BYTES: usize = 16 * 1024;

    /// A text that is as long in JSON as one of this many characters can be, another for each number.
    fn longest(number: i64, chars: usize) -> String {
        let digit = |n: usize| char::from_u32(1 + (number / 7_i64.pow(n as u32) % 7) as u32);
        (0..chars).filter_map(|n| if n < 4 { digit(n) } else { Some('\u{1}') }).collect()
    }

    /// As many jobs as a page reads, each a result of its own by its key or the longest metadata, over all its
    /// buckets.
    fn worst(groups: &[Group]) -> Page {
        let catalog = Catalog::for_providers(Provider::ALL);
        let mut usage = Usage::new(Width::Hour, groups.to_vec());
        let starts: Vec<_> = (0..100).map(|n| Timestamp::from_secs(n * 3_600)).collect();
        for number in 0..i64::from(jobs_max(groups)) {
            let names = groups.iter().filter_map(|group| match group {
                Group::Metadata(name) => Some(name.clone()),
                Group::Model | Group::Provider | Group::Key | Group::Status => None,
            });
            let value = longest(number, METADATA_VALUE_CHARS_MAX);
            let metadata: Map<_, _> = names.map(|name| (name, json!(value))).collect();
            let order = json!({"model": "veo-3.1", "prompt": "a", "metadata": metadata});
            let request = JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap();
            let (id, price) = (JobId::from_bytes([0; 16]), Credits::from_micros(1 << 50));
            let (account, at) = (AccountId::operator(), starts[number as usize % starts.len()]);
            let job = Job::new(id, account, request.model.clone(), price, String::new(), at);
            let mut key = [0; 10];
            key[..8].copy_from_slice(&number.to_be_bytes());
            usage.add(&Record { job, request, key: Some(KeyId::from_bytes(key)) });
        }
        Page { usage, starts, next: None }
    }

    /// The bytes of the largest answers by these groups: JSON, and CSV.
    fn largest(groups: Vec<Group>) -> [usize; 2] {
        assert_eq!(groups.len(), GROUPS_MAX);
        let page = worst(&groups);
        let results: usize = page.starts.iter().map(|start| page.usage.results(*start).count()).sum();
        assert_eq!(results, jobs_max(&groups) as usize);
        let now = Timestamp::from_secs(100 * 3_600);
        let query =
            Query { start: Timestamp::from_secs(0), end: now, width: Width::Hour, groups, limit: 100 };
        let next = encode(now, JobId::from_bytes([7; 16]).as_str());
        let document = document(&query, &page, Some(&next), &(query.start, None), now).to_string();
        let csv = csv(&Request::default(), &query, &page, Some(&next));
        let Body::Text(csv) = csv.into_body() else { panic!("CSV is text") };
        // The text is a string in the JSON that a function answers with.
        [document, csv].map(|body| json!(body).to_string().len())
    }

    #[test]
    fn the_largest_page_is_an_answer_that_a_function_can_give() {
        let name = |number| format!("metadata.{}", longest(number, METADATA_KEY_CHARS_MAX));
        for answer in largest((1..=4).map(|number| name(number).parse().unwrap()).collect()) {
            assert!(answer > ANSWER_BYTES_MAX / 2, "{answer}: {METADATA_JOBS_MAX} jobs are fewer than fit");
            assert!(answer < ANSWER_BYTES_MAX - HEADERS_BYTES, "{answer}");
        }
        for answer in largest(vec![Group::Model, Group::Provider, Group::Key, Group::Status]) {
            assert!(answer < ANSWER_BYTES_MAX - HEADERS_BYTES, "{answer}");
        }
    }
}
