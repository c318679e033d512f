//! Odd answers of providers, and what becomes of the jobs that they are about.

use std::time::Duration;

use domain::job::{Job, State};
use domain::verdict::{Billed, ErrorClass};
use harness::World;

/// How long a success may be without its file.
const EMPTY_AFTER: Duration = Duration::from_secs(60);

/// A model of each provider that is asked after its jobs.
const MODELS: [(&str, &str); 11] = [
    ("pika-2.2", "fal"),
    ("gen-4.5", "runway"),
    ("veo-3.1", "replicate"),
    ("ray-3.2", "luma"),
    ("ray-2", "dream_machine"),
    ("kling-3.0-turbo", "kling"),
    ("kling-2.6", "kling_legacy"),
    ("minimax-h3", "minimax"),
    ("hailuo-02", "minimax"),
    ("seedance-2.5", "byteplus"),
    ("wan-2.7", "dashscope"),
];

async fn play(world: &World, model: &str, provider: &str, directives: &str) -> Job {
    let prompt = format!("a boat at sea in the evening [[sim: webhook=lost, {directives}]]");
    let body = serde_json::json!({"model": model, "prompt": prompt, "provider": provider, "pin": true});
    let answer = world.post_job(&body, &format!("{model} {directives}")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.text("/id").parse().unwrap();
    let job = world.finish(&id).await;
    world.audit().await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn done_without_a_file_is_an_end_after_a_minute_wherever_it_is_said() {
    let world = World::new().await;
    let before = world.balance().await;
    for (model, provider) in MODELS {
        let job = play(&world, model, provider, "answer=no-file, latency=1").await;
        let fault = job.fault().cloned().unwrap();
        assert_eq!((job.state(), fault.class), (State::Failed, ErrorClass::NoOutput), "{provider}: {job:?}");
        let attempt = &job.attempts()[0];
        assert_eq!((job.attempts().len(), attempt.billed), (1, Billed::Unknown), "{provider}");
        let lasted = attempt.ended_at.unwrap().since(attempt.started_at);
        assert!((EMPTY_AFTER..Duration::from_secs(300)).contains(&lasted), "{provider}: {lasted:?}");
    }
    assert_eq!(world.balance().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_parts_and_long_answers_keep_no_result_back() {
    let world = World::new().await;
    for (model, provider) in MODELS {
        for answer in ["null", "number", "long"] {
            let job = play(&world, model, provider, &format!("answer={answer}")).await;
            assert_eq!(job.state(), State::Succeeded, "{provider} {answer}: {job:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fraction_of_retry_after_is_waited_for() {
    let world = World::new().await;
    let job = play(&world, "pika-2.2", "fal", "create=refuse:429, times=1, retry_after=19.6").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 2), "{job:?}");
    let waited = job.attempts()[1].started_at.since(job.attempts()[0].started_at);
    assert!(waited >= Duration::from_secs(20), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_words_are_shown_and_those_of_the_caller_are_not() {
    let world = World::new().await;
    for (model, provider, directives) in [
        ("pika-2.2", "fal", "create=refuse:422"),
        ("gen-4.5", "runway", "create=refuse:422"),
        ("gen-4.5", "runway", "fail=content_policy"),
    ] {
        let job = play(&world, model, provider, directives).await;
        let fault = job.attempts()[0].fault.clone().unwrap();
        let said = fault.words.clone().unwrap_or_else(|| panic!("{provider} {directives}: {job:?}"));
        assert!(!said.contains("a boat at sea") && !said.contains("://"), "{said}");
        let shown = world.status(job.id()).await.body;
        assert_eq!(shown["error"]["message"], said, "{shown}");
        assert_eq!(shown["attempts"][0]["error"]["message"], said);
    }
}
