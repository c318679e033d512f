//! Look-up of unconfirmed creates, through all pages of a list.

use super::transport::Timer;
use super::{Credentials, ProviderClient};
use crate::provider::adapter::LookUp;
use crate::provider::adapters::adapter;
use crate::provider::call::Answer;
use crate::provider::credential::CredentialId;
use crate::provider::order::Lost;
use crate::provider::outcome::{Found, Seen, busy};
use domain::id::RemoteJob;
use domain::time::Timestamp;

/// How many pages of a list a look-up reads: a thousand remote jobs, more than any provider lets
/// us make within the time that one is looked for.
const PAGES_MAX: usize = 10;

/// The maximum number of remote jobs of a look-up.
const ALIKE_MAX: usize = 100;

impl ProviderClient {
    /// Looks for the remote job of an attempt whose create answer was lost, on as many pages as
    /// there are, up to `PAGES_MAX`: what is missing from half a list may be in the other half.
    pub async fn look_up(
        &self,
        credential: impl Into<CredentialId>,
        lost: &Lost<'_>,
        now: Timestamp,
    ) -> Found {
        self.look_within(&credential.into(), lost, now, |_| ()).await
    }

    /// Whether a reported remote job belongs to an unconfirmed create: by callback URL, Genmux's
    /// reference, or input and time.
    pub async fn is_of(
        &self,
        credential: impl Into<CredentialId>,
        lost: &Lost<'_>,
        reported: &RemoteJob,
        now: Timestamp,
    ) -> Seen {
        let credential = &credential.into();
        let kind = adapter(credential.provider).capabilities().look_up;
        if kind == LookUp::Never {
            return Seen::Nowhere;
        }
        let (name, mut is_listed) = (format!("\"{}\"", reported.id), false);
        let see = |answer: &Answer| {
            let mut windows = answer.body.windows(name.len());
            is_listed |= windows.any(|text| text == name.as_bytes());
        };
        let found = self.look_within(credential, lost, now, see).await;
        let is_reported = |remote: &RemoteJob| remote.id == reported.id;
        match found {
            Found::Job(remote) if is_reported(&remote) => Seen::Ours(remote),
            Found::Job(_) => Seen::Another,
            Found::Alike(all) => match all.into_iter().find(is_reported) {
                Some(remote) => Seen::Ours(remote),
                None if is_listed => Seen::Another,
                None => Seen::NotYet,
            },
            Found::Nothing if is_listed || kind == LookUp::Certain => Seen::Another,
            Found::Nothing | Found::Busy(_) | Found::Unreadable(_) => Seen::NotYet,
        }
    }

    async fn look_within(
        &self,
        credential: &CredentialId,
        lost: &Lost<'_>,
        now: Timestamp,
        see: impl FnMut(&Answer),
    ) -> Found {
        let pages = self.look_through(credential, lost, now, see);
        let found = tokio::time::timeout(self.timeouts.ask * 2, pages).await;
        found.unwrap_or(Found::Unreadable("timeout"))
    }

    async fn look_through(
        &self,
        credential: &CredentialId,
        lost: &Lost<'_>,
        now: Timestamp,
        mut see: impl FnMut(&Answer),
    ) -> Found {
        let adapter = adapter(credential.provider);
        if !lost.order.has_endpoint() {
            return Found::Unreadable("no_endpoint");
        }
        let Some(mut call) = adapter.look_up(lost) else { return Found::Unreadable("no_such_call") };
        let mut alike: Vec<RemoteJob> = Vec::new();
        for _ in 0..PAGES_MAX {
            let timer = Timer::start(credential.provider, "look_up");
            let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ask).await;
            let page = match &sent {
                Ok(answer) => {
                    see(answer);
                    let page = adapter.read_look_up(lost, answer);
                    match (&page.found, busy(answer.status, &answer.headers, now)) {
                        (Found::Unreadable(_), Some(wait)) => Found::Busy(wait).into(),
                        _ => page,
                    }
                }
                Err(lost) => Found::Unreadable(lost.cause()).into(),
            };
            timer.log(&sent, page.found.summary());
            match page.found {
                Found::Nothing => {}
                // A list that grows from its head may repeat itself on the next page.
                Found::Alike(more) => more.into_iter().for_each(|remote| {
                    if !alike.contains(&remote) {
                        alike.push(remote);
                    }
                }),
                found @ (Found::Job(_) | Found::Busy(_) | Found::Unreadable(_)) => return found,
            }
            match page.next {
                Some(next) => call = next,
                None if alike.is_empty() => return Found::Nothing,
                None if alike.len() > ALIKE_MAX => return Found::Unreadable("too_many_alike"),
                None => return Found::Alike(alike),
            }
        }
        Found::Unreadable("list_too_long")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::provider::adapters::model_input::model_input;
    use crate::provider::order::CreateOrder;
    use crate::provider::tests::server::{NOW, Reply, Server, answer, client};
    use domain::catalog::Catalog;
    use domain::provider::Provider;
    use domain::request::{JobRequest, Order};

