//! `fetch` beside a plain pipe from the same file server to the same bucket.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client as S3;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use domain::id::JobId;
use domain::job::State;
use domain::verdict::Verdict;
use harness::World;
use harness::runtime::{Function, environment};
use serde_json::{Value, json};
use shared::boot::Clock;
use shared::store::queue::{Message, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::figures::Figures;

const MIB: u64 = 1024 * 1024;
const PART: usize = 16 * 1024 * 1024;
/// The head of a video whose content is the rest of the file.
const HEAD: &[u8] = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov\0\0\0\x01mdat";

/// Copies of each size in turn, `rounds` times.
pub(crate) async fn measure(binaries: &Path, largest: u64, rounds: usize) -> String {
    let running = |options: &mut local::stack::Options| {
        (options.clock, options.latency) = (Clock::System, Duration::from_secs(3_600));
    };
    let world = World::with(running).await;
    let (s3, bucket) = (world.operator.s3(), world.operator.env.get("MEDIA_BUCKET").unwrap_or_default());
    let mut text = format!(
        "{:>8} {:>23}   {:>23}   {:>5}   {:>13}   {:>8}\n",
        "MiB", "fetch, wall ms", "pipe, wall ms", "ratio", "CPU ms by GiB", "peak MiB"
    );
    for size in [1, 16, 256, 1_024, 5_120].into_iter().filter(|size| *size <= largest) {
        let url = serve(size * MIB).await;
        let mut function = Function::start(&binaries.join("fetch"), &environment(&world, "fetch")).await;
        let mut logs = function.process.stdout.take().expect("its logs");
        tokio::spawn(async move { tokio::io::copy(&mut logs, &mut tokio::io::sink()).await });
        let (mut fetched, mut piped, mut cpu) = (Figures::default(), Figures::default(), Duration::ZERO);
        // The first round opens connections.
        for round in 0..=rounds {
            let event = fetch_of(&running_job(&world, &format!("{size} {round}")).await, &url);
            let (begun, before) = (Instant::now(), function.cpu());
            let answer = function.invoke(event).await.expect("fetch answers");
            assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
            let of_fetch = begun.elapsed();
            let begun = Instant::now();
            pipe(&s3, bucket, &format!("piped/{size}/{round}"), &url).await;
            if round > 0 {
                fetched.add(of_fetch);
                piped.add(begun.elapsed());
                cpu += function.cpu() - before;
            }
            empty(&s3, bucket).await;
        }
        let ratio = piped.median() / fetched.median();
        let gib = (size * rounds as u64) as f64 / 1_024.0;
        let (cpu, memory) = (cpu.as_secs_f64() * 1_000.0 / gib, function.memory() as f64 / MIB as f64);
        let (fetched, piped) = (fetched.spread(), piped.spread());
        writeln!(text, "{size:8} {fetched}   {piped}   {ratio:5.2}   {cpu:13.0}   {memory:8.1}")
            .expect("a text takes all");
    }
    text
}

async fn running_job(world: &World, key: &str) -> JobId {
    let id = world.submit("pika-2.2", "a paper boat [[sim: webhook=lost]]", key).await;
    while world.state(&id).await != State::Running {
        world.stack.host.step_queues().await.expect("the queues answer");
    }
    id
}

/// An event of `fetch` about the file at this URL.
fn fetch_of(id: &JobId, url: &str) -> Value {
    let verdict = Verdict::Finished { asset_url: url.to_owned(), cost: None };
    let message = Message::verdict(id.clone(), 1, None, Some(verdict), Source::Webhook);
    let event = include_str!("../../events/fetch/webhook_success.json");
    let mut event: Value = serde_json::from_str(event).expect("the event is JSON");
    event["Records"][0]["body"] = serde_json::to_string(&message).expect("a message is JSON").into();
    event
}

/// A server of one video of so many bytes.
async fn serve(bytes: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/video.mp4", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let _request = stream.read(&mut [0; 4_096]).await?;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                // The last box has its size in 64 bits.
                let content = (bytes - HEAD.len() as u64 + 8).to_be_bytes();
                stream.write_all(&[HEAD, &content].concat()).await?;
                let (zeros, mut left) = (vec![0; 256 * 1024], bytes - HEAD.len() as u64 - 8);
                while left > 0 {
                    let some = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
                    stream.write_all(&zeros[..some]).await?;
                    left -= some as u64;
                }
                stream.shutdown().await
            });
        }
    });
    url
}

/// What a service without checks would do: read the file, and write it in parts, one after the other.
async fn pipe(s3: &S3, bucket: &str, key: &str, url: &str) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut answer = client.get(url).send().await.expect("the file");
    let first = part(&mut answer).await;
    if first.len() < PART {
        let put = s3.put_object().bucket(bucket).key(key).body(first.into());
        put.send().await.expect("the bucket takes it");
        return;
    }
    let upload = s3.create_multipart_upload().bucket(bucket).key(key).send().await.expect("an upload");
    let id = upload.upload_id.expect("its id");
    let (mut parts, mut next) = (Vec::new(), first);
    while !next.is_empty() {
        let number = i32::try_from(parts.len() + 1).expect("few parts");
        let send = s3.upload_part().bucket(bucket).key(key).upload_id(&id).part_number(number);
        let sent = send.body(next.into()).send().await.expect("the bucket takes it");
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
        next = part(&mut answer).await;
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(&id);
    complete.multipart_upload(parts).send().await.expect("the bucket takes it");
}

async fn part(answer: &mut reqwest::Response) -> Bytes {
    let mut part = BytesMut::with_capacity(PART);
    while part.len() < PART {
        let Some(chunk) = answer.chunk().await.expect("the file") else { break };
        part.extend_from_slice(&chunk);
    }
    part.freeze()
}

/// Files of gigabytes are not to fill the disk.
async fn empty(s3: &S3, bucket: &str) {
    let listed = s3.list_objects_v2().bucket(bucket).send().await.expect("a list");
    for key in listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
        s3.delete_object().bucket(bucket).key(key).send().await.expect("it is deleted");
    }
}
