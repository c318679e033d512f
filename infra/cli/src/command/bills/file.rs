//! A bill as a file: CSV, or JSON with one object for each line. Untrusted: every mistake names its line.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use domain::bill::{COST_MAX, Line, Period};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::provider::Provider;
use domain::time::Timestamp;
use serde_json::{Map, Value};

use crate::command::print::plain;

/// The largest file, in bytes.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// What is shown of a cell or of a heading, in characters; and of the headings.
const SHOWN_MAX: usize = 40;
const HEADINGS_MAX: usize = 30;

/// Names of columns instead of the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    id: Option<String>,
    cost: Option<String>,
    at: Option<String>,
    currency: Option<String>,
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for pair in text.split(',') {
            let (name, heading) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name.trim() {
                "id" => &mut columns.id,
                "cost" => &mut columns.cost,
                "at" => &mut columns.at,
                "currency" => &mut columns.currency,
                _ => return Err("must be like id=request_id,cost=amount,at=date,currency=unit".to_owned()),
            };
            let heading = heading.trim();
            if heading.is_empty() || place.replace(heading.to_owned()).is_some() {
                return Err(format!("`{}` must name one column", name.trim()));
            }
        }
        Ok(columns)
    }
}

/// Usual headings, best first; of ids after the provider's own.
const IDS: [&str; 6] = ["request_id", "prediction_id", "task_id", "generation_id", "job_id", "id"];
const COSTS: [&str; 7] = ["cost_total", "total_cost", "cost_usd", "cost", "amount_usd", "amount", "price"];
const TIMES: [&str; 6] = ["timestamp", "created_at", "sent_at", "started_at", "time", "date"];
const CURRENCIES: [&str; 1] = ["currency"];

const fn own_ids(provider: Provider) -> &'static [&'static str] {
    match provider {
        Provider::Replicate => &["prediction_id", "id"],
        Provider::Kling | Provider::KlingLegacy | Provider::Minimax => &["task_id", "id"],
        _ => &[],
    }
}

/// The headings of a bill that are read, by their places.
#[derive(Debug, Clone, Copy)]
struct Places {
    id: usize,
    cost: usize,
    at: Option<usize>,
    currency: Option<usize>,
}

impl Places {
    fn of(headings: &[String], provider: Provider, own: &Columns) -> Result<Self> {
        let place = |own: &Option<String>, usual: &[&str]| {
            let named = |name: &str| {
                let mut found = headings.iter().enumerate().filter(|(_, it)| folded(it) == folded(name));
                match (found.next(), found.next()) {
                    (Some(_), Some(_)) => bail!("two columns are `{}`", shown(name)),
                    (found, _) => Ok(found.map(|(place, _)| place)),
                }
            };
            if let Some(name) = own {
                return named(name)?.map(Some).ok_or_else(|| anyhow!("no column is `{}`", shown(name)));
            }
            for name in usual {
                if let Some(place) = named(name)? {
                    return Ok(Some(place));
                }
            }
            Ok(None)
        };
        let all = || headings.iter().take(HEADINGS_MAX).map(shown).collect::<Vec<_>>().join(", ");
        let missing = |what: &str| {
            anyhow!("no column has the {what}: name it with --columns {what}=…; it has {}", all())
        };
        Ok(Self {
            id: place(&own.id, &[own_ids(provider), &IDS].concat())?.ok_or_else(|| missing("id"))?,
            cost: place(&own.cost, &COSTS)?.ok_or_else(|| missing("cost"))?,
            at: place(&own.at, &TIMES)?,
            currency: place(&own.currency, &CURRENCIES)?,
        })
    }

    /// `cell` returns the text at a place; empty if there is none.
    fn line(self, number: usize, cell: impl Fn(usize) -> String) -> Result<Line> {
        let id = cell(self.id);
        ensure!(!id.is_empty(), "it has no id");
        ensure!(!id.starts_with(['=', '+', '@']), "`{}` is a formula, and no id", shown(&id));
        let remote = RemoteJob::new(&id, None).with_context(|| format!("`{}` is no id", shown(&id)))?;
        let currency = self.currency.map(&cell).unwrap_or_default();
        let is_dollars = currency.is_empty() || currency == "$" || currency.eq_ignore_ascii_case("usd");
        ensure!(is_dollars, "its amount is in `{}`: only dollars can be compared", shown(&currency));
        let at = self.at.map(&cell).filter(|text| !text.is_empty()).map(|text| time(&text)).transpose()?;
        Ok(Line { number, remote: remote.id, at, cost: Some(cost(&cell(self.cost))?) })
    }
}

