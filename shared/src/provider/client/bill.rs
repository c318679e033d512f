//! Lists of what an account was billed for, or had made, through all their pages.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::transport::Timer;
use super::{Credentials, ProviderClient};
use crate::provider::adapters::adapter;
use crate::provider::bill::{Bill, BillOf, BillPage, NoList};
use crate::provider::call::{Answer, Call};
use crate::provider::credential::CredentialId;
use crate::provider::outcome::busy;
use crate::provider::reading::says;
use domain::bill::Line;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};

/// Pages of all parts of a list.
const PAGES_MAX: usize = 2_000;
/// Tries of a page while the provider is busy.
const TRIES_MAX: u32 = 5;
/// The longest pause between two of them, and the one where the provider names none.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

impl ProviderClient {
    /// All lines of the list, numbered from 1. For operators: it waits while the provider is busy, and reads as
    /// many pages as there are. Of a list without amounts, which may repeat itself while it grows, each remote
    /// job is there once.
    ///
    /// # Errors
    ///
    /// If any page is missing: half a bill is none. An endpoint that the provider does not know is left out.
    pub async fn bill(
        &self,
        credential: impl Into<CredentialId>,
        of: &BillOf<'_>,
        now: Timestamp,
    ) -> Result<Bill, NoList> {
        let credential = &credential.into();
        let all = self.lines(credential, of, now).await?.map(|lines| vec![lines]);
        let one = async |endpoint: &str| {
            self.lines(credential, &BillOf { endpoints: vec![endpoint], ..of.clone() }, now).await
        };
        let (parts, unknown) = of_endpoints(&of.endpoints, all, one).await?;
        let mut lines: Vec<Line> = parts.into_iter().flatten().collect();
        let mut made = HashSet::new();
        if lines.iter().all(|line| line.cost.is_none()) {
            lines.retain(|line| made.insert(line.remote.clone()));
        }
        lines.iter_mut().enumerate().for_each(|(index, line)| line.number = index + 1);
        let known = of.endpoints.iter().filter(|it| !unknown.contains(**it)).map(|it| (*it).to_owned());
        let endpoints = is_by_endpoint(credential, of).then(|| known.collect());
        Ok(Bill { lines, endpoints })
    }

    /// The lines of all pages; `None` if the list is by endpoint, and the provider does not know one of them.
    async fn lines(
        &self,
        credential: &CredentialId,
        of: &BillOf<'_>,
        now: Timestamp,
    ) -> Result<Option<Vec<Line>>, NoList> {
        let adapter = adapter(credential.provider);
        let (mut lines, mut pages) = (Vec::new(), 0);
        for part in 0.. {
            let Some(mut call) = adapter.bill(of, part, None) else { break };
            let mut cursor: Option<String> = None;
            loop {
                pages += 1;
                if pages > PAGES_MAX {
                    return Err(NoList::TooLong(PAGES_MAX));
                }
                let answer = self.patient(credential, "bill", call, now).await?;
                if answer.says_not_found() && is_by_endpoint(credential, of) {
                    return Ok(None);
                }
                if !answer.is_ok() {
                    return Err(refused(&answer));
                }
                let page = adapter.read_bill(of, cursor.as_deref(), &answer).ok_or(NoList::Unreadable)?;
                let BillPage { lines: more, next } = page;
                lines.extend(more);
                let Some(next) = next else { break };
                if cursor.as_ref() == Some(&next) {
                    return Err(NoList::Unreadable);
                }
                call = adapter.bill(of, part, Some(&next)).ok_or(NoList::Unlisted)?;
                cursor = Some(next);
            }
        }
        if pages == 0 {
            return Err(NoList::Unlisted);
        }
        Ok(Some(lines))
    }

    /// The answer to a free call, which is made again while the provider is busy.
    #[expect(clippy::disallowed_methods, reason = "an operator waits, a minute at most, five times")]
    pub(super) async fn patient(
        &self,
        credential: &CredentialId,
        what: &'static str,
        call: Call,
        now: Timestamp,
    ) -> Result<Answer, NoList> {
        for tried in 1.. {
            let timer = Timer::start(credential.provider, what);
            let sent = self.send(credential, call.clone(), Credentials::Key(now), self.timeouts.create).await;
            let is_ok = sent.as_ref().is_ok_and(Answer::is_ok);
            timer.log(&sent, (if is_ok { "listed" } else { "unreadable" }, ""));
            let answer = sent.map_err(|lost| NoList::NoAnswer(lost.cause()))?;
            let pause = busy(answer.status, &answer.headers, now);
            match pause.or((answer.status == 429).then_some(PAUSE)).filter(|_| tried < TRIES_MAX) {
                Some(pause) => tokio::time::sleep(pause.min(PAUSE_MAX)).await,
                None => return Ok(answer),
            }
        }
        unreachable!("the last try returns")
    }
}

