//! What all simulators have in common: cut connections, spoilt polls, media, restarts, webhooks.

mod fault_profile;
mod faults;
mod toy;

use std::time::Duration;

use bytes::Bytes;
use domain::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

use crate::providers::{
    BYTEPLUS, DASHSCOPE, DREAM_MACHINE, FAL, GEMINI, KLING, KLING_LEGACY, LUMA, MINIMAX, OPENAI, REPLICATE,
    RUNWAY, XAI,
};
use crate::test_bench::{Bench, Client, ManualClock, Receiver, outward, read, text};
use crate::{CallKind, Fault, Options, RemoteState};

/// Those that make videos and are polled, each in its own way.
const CLIENTS: [&Client; 14] = [
    &FAL,
    &RUNWAY,
    &REPLICATE,
    &LUMA,
    &DREAM_MACHINE,
    &GEMINI,
    &KLING,
    &KLING_LEGACY,
    &MINIMAX,
    &OPENAI,
    &BYTEPLUS,
    &DASHSCOPE,
    &XAI,
    &toy::TOY,
];

/// A create that gets no answer: the client sees a broken connection, not a status.
async fn create_is_cut(bench: &Bench, prompt: &str) {
    let error = (bench.client.create)(bench, prompt, None).send().await.unwrap_err();
    assert!(error.is_request() && error.status().is_none() && !error.is_timeout(), "{error:?}");
}

fn jobs(bench: &Bench) -> usize {
    bench.simulator.remote_jobs().unwrap().len()
}

#[tokio::test]
async fn a_wire_is_cut_before_or_after_the_effect_and_only_once() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        bench.create("warms the connection").await;
        bench.simulator.cut(CallKind::Create, Fault::DropBefore);
        create_is_cut(&bench, "a boat").await;
        assert_eq!(jobs(&bench), 1);
        bench.simulator.cut(CallKind::Create, Fault::DropAfter);
        create_is_cut(&bench, "a boat").await;
        assert_eq!(jobs(&bench), 2);
        bench.create("a boat").await;
        assert_eq!(jobs(&bench), 3);
        assert_eq!(bench.simulator.calls().len(), 4);
    }
}

#[tokio::test]
async fn a_cut_waits_for_a_call_of_its_kind() {
    let bench = Bench::of(&FAL).await;
    bench.simulator.cut(CallKind::Cancel, Fault::DropAfter);
    let job = bench.create("a boat").await;
    assert_eq!(bench.get(text(&job, "status_url")).await.0, 202);
    assert!(bench.call(Method::PUT, text(&job, "cancel_url")).send().await.is_err());
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
}

#[tokio::test]
async fn a_create_is_dropped_or_lost_in_a_proxy_as_the_prompt_orders() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        create_is_cut(&bench, "a [[sim: create=drop-before]]").await;
        assert_eq!(jobs(&bench), 0);
        create_is_cut(&bench, "a [[sim: create=drop-after]]").await;
        assert_eq!(jobs(&bench), 1);
        let prompt = "a [[sim: create=html]]";
        let response = (client.create)(&bench, prompt, None).send().await.unwrap();
        assert_eq!(response.status(), 502);
        assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
        assert_eq!(jobs(&bench), 1);
    }
}

#[tokio::test]
async fn a_slow_create_has_made_the_job_when_the_caller_gives_up() {
    let bench = Bench::of(&RUNWAY).await;
    let call = (RUNWAY.create)(&bench, "a [[sim: create=slow:30]]", None).timeout(Duration::from_millis(200));
    assert!(call.send().await.unwrap_err().is_timeout());
    assert_eq!(jobs(&bench), 1);
}

#[tokio::test]
async fn a_refusal_with_a_count_gives_way_to_success() {
    let bench = Bench::of(&FAL).await;
    for code in [429, 429, 200] {
        let call = (FAL.create)(&bench, "a [[sim: create=refuse:429, times=2]]", None);
        assert_eq!(call.send().await.unwrap().status(), code);
    }
}

/// The codes and bodies of the four quarters' polls of a job.
async fn polled(bench: &Bench, prompt: &str) -> Vec<(u16, String)> {
    let job = bench.create(prompt).await;
    let mut answers = Vec::new();
    for wait in [15, 15, 15, 15] {
        bench.wait(wait);
        let response = (bench.client.poll)(bench, &job).send().await.unwrap();
        answers.push((response.status().as_u16(), response.text().await.unwrap()));
    }
    answers
}