/// The lines of a bill.
///
/// # Errors
///
/// The first mistake, with its line.
pub(super) fn read(bytes: &[u8], provider: Provider, own: &Columns) -> Result<Vec<Line>> {
    ensure!(bytes.len() <= BYTES_MAX, "it is larger than {BYTES_MAX} bytes");
    let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    ensure!(!is_utf16, "it is UTF-16: save it as UTF-8");
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(text).map_err(|wrong| {
        let line = text[..wrong.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        anyhow!("line {line}: it is not UTF-8")
    })?;
    match text.trim_start().starts_with(['[', '{']) {
        true => of_json(text, provider, own),
        false => of_csv(text, provider, own),
    }
}

fn of_csv(text: &str, provider: Provider, own: &Columns) -> Result<Vec<Line>> {
    let head = text.lines().next().unwrap_or_default();
    let count = |separator: &u8| head.bytes().filter(|b| b == separator).count();
    let separator = [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(separator).trim(Trim::All).from_reader(text.as_bytes());
    let headings: Vec<_> =
        reader.headers().map_err(|wrong| wrong_csv(text, &wrong))?.iter().map(str::to_owned).collect();
    let places = Places::of(&headings, provider, own).context("line 1")?;
    let (mut lines, mut numbers) = (Vec::new(), Numbers { text, byte: 0, line: 1 });
    for record in reader.records() {
        let record: StringRecord = record.map_err(|wrong| wrong_csv(text, &wrong))?;
        let number = numbers.of(record.position());
        let cell = |place| record.get(place).unwrap_or_default().to_owned();
        lines.push(places.line(number, cell).with_context(|| format!("line {number}"))?);
    }
    Ok(lines)
}

/// Counts lines as editors do; the crate counts neither an empty line nor one that ends in two characters.
struct Numbers<'a> {
    text: &'a str,
    /// Up to where lines are counted, and the line there.
    byte: usize,
    line: usize,
}

impl Numbers<'_> {
    /// The line of a record's first cell.
    fn of(&mut self, place: Option<&csv::Position>) -> usize {
        let place = place.and_then(|place| usize::try_from(place.byte()).ok()).unwrap_or_default();
        let rest = self.text.get(place..).unwrap_or_default();
        let start = self.text.len().min(place + rest.len() - rest.trim_start_matches(['\r', '\n']).len());
        let passed = self.text.get(self.byte..start).unwrap_or_default();
        self.line += passed.bytes().filter(|b| *b == b'\n').count();
        self.byte = start;
        self.line
    }
}

/// The crate's own words show the content of a line.
fn wrong_csv(text: &str, wrong: &csv::Error) -> anyhow::Error {
    let line = Numbers { text, byte: 0, line: 1 }.of(wrong.position());
    match wrong.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            anyhow!("line {line}: it has {len} cells, and the first line has {expected_len}")
        }
        _ => anyhow!("line {line}: it is not CSV"),
    }
}

fn of_json(text: &str, provider: Provider, own: &Columns) -> Result<Vec<Line>> {
    let wrong = |wrong: serde_json::Error| anyhow!("line {}: it is not JSON", wrong.line());
    let items = match serde_json::from_str(text).map_err(wrong)? {
        Value::Array(items) => items,
        Value::Object(members) => {
            let mut lists = members.into_iter().filter_map(|(_, value)| match value {
                Value::Array(items) => Some(items),
                _ => None,
            });
            match (lists.next(), lists.next()) {
                (Some(items), None) => items,
                _ => bail!("it must be a list of objects, or an object with one such list"),
            }
        }
        _ => bail!("it must be a list of objects, or an object with one such list"),
    };
    let mut lines = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let number = index + 1;
        let line = of_object(item, number, provider, own).with_context(|| format!("item {number}"))?;
        lines.push(line);
    }
    Ok(lines)
}