/// Whether the list is asked for by endpoint: without any there is nothing to ask for.
fn is_by_endpoint(credential: &CredentialId, of: &BillOf<'_>) -> bool {
    adapter(credential.provider).bill(&BillOf { endpoints: Vec::new(), ..of.clone() }, 0, None).is_none()
}

/// What was answered for all endpoints at once; without, since one that the provider does not know spoils that
/// answer, the answers for each alone, and the endpoints that are unknown.
pub(super) async fn of_endpoints<T>(
    endpoints: &[&str],
    all: Option<Vec<T>>,
    one: impl AsyncFn(&str) -> Result<Option<T>, NoList>,
) -> Result<(Vec<T>, BTreeSet<String>), NoList> {
    if let Some(all) = all {
        return Ok((all, BTreeSet::new()));
    }
    let (mut found, mut unknown) = (Vec::new(), BTreeSet::new());
    for endpoint in endpoints {
        match one(endpoint).await? {
            Some(answer) => found.push(answer),
            None => drop(unknown.insert((*endpoint).to_owned())),
        }
    }
    Ok((found, unknown))
}

/// With the provider's own words, cleaned as those of a failure are.
pub(super) fn refused(answer: &Answer) -> NoList {
    let body = answer.object().unwrap_or_default();
    let fault = Fault::new(ErrorClass::Unknown, None, Billed::No).saying(says(&body));
    let says = fault.words.unwrap_or_else(|| answer.cause().to_owned());
    NoList::Refused { status: answer.status, says }
}

#[cfg(test)]
mod tests {
    use domain::bill::Period;
    use domain::credit::MicroUsd;
    use domain::provider::Provider;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::tests::server::{NOW, Reply, Server, answer, client};

    const PERIOD: Period = Period { since: Timestamp::from_secs(60), until: NOW };

    async fn listed(
        provider: Provider,
        is_admin: bool,
        replies: Vec<Reply>,
    ) -> (Result<Vec<Line>, NoList>, Vec<String>) {
        let server = Server::start(replies);
        let of = BillOf { period: PERIOD, endpoints: vec!["a/b", "a/c"], is_admin };
        let found = client(provider, &server.url).bill(provider, &of, NOW).await;
        let first = |request: &String| request.split(' ').nth(1).unwrap_or_default().to_owned();
        (found.map(|bill| bill.lines), server.read().iter().map(first).collect())
    }

    fn page(body: &Value) -> Reply {
        answer(200, "", &body.to_string())
    }

    fn event(id: &str, cost: Value) -> Value {
        json!({"request_id": id, "timestamp": "2023-11-14T22:00:00Z", "cost_total": cost})
    }

    #[tokio::test]
    async fn a_bill_has_every_line_of_every_page_with_its_amount() {
        let replies = vec![
            page(&json!({"billing_events": [event("a", json!(0.4)), event("b", json!("1.05"))],
                         "has_more": true, "next_cursor": "2"})),
            answer(429, "retry-after: 0\r\n", ""),
            page(&json!({"billing_events": [event("a", json!(0.4)), event("c", json!(4.5e-5))],
                         "has_more": false, "next_cursor": null})),
        ];
        let (lines, calls) = listed(Provider::Fal, true, replies).await;
        let lines: Vec<_> = lines.unwrap().into_iter().map(|it| (it.number, it.remote, it.cost)).collect();
        let line = |number, id: &str, micros| (number, id.to_owned(), Some(MicroUsd(micros)));
        assert_eq!(
            lines,
            [line(1, "a", 400_000), line(2, "b", 1_050_000), line(3, "a", 400_000), line(4, "c", 45)]
        );
        let start = "/v1/models/billing-events?limit=1000&start=1970-01-01T00%3A01%3A00.000Z&end=2023-11-14T22%3A13%3A20.000Z";
        assert_eq!(calls, [start.to_owned(), format!("{start}&cursor=2"), format!("{start}&cursor=2")]);
    }

    #[tokio::test]
    async fn what_was_made_has_no_amount_and_each_remote_job_once() {
        let item = |id: &str| json!({"request_id": id, "sent_at": "2023-11-14T22:00:00Z"});
        let replies = vec![
            page(&json!({"items": [item("a"), item("b")], "has_more": true, "next_cursor": "Mg=="})),
            page(&json!({"items": [item("b"), item("c")], "has_more": false, "next_cursor": null})),
        ];
        let (lines, calls) = listed(Provider::Fal, false, replies).await;
        let lines: Vec<_> = lines.unwrap().into_iter().map(|line| (line.remote, line.cost)).collect();
        assert_eq!(lines, ["a", "b", "c"].map(|id| (id.to_owned(), None)));
        assert!(calls[0].starts_with("/v1/models/requests/by-endpoint?endpoint_id=a%2Fb%2Ca%2Fc&limit=100&"));
        assert!(calls[1].ends_with("&cursor=Mg%3D%3D"));

        let item = |id: &str| json!({"id": id, "created_at": "2023-11-14T22:00:00Z"});
        let next = "https://elsewhere.example/v1/predictions?cursor=abc";
        let replies = vec![
            page(&json!({"results": [item("a")], "next": next})),
            page(&json!({"results": [item("b")], "next": null})),
        ];
        let (lines, calls) = listed(Provider::Replicate, false, replies).await;
        assert_eq!(lines.unwrap().len(), 2);
        assert!(calls[1].starts_with("/v1/predictions?created_after=") && calls[1].ends_with("&cursor=abc"));
    }

