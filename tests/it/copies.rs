//! Copies of files: one at a time, whole, and never in the way of anything else.

use std::time::Duration;

use domain::decide::Event;
use domain::id::JobId;
use domain::job::{COPY_LEASE, Job, State};
use domain::provider::Provider;
use domain::verdict::Verdict;
use futures_util::join;
use harness::{Moment, World};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::boot::Clock;
use shared::store::audit::History;
use shared::store::queue::{Message, Source};
use sim::CallKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::documents::event;

const SECOND: Duration = Duration::from_secs(1);

/// A job of fal that runs and whose webhook is lost.
async fn running(world: &World, note: &str) -> JobId {
    let prompt = format!("a boat [[sim: webhook=lost, latency=100, note={note}]]");
    let id = world.submit("pika-2.2", &prompt, note).await;
    world.drain().await;
    assert_eq!(world.state(&id).await, State::Running);
    id
}

/// An event of `fetch` with this message.
fn fetch(id: &JobId, url: &str) -> Value {
    let verdict = Verdict::Finished { asset_url: url.to_owned(), cost: None };
    let message = Message::verdict(id.clone(), 1, None, Some(verdict), Source::Webhook);
    let mut event = event("fetch/webhook_success");
    event["Records"][0]["body"] = json!(serde_json::to_string(&message).unwrap());
    event
}

/// A file server that gives other bytes to each download, without a length. Gives its URL.
async fn fickle() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.mp4", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for nth in 0_u8.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _request = stream.read(&mut [0; 4096]).await;
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                let film = [&b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x02\x08moov"[..], &[nth; 512]].concat();
                let _sent = stream.write_all(&[&head[..], &film].concat()).await;
            });
        }
    });
    url
}

async fn object(world: &World, job: &Job) -> Vec<u8> {
    let bucket = world.operator.env.get("MEDIA_BUCKET").unwrap();
    let get = world.operator.s3().get_object().bucket(bucket).key(&job.media().unwrap().key);
    get.send().await.unwrap().body.collect().await.unwrap().to_vec()
}