fn of_object(item: &Value, number: usize, provider: Provider, own: &Columns) -> Result<Line> {
    let members: &Map<String, Value> = item.as_object().context("it is not an object")?;
    let names: Vec<_> = members.keys().cloned().collect();
    let places = Places::of(&names, provider, own)?;
    let cell = |place: usize| match &members[&names[place]] {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    places.line(number, cell)
}

/// An amount of dollars, with or without the sign.
fn cost(text: &str) -> Result<MicroUsd> {
    let number = text.strip_prefix('$').unwrap_or(text);
    let cost = MicroUsd::from_decimal(number)
        .with_context(|| format!("`{}` is no amount of dollars, like 0.35", shown(text)))?;
    ensure!(cost <= COST_MAX, "`{}` is more than a remote job can cost ({COST_MAX})", shown(text));
    Ok(cost)
}

/// A time of RFC 3339, also without its zone (then UTC), or seconds or milliseconds since 1970: a moment; or a day
/// of UTC, all of it.
fn time(text: &str) -> Result<Period> {
    /// Of a number, from here on milliseconds: seconds would be after the year 5000.
    const MILLIS_MIN: i64 = 100_000_000_000;
    /// A smaller number is no time: as seconds it is before the year 2001, and `20231115` is a day.
    const SECONDS_MIN: i64 = 1_000_000_000;
    if let Some(midnight) = Timestamp::of_day(text) {
        return Ok(Period::day(midnight));
    }
    let number = text.parse::<i64>().ok().filter(|it| (SECONDS_MIN..MILLIS_MIN * 1_000).contains(it));
    let of_number = |number| match number < MILLIS_MIN {
        true => Timestamp::from_secs(number),
        false => Timestamp::from_millis(number),
    };
    let at = number.map(of_number).or_else(|| Timestamp::parse(text));
    let at = at.or_else(|| Timestamp::parse(&format!("{}Z", text.trim_end_matches(" UTC"))));
    at.map(Period::at).with_context(|| format!("`{}` is no time, like 2026-11-30T08:00:00Z", shown(text)))
}

/// A heading as it is compared: `Cost (USD)` is `cost_usd`.
fn folded(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

/// The beginning of untrusted text, for a terminal.
fn shown(text: impl Display) -> String {
    plain(&text.to_string()).chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, remote job, start and length of its time in milliseconds, and micro-dollars of a line.
    type Read = (usize, String, Option<(i64, u128)>, u64);

    fn lines(text: impl AsRef<[u8]>, columns: &str) -> Result<Vec<Read>, String> {
        let own = if columns.is_empty() { Columns::default() } else { columns.parse()? };
        let read = read(text.as_ref(), Provider::Fal, &own).map_err(|wrong| format!("{wrong:#}"))?;
        let at = |at: Period| (at.since.as_millis(), at.until.since(at.since).as_millis());
        let line = |line: Line| (line.number, line.remote, line.at.map(at), line.cost.unwrap().0);
        Ok(read.into_iter().map(line).collect())
    }

    fn a(number: usize, at: Option<(i64, u128)>) -> Vec<Read> {
        vec![(number, "a-1".to_owned(), at, 350_000)]
    }

    #[test]
    fn a_bill_is_read_by_its_headings_in_csv_and_json() {
        let moment = Some((1_700_006_400_000, 1));
        let day = Some((1_700_006_400_000, 86_400_000));
        for (text, columns, want) in [
            ("request_id,cost\na-1,0.35\n", "", a(2, None)),
            ("\u{feff}Request ID;Cost (USD);Date\r\n\"a-1\" ; $0.35 ;2023-11-15\r\n", "", a(2, day)),
            ("id\tamount\ttimestamp\tcurrency\na-1\t.35\t1700006400\tusd\n", "", a(2, moment)),
            ("id,cost,cost_total,at\na-1,9,0.35,\n", "", a(2, None)),
            ("id,other,when,price\nx,a-1,2023-11-15 00:00:00,0.35", "id=other,at=WHEN", a(2, moment)),
            ("request_id,note,cost\n\"a-1\",\"two\nlines, =1+1\",0.35\n", "", a(2, None)),
            (
                r#"[{"request_id": "a-1", "cost_total": 0.35, "timestamp": "2023-11-15T00:00:00Z"}]"#,
                "",
                a(1, moment),
            ),
            (
                r#"{"has_more": false, "billing_events": [{"id": "a-1", "cost": "0.35", "time": 1700006400000}]}"#,
                "",
                a(1, moment),
            ),
            ("request_id,cost\n", "", vec![]),
            ("[]", "", vec![]),
        ] {
            assert_eq!(lines(text, columns), Ok(want), "{text}");
        }
    }

    #[test]
    fn every_mistake_names_its_line_and_what_would_be_right() {
        let long = format!("request_id,cost\n{},1\n", "x".repeat(5_000));
        for (text, columns, wrong) in [
            ("", "", "line 1: no column has the id: name it with --columns id=…"),
            (
                "id,note\na,b\n",
                "",
                "line 1: no column has the cost: name it with --columns cost=…; it has id, note",
            ),
            ("id,cost\na,1\n", "id=key", "line 1: no column is `key`"),
            ("id,cost,Cost\na,1,2\n", "", "line 1: two columns are `cost`"),
            ("id,cost\na,1\nb\n", "", "line 3: it has 1 cells, and the first line has 2"),
            ("id,cost\na,1\n\n,2\n", "", "line 4: it has no id"),
            ("id,cost\na b,1\n", "", "line 2: `a b` is no id"),
            ("id,cost\n\"=HYPERLINK(1)\",1\n", "", "line 2: `=HYPERLINK(1)` is a formula, and no id"),
            ("id,cost\na,-0.5\n", "", "line 2: `-0.5` is no amount of dollars, like 0.35"),
            ("id,cost\na,\n", "", "line 2: `` is no amount of dollars"),
            ("id,cost\na,\"0,35\"\n", "", "line 2: `0,35` is no amount of dollars"),
            ("id,cost\na,€1\n", "", "line 2: `€1` is no amount of dollars"),
            (
                "id,cost\na,100001\n",
                "",
                "line 2: `100001` is more than a remote job can cost ($100000.000000)",
            ),
            (
                "id,cost,currency\na,1,EUR\n",
                "",
                "line 2: its amount is in `EUR`: only dollars can be compared",
            ),
            ("id,cost,date\na,1,soon\n", "", "line 2: `soon` is no time, like 2026-11-30T08:00:00Z"),
            ("id,cost,date\na,1,9223372036854775807\n", "", "is no time"),
            ("id,cost,date\na,1,20231115\n", "", "`20231115` is no time"),
            (&long, "", "line 2: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is no id"),
            ("id,cost\n\u{1b}[31mred,1\n", "", "line 2: `\\u001b[31mred` is no id"),
            ("[{\"id\": \"a\"}]", "", "item 1: no column has the cost"),
            ("[{\"id\": \"a\", \"cost\": 1}, 7]", "", "item 2: it is not an object"),
            ("[{\"id\": [], \"cost\": 1}]", "", "item 1: it has no id"),
            ("[{\"id\": \"a\",\n \"cost\": NaN}]", "", "line 2: it is not JSON"),
            ("{\"a\": [], \"b\": []}", "", "an object with one such list"),
            ("{\"error\": \"no\"}", "", "an object with one such list"),
            ("id,cost\na,1\n", "price=cost", "must be like id=request_id"),
            ("id,cost\na,1\n", "id=", "`id` must name one column"),
            ("id,cost\na,1\n", "id=a,id=b", "`id` must name one column"),
        ] {
            let found = lines(text, columns).unwrap_err();
            assert!(found.contains(wrong), "{text}: {found}");
        }
        assert_eq!(lines(b"\xff\xfei\0d\0", "").unwrap_err(), "it is UTF-16: save it as UTF-8");
        assert_eq!(lines(b"id,cost\na,1\n\xe9,1\n", "").unwrap_err(), "line 3: it is not UTF-8");
        assert!(lines(vec![b' '; BYTES_MAX + 1], "").unwrap_err().contains("larger than"));
    }
}
