use super::*;
use crate::credit::Credits;
use crate::id::JobId;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn record(n: u8, at: Timestamp, price: u64) -> Record {
    let id = JobId::from_bytes([n; 16]);
    let account = "acct_anna".parse().unwrap();
    let job = Job::new(id, account, "veo-3.1".to_owned(), Credits::from_micros(price), String::new(), at);
    Record { job, request: JobRequest::default(), key: None }
}

#[test]
fn a_time_is_in_the_bucket_that_starts_before_it() {
    let now = at("2026-11-30T10:59:59.999Z");
    assert_eq!(Width::Hour.start(now), at("2026-11-30T10:00:00Z"));
    assert_eq!(Width::Day.start(now), at("2026-11-30T00:00:00Z"));
    assert_eq!(Width::Day.start_from(now), at("2026-12-01T00:00:00Z"));
    assert_eq!(Width::Day.start_from(at("2026-12-01T00:00:00Z")), at("2026-12-01T00:00:00Z"));
}

#[test]
fn a_group_is_read_as_it_is_printed_and_nothing_else_is_one() {
    for text in ["model", "provider", "key", "status", "metadata.order", "metadata.a.b"] {
        assert_eq!(text.parse::<Group>().unwrap().to_string(), text);
    }
    for text in ["", "Model", "metadata", "metadata.", &format!("metadata.{}", "x".repeat(65)), "account"] {
        assert_eq!(text.parse::<Group>(), Err(InvalidGroup), "{text}");
    }
}

#[test]
fn jobs_add_up_by_bucket_and_group() {
    let mut usage =
        Usage::new(Width::Hour, vec![Group::Model, Group::Provider, Group::Metadata("a".to_owned())]);
    let first = at("2026-11-30T10:00:00Z");
    usage.add(&record(1, first, 5));
    usage.add(&record(2, at("2026-11-30T10:59:59.999Z"), 7));
    usage.add(&record(3, at("2026-11-30T11:00:00Z"), 11));
    let results: Vec<_> = usage.results(first).collect();
    let values = [Some("veo-3.1".to_owned()), None, None];
    assert_eq!(results, [(&values[..], &Sums { jobs: 2, charged: 12, ..Sums::default() })]);
    assert_eq!((usage.net(), usage.results(at("2026-11-30T12:00:00Z")).count()), (23, 0));
}

#[test]
fn a_month_is_projected_in_proportion_to_the_time_that_has_passed() {
    let (start, end) = at("2026-11-30T10:00:00Z").month().unwrap();
    assert_eq!((start, end), (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
    let december = at("2026-12-31T23:59:59Z").month().unwrap();
    assert_eq!(december, (at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z")));
    assert_eq!(project(100, start, at("2026-11-16T00:00:00Z"), end), 200);
    assert_eq!(project(100, start, end, end), 100);
    assert_eq!(project(100, start, start, end), 100, "nothing has passed");
    assert_eq!(project(u64::MAX, start, start + Duration::from_millis(1), end), u64::MAX);
}

#[test]
fn a_cell_is_no_formula_and_stays_one_cell() {
    for (text, written) in [
        ("veo-3.1", "veo-3.1"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\t=1", "'\t=1"),
        ("a,b", "\"a,b\""),
        ("=\"a\"", "\"'=\"\"a\"\"\""),
        ("a\nb", "\"a\nb\""),
        ("", ""),
    ] {
        assert_eq!(cell(text), written);
    }
}
