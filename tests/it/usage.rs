//! Usage: sums over jobs that are what the ledger and the attempts say.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::credit::Credits;
use domain::id::AccountId;
use domain::job::State;
use domain::time::Timestamp;
use domain::usage::{Usage, Width};
use harness::{Answer, World, how_many};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::keystore::Scope;
use shared::store::usage::UsageStore;

const SUMS: [&str; 7] =
    ["jobs", "succeeded", "failed", "canceled", "seconds", "charged_micro_credits", "refunded_micro_credits"];

async fn get(world: &World, query: &str) -> Answer {
    world.call(Method::GET, &format!("/v1/usage?{query}"), &[], None).await
}

/// The results of all pages of a query, each with the start of its bucket.
async fn all(world: &World, query: &str) -> Vec<(i64, Value)> {
    let (mut found, mut page) = (Vec::new(), String::new());
    for _ in 0..100 {
        let answer = get(world, &format!("{query}{page}")).await;
        assert_eq!((answer.status.as_u16(), answer.text("/object")), (200, "page"), "{answer:?}");
        for bucket in answer.body["data"].as_array().unwrap() {
            let start = bucket["start_time"].as_i64().unwrap();
            let results = bucket["results"].as_array().unwrap().iter();
            found.extend(results.map(|result| (start, result.clone())));
        }
        assert_eq!(answer.body["has_more"], !answer.body["next_page"].is_null());
        if answer.body["next_page"].is_null() {
            return found;
        }
        page = format!("&page={}", answer.text("/next_page"));
    }
    panic!("the pages never end");
}

fn sum<'a>(results: impl IntoIterator<Item = &'a (i64, Value)>) -> [u64; 7] {
    let mut sums = [0; 7];
    for (_, result) in results {
        for (sum, name) in sums.iter_mut().zip(SUMS) {
            *sum += result[name].as_u64().unwrap();
        }
    }
    sums
}

