//! Spoilt rows, files, uploads and leases: one after the other, each is seen.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use domain::credit::Entry;
use domain::id::JobId;
use domain::policy::admission::Admission;
use domain::policy::limit::slot_name;
use domain::provider::Provider;
use harness::world::AUDIT;
use shared::operate::audit::{Options, check};
use shared::store::admission::AdmissionStore;
use shared::store::audit::{DueEntry, LedgerSnapshot};
use shared::store::keys;

use super::{Cast, Item, attempt, item, list, map, number, put, remove, text, violations};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

type Change = Box<dyn FnOnce(&mut Item)>;

/// That a finding with these words is there.
fn assert_found(found: &[String], words: &str) {
    assert!(found.iter().any(|found| found.contains(words)), "`{words}` is not in {found:#?}");
}

fn refund(job: &JobId) -> String {
    keys::entry(&Entry::Refund { job: job.clone(), amount: domain::credit::Credits::ONE })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_attempt_is_seen() {
    let cast = Cast::new().await;
    let world = &cast.world;
    let known = world.job(&cast.succeeded).await.attempts()[0].clone();
    let remote = known.remote.as_ref().expect("it has a name").id.clone();
    let old = (world.clock.now().minus(DAY + 2 * HOUR)).as_millis();

    let cases: Vec<(&JobId, Change, &str)> = vec![
        (
            &cast.canceled,
            Box::new(move |job| {
                map(attempt(job).get_mut("remote").unwrap()).insert("id".to_owned(), text(&remote));
            }),
            "is its attempt 1's and",
        ),
        (
            &cast.failed,
            Box::new(|job| drop(attempt(job).insert("phase".to_owned(), text("running")))),
            "was refunded while its attempt 1 was running",
        ),
        (
            &cast.canceled,
            Box::new(|job| drop(attempt(job).insert("phase".to_owned(), text("unclear")))),
            "was refunded while its attempt 1 was unclear",
        ),
        (
            &cast.succeeded,
            Box::new(move |job| {
                job.insert("updated_at".to_owned(), number(old));
                attempt(job).insert("phase".to_owned(), text("running"));
            }),
            "has ended, and its attempt 1 is running",
        ),
    ];
    for (id, change, words) in cases {
        assert_found(&cast.while_changed(&keys::job(id), keys::JOB, change).await, words);
    }

    let holder = keys::remote(known.provider, &known.remote.unwrap().id);
    let of_another = text(cast.failed.as_str());
    let found =
        cast.while_changed(&holder, keys::REMOTE, |item| drop(item.insert("job".to_owned(), of_another)));
    assert_found(&found.await, "of its attempt 1 names attempt 1 of");
    assert_found(&cast.without(&holder, keys::REMOTE).await, "names its attempt 1");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_not_in_order_is_seen() {
    let cast = Cast::new().await;
    let cases: Vec<(&JobId, Change, &str)> = vec![
        (
            &cast.succeeded,
            Box::new(|job| {
                let mut second = list(job, "attempts")[0].clone();
                map(&mut second).insert("number".to_owned(), number(2));
                map(&mut second).remove("remote");
                list(job, "attempts").push(second);
            }),
            "paid for attempts 1 and 2",
        ),
        (
            &cast.live,
            Box::new(|job| drop(attempt(job).insert("number".to_owned(), number(7)))),
            "its attempt 1 has the number 7",
        ),
        (
            &cast.succeeded,
            Box::new(|job| drop(attempt(job).remove("cost"))),
            "attempt 1 was billed, and has no cost",
        ),
        (
            &cast.succeeded,
            Box::new(|job| drop(job.insert("attempt".to_owned(), number(3)))),
            "is about attempt 3",
        ),
        (
            &cast.succeeded,
            Box::new(|job| {
                for _ in 0..4 {
                    let one_more = list(job, "attempts")[0].clone();
                    list(job, "attempts").push(one_more);
                }
            }),
            "made 5 attempts",
        ),
        (
            &cast.succeeded,
            Box::new(|job| drop(attempt(job).insert("phase".to_owned(), text("broke")))),
            "without a finished attempt",
        ),
    ];
    for (id, change, words) in cases {
        assert_found(&cast.while_changed(&keys::job(id), keys::JOB, change).await, words);
    }
    cast.world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_move_a_wrong_refund_and_a_job_that_is_not_looked_after_are_seen() {
    let cast = Cast::new().await;
    let world = &cast.world;
    let now = world.clock.now();
    let at = |span: Duration| number((now + span).as_millis());
    let (far, late) =
        (at(Duration::from_secs(66 * 60)), number(now.minus(Duration::from_secs(660)).as_millis()));
    let nowhere = text("DUE#77");

    let set = |name: &'static str, value| -> Change {
        Box::new(move |job| drop(job.insert(name.to_owned(), value)))
    };
    let cases: Vec<(&JobId, Change, &str)> = vec![
        (&cast.failed, Box::new(|job| drop(list(job, "moves").pop())), "transitions"),
        (
            &cast.succeeded,
            Box::new(|job| {
                // Nothing leaves an end.
                let AttributeValue::L(parts) = &mut list(job, "moves")[1] else { panic!("a move is a list") };
                parts[3] = text("succeeded");
            }),
            "illegal transition from succeeded to",
        ),
        (&cast.failed, set("updated_at", number(5)), "its last transition is to failed"),
        (&cast.live, set("due_shard", nowhere), "is in the shard DUE#77"),
        (&cast.live, set("check_at", far), "has its next check only at"),
        (&cast.live, Box::new(|job| drop(job.remove("check_at"))), "is running and not in the due index"),
        (&cast.failed, set("due_shard", text("DUE#1")), "is failed and in the due index"),
        (&cast.live, set("deadline", late), "and its deadline was"),
        (&cast.live, set("price", number(0)), "has no price"),
        (&cast.failed, set("refunded", number(1)), "was refunded 0.000001 credits instead of"),
        (&cast.canceled, set("refunded", number(1)), "was refunded 0.000001 credits instead of"),
        (&cast.succeeded, set("refunded", number(1)), "is succeeded and was refunded"),
        (&cast.live, Box::new(|job| drop(job.insert("id".to_owned(), text("job_a")))), "cannot be read"),
    ];
    for (id, change, words) in cases {
        assert_found(&cast.while_changed(&keys::job(id), keys::JOB, change).await, words);
    }

    let account = keys::account(&world.account);
    let (failed, canceled) = (refund(&cast.failed), refund(&cast.canceled));
    let changed =
        |name: &'static str, value| move |line: &mut Item| drop(line.insert(name.to_owned(), value));
    let found = cast.while_changed(&account, &failed, changed("created_at", at(HOUR))).await;
    assert_found(&found, "which is not when it ended");
    let found = cast.while_changed(&account, &failed, changed("created_at", number(1))).await;
    assert_found(&found, "before it was charged");
    let found = cast.while_changed(&account, &canceled, changed("amount", number(1))).await;
    assert_found(&found, "was not refunded");
    assert_found(&found, "the ledger and the balance differ");
    assert_found(&cast.without(&account, &failed).await, "was not refunded");
    let request = |id| keys::job(id);
    let other = changed("prompt", text("another boat"));
    let found = cast.while_changed(&request(&cast.live), keys::REQUEST, other).await;
    assert_found(&found, "its request differs from the submitted one");
    assert_found(&cast.without(&request(&cast.live), keys::REQUEST).await, "has no request");
    let found = cast.without(&keys::job(&cast.succeeded), keys::JOB).await;
    assert_found(&found, "is about it, and it does not exist");
    assert_found(&found, "its request exists, and it does not");
    world.audit().await;
}

/// A row of before the amount of a refund, and moves, were recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_row_is_right() {
    let cast = Cast::new().await;
    let found = cast
        .while_changed(&keys::job(&cast.failed), keys::JOB, |job| {
            job.remove("refunded");
            job.remove("moves");
        })
        .await;
    assert_eq!(found, Vec::<String>::new());
}

/// The local index never differs from its table: so what was read of it is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_differs_from_its_table_is_seen() {
    let cast = Cast::new().await;
    let now = cast.world.clock.now();
    let entry = DueEntry { shard: keys::due_shard(3), check_at: now };
    let found = |books: &LedgerSnapshot| {
        let report = check(books, &BTreeMap::new(), AUDIT, now);
        report.violations.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut books = cast.world.books().await;
    assert_eq!(found(&books), Vec::<String>::new());
    books.jobs.get_mut(&cast.live).unwrap().indexed.clear();
    books.jobs.get_mut(&cast.failed).unwrap().indexed.push(entry.clone());
    books.jobs.entry(JobId::from_bytes([1; 16])).or_default().indexed.push(entry);
    let found = found(&books);
    assert_found(&found, "the due index has [] where its row says");
    assert_found(&found, "is failed and in the due index");
    assert_found(&found, "the due index has it, and job_");
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_file_is_seen() {
    let cast = Cast::new().await;
    let world = &cast.world;
    let media = world.job(&cast.succeeded).await.media().expect("it has a file").clone();
    let place = keys::job(&cast.succeeded);
    let change = |name: &'static str, value| {
        move |job: &mut Item| {
            map(job.get_mut("media").unwrap()).insert(name.to_owned(), value);
        }
    };
    let elsewhere = media.key.replace("/1/", "/2/");
    let found = cast.while_changed(&place, keys::JOB, change("key", text(&elsewhere))).await;
    assert_found(&found, "which is not its attempt's key");
    assert_found(&found, "its media is not in the bucket");
    let found = cast.while_changed(&place, keys::JOB, change("bytes", number(3))).await;
    assert_found(&found, "its media has 3 bytes");
    let found = cast.while_changed(&place, keys::JOB, change("sha256", text("00"))).await;
    assert_found(&found, "recorded SHA-256 differs");

    let (s3, bucket) = (world.operator.s3(), world.source().bucket);
    let length = usize::try_from(media.bytes).unwrap();
    let other = s3.put_object().bucket(&bucket).key(&media.key).metadata("sha256", &media.sha256);
    other.body(ByteStream::from(vec![0; length])).send().await.unwrap();
    let found = violations(world).await;
    assert_found(&found, "its file's content differs");
    assert_eq!(found.len(), 1, "{found:?}");

    for stray in ["stray", &media.key.replace("/1/", "/3/")] {
        s3.put_object().bucket(&bucket).key(stray).body(ByteStream::from(vec![0])).send().await.unwrap();
        assert_found(&violations(world).await, &format!("{stray} belongs to no settled job"));
        s3.delete_object().bucket(&bucket).key(stray).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_bucket_has_deleted_in_time_is_no_finding() {
    let cast = Cast::new().await;
    let world = &cast.world;
    world.finish(&cast.live).await;
    let media = world.job(&cast.succeeded).await.media().expect("it has a file").clone();
    let bucket = world.source().bucket;
    world.operator.s3().delete_object().bucket(bucket).key(&media.key).send().await.unwrap();
    let kept_for = async |days| {
        let report = world.inspect_as(Options { media_days: days, ..AUDIT }, &BTreeMap::new()).await;
        report.violations.len()
    };
    assert_eq!((kept_for(None).await, kept_for(Some(1)).await), (1, 1));
    world.clock.advance(DAY + HOUR);
    assert_eq!((kept_for(None).await, kept_for(Some(2)).await, kept_for(Some(1)).await), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_half_of_its_money_an_old_upload_and_a_stranger_s_key_are_seen() {
    let cast = Cast::new().await;
    let world = &cast.world;
    world.finish(&cast.live).await;
    let account = keys::account(&world.account);
    assert_found(&cast.without(&account, keys::BALANCE).await, "has ledger lines and no balance");
    let mut balance = item(world, &account, keys::BALANCE).await.unwrap();
    balance.insert(keys::PK.to_owned(), text("ACCT#acct_ghost"));
    put(world, balance).await;
    assert_found(&violations(world).await, "acct_ghost: has a balance and no ledger line");
    remove(world, "ACCT#acct_ghost", keys::BALANCE).await;
    let live = |item: &mut Item| drop(item.insert("live".to_owned(), number(4)));
    let found = cast.while_changed(&account, keys::BALANCE, live).await;
    assert_found(&found, "has 0 live jobs and counts 4");
    let negative = |item: &mut Item| drop(item.insert("balance".to_owned(), number(-1)));
    assert_found(&cast.while_changed(&account, keys::BALANCE, negative).await, "below zero");

    let stranger = "acct_stranger".parse().unwrap();
    world.new_key(&stranger, Vec::new()).await;
    let s3 = world.operator.s3();
    let upload = s3.create_multipart_upload().bucket(world.source().bucket).key("media/half");
    upload.send().await.unwrap();
    world.audit().await;
    world.clock.advance(3 * DAY + HOUR);
    let found = violations(world).await;
    assert_found(&found, "acct_stranger: has no balance, and key");
    assert_found(&found, "an upload of media/half is open since");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_outlives_its_attempt_is_seen() {
    let cast = Cast::new().await;
    let world = &cast.world;
    let now = world.clock.now();
    let ended = world.job(&cast.failed).await.attempts()[0].clone();
    let holds = async |span: Duration| {
        let store = AdmissionStore::new(world.table());
        let seen = store.admission(ended.provider, now).await.unwrap();
        let change = |admission: &Admission| {
            let mut after = admission.clone();
            after.usage.leases.insert(slot_name(ended.claim), now + span);
            Ok::<_, std::convert::Infallible>(Some(after))
        };
        store.change(ended.provider, seen, 1, change).await.unwrap();
    };
    holds(Duration::from_secs(60)).await;
    assert_eq!(world.audit().await.idle_leases, 1, "it lapses in a minute");
    holds(3 * HOUR).await;
    let found = violations(world).await;
    assert_found(&found, "an attempt that has ended holds a concurrency slot until");
    assert_eq!((found.len(), ended.provider), (1, Provider::Fal), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_is_one_finding_and_hides_no_other() {
    let cast = Cast::new().await;
    let world = &cast.world;
    let unreadable = |job: &mut Item| drop(job.insert("state".to_owned(), number(7)));
    for id in [&cast.succeeded, &cast.failed, &cast.canceled, &cast.live] {
        let found = cast.while_changed(&keys::job(id), keys::JOB, unreadable).await;
        assert_found(&found, "cannot be read by this release");
        assert_eq!(found.len(), 1, "{found:#?}");
    }
    let mut job = item(world, &keys::job(&cast.failed), keys::JOB).await.unwrap();
    job.insert("price".to_owned(), number(0));
    put(world, job).await;
    let found = cast.while_changed(&keys::job(&cast.succeeded), keys::JOB, unreadable).await;
    assert_found(&found, "cannot be read by this release");
    assert_found(&found, "has no price");
}