    /// What a look-up at fal comes to, and the requests that it took. Each page has the remote
    /// jobs of these numbers, all made at the time with the input that was lost.
    async fn look_up(pages: &[&[usize]], then: Option<Reply>) -> (Found, Vec<String>) {
        let catalog = Catalog::for_providers(Provider::ALL);
        let order = Order { model: "pika-2.2".to_owned(), prompt: "a boat".to_owned(), ..Order::default() };
        let request = JobRequest::new(order, &catalog).unwrap();
        let route = catalog.route("fal/fal-ai/pika/v2.2/text-to-video").unwrap();
        let lost = Lost { order: CreateOrder::new(&request, route, "job_a.1"), started_at: NOW };
        let item = |number: &usize| {
            json!({"request_id": format!("r{number}"), "endpoint_id": route.endpoint,
                   "sent_at": NOW.to_string(), "json_input": model_input(&lost.order)})
        };
        let last = if then.is_some() { pages.len() } else { pages.len() - 1 };
        let page = |(index, numbers): (usize, &&[usize])| {
            let items: Vec<Value> = numbers.iter().map(item).collect();
            let body = json!({"items": items, "has_more": index < last, "next_cursor": format!("c{index}")});
            answer(200, "", &body.to_string())
        };
        let replies = pages.iter().enumerate().map(page).chain(then).collect();
        let server = Server::start(replies);
        let found = client(Provider::Fal, &server.url).look_up(Provider::Fal, &lost, NOW).await;
        (found, server.read())
    }

    fn alike(numbers: impl IntoIterator<Item = usize>) -> Found {
        let remote = |number| RemoteJob::new(&format!("r{number}"), None).unwrap();
        Found::Alike(numbers.into_iter().map(remote).collect())
    }

    #[tokio::test]
    async fn a_reported_job_is_ours_if_it_is_listed_with_our_input_and_time() {
        let catalog = Catalog::for_providers(Provider::ALL);
        let order = Order { model: "pika-2.2".to_owned(), prompt: "a boat".to_owned(), ..Order::default() };
        let request = JobRequest::new(order, &catalog).unwrap();
        let route = catalog.route("fal/fal-ai/pika/v2.2/text-to-video").unwrap();
        let lost = Lost { order: CreateOrder::new(&request, route, "job_a.1"), started_at: NOW };
        let item = |id: &str, input: Value| json!({"request_id": id, "endpoint_id": route.endpoint, "sent_at": NOW.to_string(), "json_input": input});
        let job = |id: &str| RemoteJob::new(id, None).unwrap();
        let items = [item("ours", model_input(&lost.order)), item("theirs", json!({"prompt": "a goat"}))];
        let list = json!({"items": items, "has_more": false}).to_string();
        let server = Server::start(vec![
            answer(200, "", &list),
            answer(200, "", &list),
            answer(200, "", &list),
            Reply::Cut,
        ]);
        let client = client(Provider::Fal, &server.url);
        for (id, want) in [
            ("ours", Seen::Ours(job("ours"))),
            ("theirs", Seen::Another),
            ("unlisted", Seen::NotYet),
            ("ours", Seen::NotYet),
        ] {
            assert_eq!(client.is_of(Provider::Fal, &lost, &job(id), NOW).await, want, "{id}");
        }
        assert_eq!(client.is_of(Provider::Minimax, &lost, &job("any"), NOW).await, Seen::Nowhere);
    }

    #[tokio::test]
    async fn all_pages_are_read_and_what_is_on_two_counts_once() {
        let (found, requests) = look_up(&[&[1, 2], &[], &[2, 3]], None).await;
        assert_eq!(found, alike(1..=3));
        let cursors = requests.iter().map(|text| {
            let (_, query) = text.lines().next().unwrap().split_once("limit=100").unwrap();
            query.split(' ').next().unwrap().to_owned()
        });
        assert_eq!(cursors.collect::<Vec<_>>(), ["", "&cursor=c0", "&cursor=c1"]);
    }

    #[tokio::test]
    async fn nothing_is_found_only_where_the_whole_list_was_read() {
        assert_eq!(look_up(&[&[], &[]], None).await.0, Found::Nothing);
        for (cut, cause) in [(Reply::Cut, "connection_lost"), (answer(502, "", ""), "server_error")] {
            assert_eq!(look_up(&[&[1]], Some(cut)).await.0, Found::Unreadable(cause));
        }
    }

    #[tokio::test]
    async fn who_is_overloaded_and_says_for_how_long_is_busy() {
        let header = "retry-after: 30\r\n";
        for (status, found) in [
            (429, Found::Busy(Duration::from_secs(30))),
            (503, Found::Busy(Duration::from_secs(30))),
            (502, Found::Unreadable("server_error")),
        ] {
            assert_eq!(look_up(&[&[1]], Some(answer(status, header, ""))).await.0, found);
        }
        let untold = look_up(&[&[1]], Some(answer(503, "", ""))).await.0;
        assert!(matches!(untold, Found::Unreadable(_)), "{untold:?}");
    }

    #[tokio::test]
    async fn a_list_without_an_end_and_a_crowd_of_alike_ones_are_not_read() {
        let pages: Vec<&[usize]> = vec![&[1]; PAGES_MAX + 1];
        let (found, requests) = look_up(&pages, None).await;
        assert_eq!((found, requests.len()), (Found::Unreadable("list_too_long"), PAGES_MAX));
        let crowd: Vec<usize> = (0..=ALIKE_MAX).collect();
        assert_eq!(look_up(&[&crowd[1..]], None).await.0, alike(1..=ALIKE_MAX));
        assert_eq!(look_up(&[&crowd], None).await.0, Found::Unreadable("too_many_alike"));
    }
}