fn word(client: &Client, answer: &str) -> String {
    let body: Value = serde_json::from_str(answer).unwrap();
    body.pointer(client.word).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn polls_in_the_middle_of_the_run_are_spoilt_as_ordered_and_then_tell_the_truth() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        let [queued, running, succeeded] = client.words;
        for play in ["backwards", "unknown", "empty", "html", "junk", "truncated"] {
            let answers = polled(&bench, &format!("a [[sim: status={play}]]")).await;
            for (quarter, expected) in [(0, running), (2, running), (3, succeeded)] {
                assert_eq!(word(client, &answers[quarter].1), expected, "{play}");
            }
            let (code, middle) = &answers[1];
            match play {
                "backwards" => assert_eq!(word(client, middle), queued),
                "unknown" => assert_eq!(word(client, middle), "REHEARSING"),
                "empty" => assert_eq!(middle, ""),
                "html" => assert!(middle.starts_with("<!DOCTYPE html>")),
                "junk" => assert!(middle.len() >= 1 << 20),
                _ => assert!(middle.starts_with('{') && serde_json::from_str::<Value>(middle).is_err()),
            }
            assert!(*code == 200 || play == "backwards", "{play}");
        }
    }
}

/// The address of the video of a finished job.
async fn video(bench: &Bench, prompt: &str) -> String {
    let job = bench.create(prompt).await;
    bench.wait(60);
    (bench.client.video)(bench, &job).await
}

async fn download(bench: &Bench, url: &str) -> (u16, reqwest::Result<Bytes>) {
    let key = bench.client.wire.media_need_key();
    let call = if key { bench.call(Method::GET, url) } else { bench.http.get(url) };
    let response = call.send().await.unwrap();
    (response.status().as_u16(), response.bytes().await)
}

#[tokio::test]
async fn a_video_is_served_whole_without_a_key_once_the_run_is_over() {
    let bench = Bench::of(&FAL).await;
    let running = text(&bench.create("a boat").await, "request_id").to_owned();
    assert_eq!(download(&bench, &format!("{}/media/{running}.mp4", bench.base)).await.0, 404);
    let url = video(&bench, "a bird").await;
    let response = bench.http.get(&url).send().await.unwrap();
    assert_eq!(response.headers()["Content-Type"], "video/mp4");
    let length: usize = response.headers()["Content-Length"].to_str().unwrap().parse().unwrap();
    let bytes = response.bytes().await.unwrap();
    assert_eq!((bytes.len(), &bytes[4..8]), (length, &b"ftyp"[..]));
    assert_eq!(download(&bench, &url).await.1.unwrap(), bytes);
    let call = bench.simulator.calls().pop().unwrap();
    assert_eq!((call.kind, call.authorized), (CallKind::Media, false));
}

#[tokio::test]
async fn downloads_fail_as_ordered() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        let missing = video(&bench, "a [[sim: asset=404]]").await;
        assert_eq!(download(&bench, &missing).await.0, 404);
        let broken = video(&bench, "a [[sim: asset=500:2]]").await;
        for code in [500, 500, 200] {
            assert_eq!(download(&bench, &broken).await.0, code);
        }
        let cut = video(&bench, "a [[sim: asset=cut:1]]").await;
        assert!(download(&bench, &cut).await.1.is_err());
        assert!(download(&bench, &cut).await.1.is_ok());
        let elsewhere = video(&bench, "a [[sim: asset=redirect]]").await;
        assert_eq!(download(&bench, &elsewhere).await.0, 302);
        let page = video(&bench, "a [[sim: asset=html]]").await;
        assert!(download(&bench, &page).await.1.unwrap().starts_with(b"<html>"));
    }
}

#[tokio::test]
async fn a_slow_download_is_whole_in_the_end() {
    let bench = Bench::of(&RUNWAY).await;
    let url = video(&bench, "a [[sim: asset=slow]]").await;
    let started = tokio::time::Instant::now();
    let (code, bytes) = download(&bench, &url).await;
    assert!(code == 200 && bytes.is_ok() && started.elapsed() > Duration::from_secs(1));
}

/// None of them is whole in the time that one has.
#[tokio::test]
async fn an_asset_trickles_has_no_end_or_ends_half_way() {
    let bench = Bench::of(&RUNWAY).await;
    for (play, length, least) in [("trickle:100", true, 10), ("endless", false, 500_000), ("half", false, 1)]
    {
        let url = video(&bench, &format!("a [[sim: asset={play}]]")).await;
        let mut file = reqwest::get(&url).await.unwrap();
        assert_eq!(file.content_length().is_some(), length, "{play}");
        let (started, mut bytes) = (tokio::time::Instant::now(), Vec::new());
        let ended = loop {
            let chunk = tokio::time::timeout(Duration::from_millis(500), file.chunk()).await;
            match chunk.unwrap().unwrap() {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => break true,
            }
            if started.elapsed() > Duration::from_millis(500) {
                break false;
            }
        };
        assert_eq!(ended, play == "half", "{play}");
        assert!(bytes.len() >= least && bytes[4..8] == *b"ftyp", "{play}: {}", bytes.len());
        if play == "trickle:100" {
            assert!(bytes.len() < 200, "{}", bytes.len());
        }
    }
}