async fn assert_described_right(world: &World, id: &JobId) {
    let job = world.job(id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    let bytes = object(world, &job).await;
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
    let media = job.media().unwrap();
    assert_eq!((&media.sha256, media.bytes), (&sum, bytes.len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_copies_at_once_that_differ_the_row_describes_the_one_that_is_there() {
    let url = fickle().await;
    let world = World::new().await;
    for round in 0..10 {
        let id = running(&world, &format!("at once {round}")).await;
        let host = &world.stack.host;
        let (one, other, third) = join!(
            host.invoke("fetch", fetch(&id, &url)),
            host.invoke("fetch", fetch(&id, &url)),
            host.invoke("fetch", fetch(&id, &url)),
        );
        for answer in [one, other, third] {
            assert_eq!(answer.unwrap()["batchItemFailures"], json!([]));
        }
        assert_described_right(&world, &id).await;
        // Nor does a late one change it.
        let before = world.job(&id).await;
        host.invoke("fetch", fetch(&id, &url)).await.unwrap();
        assert_eq!(world.job(&id).await, before);
        assert_described_right(&world, &id).await;
    }
}

/// A file server that takes so long for a video of this size.
async fn slow(bytes: usize, seconds: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.mp4", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 4096]).await;
        let mut video = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        video.extend(u32::try_from(bytes - video.len()).unwrap().to_be_bytes());
        video.extend(b"mdat");
        video.resize(bytes, 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for part in video.chunks(bytes / 20 + 1) {
            stream.write_all(part).await.unwrap();
            pause(SECOND * seconds / 20).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_takes_long_renews_its_lease() {
    let url = slow(4_000_000, 12).await;
    let (world, _moving) = live().await;
    let prompt = "a boat [[sim: webhook=lost, latency=100]]";
    let id = world.submit("pika-2.2", prompt, "long").await;
    wait(&world, &id, State::Running).await;
    world.stack.host.invoke("fetch", fetch(&id, &url)).await.unwrap();
    let history = History::read(&world.table(), &id).await.unwrap().unwrap();
    assert_eq!(history.job.state(), State::Succeeded);
    assert!(history.moves.iter().any(|made| made.event == "copy_renewed"), "{:?}", history.moves);
}

/// The copier dies after the file is in the bucket, and other bytes would come next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_a_dead_copy_has_left_is_taken_as_it_is() {
    let url = fickle().await;
    let world = World::new().await;
    let id = running(&world, "dies").await;
    world.wire.reset();
    world.wire.crash_at(3, Moment::After);
    world.stack.host.invoke("fetch", fetch(&id, &url)).await.unwrap_err();
    assert_eq!(world.wire.calls().last().map(String::as_str), Some("S3.PUT"), "{:?}", world.wire.calls());
    let job = world.job(&id).await;
    assert_eq!((job.state(), job.copy_until()), (State::Settling, Some(world.clock.now() + COPY_LEASE)));

    // Its lease holds, and then it lapses.
    world.wire.reset();
    world.stack.host.invoke("fetch", fetch(&id, &url)).await.unwrap();
    assert_eq!(world.job(&id).await, job);
    assert!(!world.wire.calls().iter().any(|call| call.starts_with("S3")), "{:?}", world.wire.calls());
    world.clock.advance(COPY_LEASE);
    world.stack.host.invoke("fetch", fetch(&id, &url)).await.unwrap();
    assert_described_right(&world, &id).await;
    assert_eq!(object(&world, &world.job(&id).await).await.last(), Some(&0), "the first bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_under_way_is_not_joined_and_a_failed_one_gives_its_lease_back() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a [[sim: asset=500:7]]", "failing").await;
    world.drain().await;
    world.advance(harness::world::LATENCY).await;
    let job = world.job(&id).await;
    assert_eq!((job.state(), job.copy_until()), (State::Settling, None), "{job:?}");
    assert_eq!(world.calls(Provider::Fal, CallKind::Media), 3, "three tries in one go");
    // Tried again by its own queue: six by now, then the one that works.
    world.advance(5 * SECOND).await;
    assert_eq!(world.calls(Provider::Fal, CallKind::Media), 6);
    let held = world.jobs().advance(&id, &Event::CopyStarted { number: 1 }, world.clock.now()).await.unwrap();
    assert!(held.job().copy_lease().is_some());
    world.advance(15 * SECOND).await;
    assert_eq!(world.calls(Provider::Fal, CallKind::Media), 6, "another copy has the lease");
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.copy_until()), (State::Succeeded, None));
    assert_eq!(world.calls(Provider::Fal, CallKind::Media), 8);
    world.audit().await;
}

/// Neither at once, nor by its own queue, nor by `reconcile`, which comes by every two minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_server_wants_to_be_left_alone_is_left_alone_for_so_long() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a [[sim: asset=503:1, retry_after=300]]", "busy").await;
    world.drain().await;
    world.advance(harness::world::LATENCY).await;
    let job = world.job(&id).await;
    let until = world.clock.now() + 300 * SECOND;
    assert_eq!((job.state(), job.copy_until(), job.copy_lease()), (State::Settling, Some(until), None));
    for _ in 0..29 {
        world.advance(10 * SECOND).await;
        world.reconcile().await;
        assert_eq!(world.calls(Provider::Fal, CallKind::Media), 1);
    }
    world.advance(11 * SECOND).await;
    assert_eq!((world.state(&id).await, world.calls(Provider::Fal, CallKind::Media)), (State::Succeeded, 2));
    world.audit().await;
}

/// This provider deletes its files after an hour: waiting as long as it asks would lose the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_off_ends_before_the_provider_deletes_the_file() {
    let world = World::new().await;
    let prompt = "a [[sim: asset=503:4, retry_after=100000]]";
    let id = world.submit("ray-3.2", prompt, "busy").await;
    world.drain().await;
    world.advance(harness::world::LATENCY).await;
    let ended_at = world.job(&id).await.attempts()[0].ended_at.expect("it has ended");
    let mut copied_at = Vec::new();
    while world.state(&id).await == State::Settling {
        let before = world.calls(Provider::Luma, CallKind::Media);
        world.advance(10 * SECOND).await;
        world.reconcile().await;
        if world.calls(Provider::Luma, CallKind::Media) > before {
            copied_at.push(world.clock.now().since(ended_at).as_secs());
        }
    }
    assert_eq!(world.state(&id).await, State::Succeeded, "{copied_at:?}");
    let [first, second, third, last] = copied_at[..] else { panic!("{copied_at:?}") };
    assert!(first >= 900 && second >= first + 900 && third >= second + 900, "{copied_at:?}");
    assert!((3_000..3_200).contains(&last), "{copied_at:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_length_that_ends_half_way_is_not_taken_for_whole() {
    let world = World::new().await;
    for model in ["pika-2.2", "stable-image-core"] {
        let id = world.submit(model, "a [[sim: asset=half]]", model).await;
        for _ in 0..10 {
            world.pass_time(&id).await;
        }
        let job = world.job(&id).await;
        let delivered = model == "stable-image-core";
        let want = if delivered { State::Succeeded } else { State::Settling };
        assert_eq!(job.state(), want, "{model}: {job:?}");
        world.audit().await;
    }
}

/// A link that is refused says nothing of the file: it may be had again with another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_forbidden_is_not_lost() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a [[sim: asset=expired:0]]", "forbidden").await;
    world.drain().await;
    world.advance(harness::world::LATENCY).await;
    let start = world.clock.now();
    while world.clock.now().since(start) < Duration::from_secs(2 * 3_600) {
        world.pass_time(&id).await;
    }
    let job = world.job(&id).await;
    assert_eq!((job.state(), job.attempts()[0].missing), (State::Settling, None), "{job:?}");
    world.audit().await;
}

/// Its bytes are in the memory of one dispatcher, and nobody can be asked for them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_still_in_the_create_answer_outlives_a_bucket_that_fails_once() {
    let world = World::new().await;
    let play = async |key: &str| {
        world.clock.advance(120 * SECOND);
        world.submit("stable-image-core", "a boat", key).await
    };
    world.wire.reset();
    play("counted").await;
    world.drain().await;
    let put = world.wire.calls().iter().position(|call| call == "S3.PUT").expect("it is put");
    for moment in [Moment::Before, Moment::After] {
        world.wire.reset();
        world.wire.fail_at(put, moment);
        let id = play(&format!("{moment:?}")).await;
        world.drain().await;
        let job = world.job(&id).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{moment:?}: {job:?}");
        assert!(world.wire.is_spent(), "{moment:?}");
    }
    world.audit().await;
}

/// A world in which time passes, and what moves it by itself.
async fn live() -> (World, JoinSet<()>) {
    let world = World::with(|options| {
        options.clock = Clock::System;
        options.latency = SECOND;
    })
    .await;
    let mut moving = JoinSet::new();
    let (host, stop) = (world.stack.host.clone(), world.stack.stopper());
    moving.spawn(async move { host.run_background(stop).await.unwrap() });
    for simulator in world.stack.simulators.values() {
        let simulator = simulator.clone();
        moving.spawn(async move {
            loop {
                simulator.deliver_due().await.unwrap();
                pause(SECOND / 20).await;
            }
        });
    }
    (world, moving)
}

#[expect(clippy::disallowed_methods, reason = "a world in which time passes")]
async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// How long it takes until the job is in this state.
async fn wait(world: &World, id: &JobId, want: State) -> Duration {
    let started = Instant::now();
    loop {
        let state = world.state(id).await;
        if state == want {
            return started.elapsed();
        }
        assert!(started.elapsed() < 40 * SECOND, "{id} is still {}", state.name());
        pause(SECOND / 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_that_trickle_hold_up_no_other_provider_and_no_refund() {
    let (world, _moving) = live().await;
    let id = world.submit("gen-4.5", "a paper boat", "alone").await;
    let alone = wait(&world, &id, State::Succeeded).await;

    for slow in 0..20 {
        let prompt = "a boat [[sim: latency=0.1, asset=trickle:1]]";
        let id = world.submit("pika-2.2", prompt, &format!("slow {slow}")).await;
        wait(&world, &id, State::Settling).await;
    }
    let before = world.balance().await;
    let failing = world.submit("pika-2.2", "a [[sim: fail=content_policy]]", "failing").await;
    let kept = world.submit("gen-4.5", "a paper boat", "beside").await;
    let (failed, beside) =
        join!(wait(&world, &failing, State::Failed), wait(&world, &kept, State::Succeeded));
    println!("alone {alone:?}, beside twenty {beside:?}; refunded after {failed:?}");
    assert!(beside < alone + 2 * SECOND, "{beside:?}, alone {alone:?}");
    assert!(failed < SECOND + 5 * SECOND, "{failed:?}");
    let price = world.job(&kept).await.price();
    assert_eq!(world.balance().await, before.less(price), "the failure gave all back");
}