/// Submits jobs of several models, keys and days, and lets each end in its way.
async fn with_jobs(world: &World, count: usize) -> Vec<String> {
    let other = world.new_key(&world.account, vec![Scope::Read, Scope::Write]).await;
    let keys = [format!("Bearer {}", world.key), format!("Bearer {other}")];
    let mut ids = Vec::new();
    for n in 0..count {
        let model = ["pika-2.2", "gen-4.5", "veo-3.1"][n % 3];
        let ends = ["", " [[sim: fail=content_policy]]", " [[sim: fail=internal, only=fal]]", ""][n % 4];
        let customer = ["=anna", "ben"][n % 2];
        let order =
            json!({"model": model, "prompt": format!("a boat{ends}"), "metadata": {"customer": customer}});
        let headers = [("authorization", keys[n % 2].as_str())];
        let answer = world.call(Method::POST, "/v1/jobs", &headers, Some(&order.to_string())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.text("/id").to_owned());
        if n % 5 == 4 {
            world.cancel(&ids[n].parse().unwrap()).await;
        }
        world.advance(Duration::from_secs(97)).await;
    }
    for id in &ids {
        world.finish(&id.parse().unwrap()).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_what_the_ledger_and_the_attempts_say_in_every_group_and_on_every_page() {
    let world = World::new().await;
    let first = world.clock.now();
    let count = how_many("JOBS", 240);
    let ids = with_jobs(&world, count).await;
    let report = world.audit().await;
    let ledger = report.accounts[&world.account];
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for id in &ids {
        *ends.entry(world.state(&id.parse().unwrap()).await.name()).or_default() += 1;
    }
    let range = format!("start={}&end={}", first.as_secs(), world.clock.now().as_secs());
    let days = all(&world, &range).await;
    let [jobs, succeeded, failed, canceled, seconds, charged, refunded] = sum(&days);
    assert_eq!(jobs, count as u64);
    let of = |state: State| ends.get(state.name()).copied().unwrap_or(0);
    assert_eq!([succeeded, failed, canceled], [State::Succeeded, State::Failed, State::Canceled].map(of));
    assert!(succeeded > 0 && failed > 0 && canceled > 0 && seconds > succeeded);
    assert_eq!([i128::from(charged), i128::from(refunded)], [ledger.charged, ledger.refunded]);

    for groups in ["model", "provider", "key", "status", "metadata.customer", "model,provider,key,status"] {
        for (bucket, limit) in [("1h", 1), ("1h", 100), ("1d", 31)] {
            let query = format!("{range}&bucket={bucket}&limit={limit}&group_by={groups}");
            assert_eq!(sum(&all(&world, &query).await), sum(&days), "{query}");
        }
    }
    let by_status = all(&world, &format!("{range}&group_by=status")).await;
    assert_eq!(sum(by_status.iter().filter(|(_, it)| it["status"] == "succeeded"))[0], succeeded);
    let by_key = all(&world, &format!("{range}&group_by=key")).await;
    let of_first = by_key.iter().filter(|(_, it)| it["key"] == world.key_id().as_str());
    assert_eq!(sum(of_first)[0], count.div_ceil(2) as u64);

    // What an operator sees: of one account, and of all.
    let (store, end) = (UsageStore::new(world.table()), world.clock.now());
    let mut scanned = Usage::new(Width::Day, Vec::new());
    store.scan(first, end, |record| scanned.add(record)).await.unwrap();
    let mut paged = Usage::new(Width::Day, Vec::new());
    let mut from = (first, None);
    while let (records, Some(next)) = {
        let (records, next) = store.page(&world.account, &from, end, 7).await.unwrap();
        records.iter().for_each(|record| paged.add(record));
        (records.len(), next)
    } {
        assert!(records <= 7);
        from = next;
    }
    assert_eq!(scanned, paged);
    let cost: u64 = scanned.providers().values().map(|at| at.cost.0).sum();
    assert_eq!(cost, report.cost.0);
    let lost: u64 = scanned.providers().values().map(|at| at.lost.0).sum();
    assert!(0 < lost && lost < cost);
    assert_eq!(scanned.net(), charged - refunded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_gets_a_line_for_each_result_and_no_formula() {
    let world = World::new().await;
    let id = with_jobs(&world, 2).await.remove(0);
    let url = format!("{}/v1/usage?group_by=metadata.customer&bucket=1h&limit=1", world.stack.api_url);
    let created = world.job(&id.parse().unwrap()).await.created_at();
    let hour = Width::Hour.start(created);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |url: String| client.get(url).bearer_auth(&world.key).header("accept", "text/csv").send();
    let answer = ask(format!("{url}&start={}", hour.as_secs())).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let text = answer.text().await.unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], format!("start_time,end_time,metadata.customer,{}", SUMS.join(",")));
    assert!(
        lines[1].starts_with(&format!("{hour},{},'=anna,1,", hour + Duration::from_secs(3_600))),
        "{text}"
    );
    // The first hour of two has a link to the second.
    let earlier = hour.minus(Duration::from_secs(3_600));
    let answer = ask(format!("{url}&start={}&format=csv", earlier.as_secs())).await.unwrap();
    let link = answer.headers()["link"].to_str().unwrap().to_owned();
    let next = link.strip_prefix("<?").and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
    let next = ask(format!("{}/v1/usage?{next}", world.stack.api_url)).await.unwrap().text().await.unwrap();
    assert!(next.contains("'=anna,1,"), "{link} {next}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_so_far_is_projected_to_its_end() {
    let world = World::new().await;
    // The sixteenth of a month with thirty days.
    let now = Timestamp::parse("2027-04-16T00:00:00Z").unwrap();
    world.clock.advance(now.since(world.clock.now()));
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let price = world.job(&id).await.price().micros();
    let answer = get(&world, "").await;
    let projection = &answer.body["projection"];
    assert_eq!(projection["net_micro_credits"], price, "{answer:?}");
    let projected = projection["projected_micro_credits"].as_u64().unwrap();
    assert!(projected <= price * 2 && projected > price * 19 / 10, "{projection}");
    for query in ["limit=3", "start=2027-04-02", "start=2027-03-01"] {
        assert_eq!(get(&world, query).await.body["projection"], json!(null), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_in_the_words_of_openai_is_the_same_and_a_name_may_have_a_comma() {
    let world = World::new().await;
    let order = json!({"model": "pika-2.2", "prompt": "a boat", "metadata": {"a,b": "x"}});
    assert_eq!(world.post_job(&order, "with a comma").await.status, 202);
    world.advance(Duration::from_secs(1)).await;
    let (start, end) = ("2026-11-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let secs = |text: &str| Timestamp::parse(text).unwrap().as_secs();
    let ours = format!("start={start}&end={end}&bucket=1d&limit=100&group_by=model,status");
    let theirs = format!(
        "start_time={}&end_time={}&bucket_width=1d&limit=100&group_by=model&group_by=status",
        secs(start),
        secs(end)
    );
    let found = all(&world, &ours).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1["model"], "pika-2.2");
    assert_eq!(all(&world, &theirs).await, found);
    assert_eq!(all(&world, &theirs.replace("group_by", "group_by[]")).await, found);
    let comma = all(&world, &format!("start={start}&group_by[]=metadata.a,b")).await;
    assert_eq!(comma[0].1["metadata.a,b"], "x", "{comma:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_means_nothing_is_refused_by_its_field_and_another_account_shows_nothing() {
    let world = World::new().await;
    world.submit("pika-2.2", "a boat", "one").await;
    let page = get(&world, "bucket=1h&limit=1&start=2026-11-01").await.text("/next_page").to_owned();
    for (query, field) in [
        ("start=", "start"),
        ("start=yesterday", "start"),
        ("start=-1", "start"),
        ("start=99999999999999999999", "start"),
        ("start=2026-02-30", "start"),
        ("end=1", "end"),
        ("start=2026-01-01&end=2027-06-01", "end"),
        ("start=2026-11-02&end=2026-11-01", "end"),
        ("bucket=1m", "bucket"),
        ("bucket=", "bucket"),
        ("group_by=", "group_by"),
        ("group_by=prompt", "group_by"),
        ("group_by=model,model", "group_by"),
        ("group_by=model,key,status,provider,metadata.a", "group_by"),
        ("group_by=metadata.", "group_by"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("format=xml", "format"),
        ("page=x", "page"),
        ("page=%00", "page"),
        (&format!("start=2020-01-01&end=2020-02-01&page={page}"), "page"),
        ("start=2026-11-01&start=2026-11-02", "start"),
        ("start=2026-11-01&start_time=1793491200", "start_time"),
        ("start_time=now", "start_time"),
        ("end=2027-01-01&end_time=1", "end_time"),
        ("bucket_width=1m", "bucket_width"),
        ("bucket=1d&bucket_width=1d", "bucket_width"),
        ("limit=1&limit=2", "limit"),
        ("page=x&page=x", "page"),
        ("format=csv&format=csv", "format"),
        ("group_by=model&group_by=model", "group_by"),
        ("group_by=model,key&group_by=status", "group_by"),
        ("group_by[]=model&group_by%5B%5D=prompt", "group_by[]"),
        ("group_by=metadata.a,b", "group_by"),
        ("group=model", "group"),
        ("Start=2026-11-01", "Start"),
        ("api_key_ids=a&project_ids=b", "api_key_ids"),
        ("a%0Ab=1", "a\nb"),
    ] {
        let answer = get(&world, query).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_request"), "{query}: {answer:?}");
        assert_eq!(answer.text("/errors/0/field"), field, "{query}");
    }
    let other: AccountId = "acct_other".parse().unwrap();
    world.grant(&other, Credits::ONE).await;
    let key = format!("Bearer {}", world.new_key(&other, vec![Scope::Read]).await);
    let path = format!("/v1/usage?bucket=1h&limit=100&start=2026-11-01&page={page}");
    let answer = world.call(Method::GET, &path, &[("authorization", &key)], None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results =
        answer.body["data"].as_array().unwrap().iter().flat_map(|one| one["results"].as_array().unwrap());
    assert_eq!(results.count(), 0);
}