#[tokio::test]
async fn an_asset_expires_after_the_end_at_fal_and_after_the_poll_at_runway() {
    let prompt = "a [[sim: asset=expired:100]]";
    let bench = Bench::of(&FAL).await;
    let url = video(&bench, prompt).await;
    bench.wait(99);
    assert_eq!(download(&bench, &url).await.0, 200);
    bench.wait(1);
    assert_eq!(download(&bench, &url).await.0, 403);

    let bench = Bench::of(&RUNWAY).await;
    let url = video(&bench, prompt).await;
    bench.wait(100);
    assert_eq!(download(&bench, &url).await.0, 403);
    let id = bench.simulator.remote_jobs().unwrap()[0].id.clone();
    let (_, body) = bench.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(download(&bench, body["output"][0].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn a_job_survives_the_death_of_the_process_with_its_webhook_and_the_signing_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remote.sqlite");
    let clock = ManualClock::default();
    let receiver = Receiver::answering(&[]).await;
    let before = Bench::open(&FAL, Some(&file), clock.clone()).await;
    let job = before.create_with(&receiver, "a boat").await;
    let jwks = before.get("/.well-known/jwks.json").await;
    before.wait(30);
    // Nothing is closed or flushed: what a killed process leaves behind.
    std::mem::forget(before);

    let after = Bench::open(&FAL, Some(&file), clock).await;
    assert_eq!(after.get("/.well-known/jwks.json").await, jwks);
    let path = format!("/fal-ai/veo3.1/requests/{}", text(&job, "request_id"));
    assert_eq!(after.get(&format!("{path}/status")).await.1["status"], "IN_PROGRESS");
    after.wait(30);
    assert_eq!(after.simulator.deliver_due().await.unwrap(), 1);
    assert_eq!(receiver.bodies()[0]["request_id"], job["request_id"]);
    assert_eq!(after.get(&path).await.0, 200);
}

#[tokio::test]
async fn providers_live_in_one_file_without_seeing_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remote.sqlite");
    let clock = ManualClock::default();
    let fal = Bench::open(&FAL, Some(&file), clock.clone()).await;
    let runway = Bench::open(&RUNWAY, Some(&file), clock).await;
    fal.create("a boat").await;
    let bird = runway.create("a bird").await;
    let (boat, bird_view) =
        (&fal.simulator.remote_jobs().unwrap()[0], &runway.simulator.remote_jobs().unwrap()[0]);
    assert_eq!(
        (jobs(&fal), boat.prompt.as_str(), boat.endpoint.as_str()),
        (1, "a boat", "fal-ai/veo3.1/fast")
    );
    assert_eq!(
        (jobs(&runway), bird_view.id.as_str(), bird_view.endpoint.as_str()),
        (1, text(&bird, "id"), "gen4.5")
    );
    assert_eq!((boat.provider, bird_view.provider), (Provider::Fal, Provider::Runway));
}

#[tokio::test]
async fn every_change_is_announced() {
    let bench = Bench::of(&RUNWAY).await;
    assert_eq!(bench.simulator.next_due().unwrap(), None);
    bench.create("a [[sim: throttled=10]]").await;
    let start = bench.clock.now();
    let mut waits = Vec::new();
    while let Some(due) = bench.simulator.next_due().unwrap() {
        bench.clock.advance(due.since(bench.clock.now()));
        waits.push(due.since(start).as_secs());
    }
    assert_eq!(waits, [10, 22, 30, 50, 70]);
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Succeeded);
}

#[tokio::test]
async fn configured_keys_are_the_only_ones_and_the_public_address_is_the_one_returned() {
    let options = Options {
        keys: Some(vec!["id:secret".into()]),
        public_url: Some("https://fal.example".into()),
        ..Options::default()
    };
    let clock = ManualClock::default().read();
    let simulator = crate::open(Provider::Fal, None, clock, options, outward()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fal-ai/veo3.1/fast", listener.local_addr().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let calls = async {
        let call = |key: &str| {
            http.post(&url).header("Authorization", format!("Key {key}")).json(&json!({"prompt": "a"}))
        };
        assert_eq!(call("other").send().await.unwrap().status(), 401);
        let (code, job) = read(call("id:secret").send().await.unwrap()).await;
        assert_eq!(code, 200);
        assert!(text(&job, "status_url").starts_with("https://fal.example/fal-ai/veo3.1/requests/"));
    };
    // The server ends with its shutdown: it would hang here otherwise.
    simulator.serve(listener, calls).await.unwrap();
    assert!(http.post(&url).send().await.is_err());
}