    /// What a bill repeats is billed twice, also where one line has no amount.
    #[tokio::test]
    async fn only_a_list_without_any_amount_may_repeat_itself() {
        for (amount, count) in [(json!(0.4), 3), (Value::Null, 2)] {
            let events = json!([event("a", amount), event("b", Value::Null), event("b", Value::Null)]);
            let replies = vec![page(&json!({"billing_events": events, "has_more": false}))];
            assert_eq!(listed(Provider::Fal, true, replies).await.0.unwrap().len(), count);
        }
    }

    /// Also where the list is of other endpoints: one that the provider no longer knows ends no comparison.
    #[tokio::test]
    async fn an_endpoint_that_is_not_known_is_left_out_of_a_list_by_endpoint() {
        let item = |id: &str| json!({"request_id": id, "sent_at": "2023-11-14T22:00:00Z"});
        let unknown = || answer(404, "", r#"{"error": {"type": "not_found"}}"#);
        let server = Server::start(vec![
            unknown(),
            page(&json!({"items": [item("a")], "has_more": true, "next_cursor": "2"})),
            page(&json!({"items": [item("a"), item("b")], "has_more": false})),
            unknown(),
        ]);
        let of = BillOf { period: PERIOD, endpoints: vec!["a/b", "a/c"], is_admin: false };
        let bill = client(Provider::Fal, &server.url).bill(Provider::Fal, &of, NOW).await.unwrap();
        let lines: Vec<_> = bill.lines.iter().map(|line| (line.number, &*line.remote)).collect();
        assert_eq!((lines, bill.endpoints), (vec![(1, "a"), (2, "b")], Some(["a/b".to_owned()].into())));
        let asked: Vec<_> = server.read().iter().map(|it| it.contains("endpoint_id=a%2Fc&")).collect();
        assert_eq!(asked, [false, false, false, true]);

        // A proxy's page, and a list of another kind.
        for (provider, body) in [(Provider::Fal, "<html>"), (Provider::Replicate, r#"{"detail": "none"}"#)] {
            let (found, _) = listed(provider, false, vec![answer(404, "", body)]).await;
            assert!(matches!(found, Err(NoList::Refused { status: 404, .. })), "{found:?}");
        }
    }

    /// MiniMax lists the newest first, and takes no period.
    #[tokio::test]
    async fn a_list_without_a_period_is_read_until_the_period_begins() {
        let task = |id: u32, at: i64| json!({"id": id, "created_at": at});
        let full: Vec<_> = (0..100).map(|id| task(id, NOW.as_secs() - 1)).collect();
        let replies = vec![
            page(&json!({"items": full, "total": 250})),
            page(&json!({"items": [task(100, 59), task(101, 58)], "total": 250})),
        ];
        let (lines, calls) = listed(Provider::Minimax, false, replies).await;
        assert_eq!(lines.unwrap().len(), 102);
        let path = |page: u8| format!("/v2/query/video_generation?page_num={page}&page_size=100");
        assert_eq!(calls, [path(1), path(2)]);
    }

    #[tokio::test]
    async fn half_a_bill_is_none() {
        let more = || page(&json!({"billing_events": [], "has_more": true, "next_cursor": "2"}));
        let odd = |events: Value| page(&json!({"billing_events": events, "has_more": false}));
        let says = r#"{"error": {"type": "authorization_error", "message": "Admin\u0007 key required"}}"#;
        for (replies, want) in [
            (vec![more(), Reply::Cut], NoList::NoAnswer("connection_lost")),
            (vec![more(), more()], NoList::Unreadable),
            (vec![odd(json!("none"))], NoList::Unreadable),
            (vec![odd(json!([event("", json!(1))]))], NoList::Unreadable),
            (vec![odd(json!([event("a", json!(-1))]))], NoList::Unreadable),
            (vec![answer(200, "", "<html>")], NoList::Unreadable),
            (
                vec![answer(403, "", says)],
                NoList::Refused { status: 403, says: "Admin key required".to_owned() },
            ),
            (
                (0..TRIES_MAX).map(|_| answer(429, "retry-after: 0\r\n", "")).collect(),
                NoList::Refused { status: 429, says: "rate_limited".to_owned() },
            ),
        ] {
            assert_eq!(listed(Provider::Fal, true, replies).await.0, Err(want));
        }
        assert_eq!(listed(Provider::Runway, true, Vec::new()).await.0, Err(NoList::Unlisted));
    }
}
