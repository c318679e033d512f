//! Faults of real servers: creates that are accepted and then answered
//! with an error, jobs that are not found for a while, failures that are billed.

use super::*;
use crate::frame::jobs::RemoteJobView;
use crate::frame::webhook;
use crate::frame::wire::Payload;

fn view(bench: &Bench) -> RemoteJobView {
    bench.simulator.remote_jobs().unwrap().pop().unwrap()
}

/// Whether the provider bills for the last job of all.
fn bills(bench: &Bench) -> bool {
    view(bench).bills
}

async fn poll(bench: &Bench, job: &Value) -> (u16, Value) {
    read((bench.client.poll)(bench, job).send().await.unwrap()).await
}

#[tokio::test]
async fn a_create_is_taken_and_then_answered_with_an_error() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        for code in [500, 502, 503, 504] {
            let prompt = format!("a [[sim: create=accept-then:{code}]]");
            let (got, body) = read((client.create)(&bench, &prompt, None).send().await.unwrap()).await;
            // Hailuo returns errors in the body of a 200.
            let is_error = got == code || body["base_resp"]["status_code"].as_u64() > Some(0);
            assert!(is_error, "{} {code}: {got} {body}", client.provider);
        }
        let page = (client.create)(&bench, "a [[sim: create=accept-then:html]]", None).send().await.unwrap();
        assert_eq!(page.status(), 502);
        assert!(page.text().await.unwrap().starts_with("<!DOCTYPE html>"));
        assert_eq!(jobs(&bench), 5);
        bench.wait(60);
        assert!(bench.simulator.remote_jobs().unwrap().iter().all(|job| job.bills));
    }
}

#[tokio::test]
async fn the_first_creates_are_taken_and_denied_as_often_as_is_ordered() {
    let bench = Bench::of(&RUNWAY).await;
    for code in [500, 200] {
        let call = (RUNWAY.create)(&bench, "a [[sim: create=accept-then:500, times=1]]", None);
        assert_eq!(call.send().await.unwrap().status(), code);
    }
    assert_eq!(jobs(&bench), 2);
}

#[tokio::test]
async fn with_a_fault_profile_every_call_takes_effect_and_returns_an_error() {
    let bench = Bench::of(&FAL).await;
    let job = bench.create("a boat").await;
    let until = bench.clock.now() + Duration::from_secs(60);
    bench.simulator.set_fault_profile("all=accept-then:504", until).unwrap();
    assert_eq!((FAL.create)(&bench, "a boat", None).send().await.unwrap().status(), 504);
    assert_eq!(jobs(&bench), 2);
    let canceled = bench.call(Method::PUT, text(&job, "cancel_url")).send().await.unwrap();
    assert_eq!(canceled.status(), 504);
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
    bench.simulator.set_fault_profile("create=accept-then:500", until).unwrap();
    assert_eq!((FAL.create)(&bench, "a boat", None).send().await.unwrap().status(), 500);
    assert_eq!(jobs(&bench), 3);
}

#[tokio::test]
async fn a_create_answers_the_id_of_an_earlier_job() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        let first = bench.create("a [[sim: create=same-id]]").await;
        let second = bench.create("b [[sim: create=same-id]]").await;
        assert_eq!(jobs(&bench), 1, "{}", client.provider);
        let id = view(&bench).id;
        assert!(first.to_string().contains(&id) && second.to_string().contains(&id), "{second}");
    }
}

#[tokio::test]
async fn a_new_job_is_not_found_for_a_while() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        let job = bench.create("a [[sim: status=invisible:25]]").await;
        let id = view(&bench).id;
        let not_found = poll(&bench, &json_of_another(&job, &id)).await;
        bench.wait(24);
        let (status, body) = poll(&bench, &job).await;
        assert_eq!((status, json_of_another(&body, &id)), not_found, "{}", client.provider);
        bench.wait(1);
        assert_eq!(word(client, &poll(&bench, &job).await.1.to_string()), client.words[1]);
    }
}

/// The answer with an id that does not exist.
fn json_of_another(answer: &Value, id: &str) -> Value {
    let other: String = id.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    serde_json::from_str(&answer.to_string().replace(id, &other)).unwrap()
}

#[tokio::test]
async fn a_cancel_does_not_find_a_job_that_is_hidden_and_does_not_stop_it() {
    let bench = Bench::of(&FAL).await;
    let job = bench.create("a [[sim: status=404:30]]").await;
    let codes = [(10, 202), (10, 404), (29, 404), (1, 202)];
    for (wait, code) in codes {
        bench.wait(wait);
        assert_eq!(poll(&bench, &job).await.0, code, "after {wait} s more");
        if code == 404 {
            let canceled = bench.call(Method::PUT, text(&job, "cancel_url")).send().await.unwrap();
            assert_eq!(canceled.status(), 404);
        }
    }
    bench.wait(10);
    assert_eq!(view(&bench).state, RemoteState::Succeeded);
    let bench = Bench::of(&REPLICATE).await;
    bench.create("a [[sim: status=invisible:30]]").await;
    let cancel = bench.call(Method::POST, &format!("/v1/predictions/{}/cancel", view(&bench).id));
    assert_eq!(cancel.send().await.unwrap().status(), 404);
    assert_eq!(view(&bench).state, RemoteState::Queued);
}

#[tokio::test]
async fn polls_in_the_middle_of_the_run_are_denied_as_ordered() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        for code in [500, 403] {
            let answers = polled(&bench, &format!("a [[sim: status={code}]]")).await;
            assert_eq!(answers[1].0, code, "{}", client.provider);
            assert_eq!(word(client, &answers[3].1), client.words[2]);
        }
    }
}

#[tokio::test]
async fn a_poll_hangs_in_the_middle_of_the_run() {
    let bench = Bench::of(&RUNWAY).await;
    let job = bench.create("a [[sim: status=hang:30]]").await;
    bench.wait(30);
    let call = (RUNWAY.poll)(&bench, &job).timeout(Duration::from_millis(200));
    assert!(call.send().await.unwrap_err().is_timeout());
    bench.wait(30);
    assert_eq!(poll(&bench, &job).await.1["status"], "SUCCEEDED");
}

#[tokio::test]
async fn a_failure_is_billed_where_that_is_ordered() {
    for client in CLIENTS {
        let bench = Bench::of(client).await;
        for (play, billed) in [("internal", false), ("internal-billed", true)] {
            bench.create(&format!("a [[sim: fail={play}]]")).await;
            assert!(!bills(&bench), "nothing is billed that runs");
            bench.wait(60);
            assert_eq!((view(&bench).state, bills(&bench)), (RemoteState::Failed, billed), "{play}");
        }
    }
}

#[tokio::test]
async fn providers_that_tell_what_they_bill_tell_it_of_failures_too() {
    for (client, path) in [(&RUNWAY, "/cost/credits"), (&KLING, "/data/0/billing/0/amount")] {
        let bench = Bench::of(client).await;
        let job = bench.create("a [[sim: fail=internal-billed]]").await;
        bench.wait(60);
        let (_, body) = poll(&bench, &job).await;
        let value = body.pointer(path).unwrap();
        let amount = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        assert!(amount > Some(0.0), "{body}");
    }
    let bench = Bench::of(&KLING_LEGACY).await;
    let job = bench.create("a [[sim: fail=internal-billed]]").await;
    bench.wait(60);
    assert_eq!(poll(&bench, &job).await.1["data"]["final_unit_deduction"], "1");
    let bench = Bench::of(&FAL).await;
    let job = bench.create("a [[sim: fail=internal-billed]]").await;
    bench.wait(60);
    assert_eq!(bench.get(text(&job, "response_url")).await.0, 422);
}

#[tokio::test]
async fn what_is_stopped_is_billed_unless_it_waited_or_the_provider_says_otherwise() {
    let cancel = async |bench: &Bench, job: &Value| match bench.client.provider {
        Provider::Fal => bench.call(Method::PUT, text(job, "cancel_url")).send().await.unwrap(),
        Provider::Replicate => {
            let path = format!("/v1/predictions/{}/cancel", text(job, "id"));
            bench.call(Method::POST, &path).send().await.unwrap()
        }
        _ => bench.call(Method::DELETE, &format!("/v1/tasks/{}", text(job, "id"))).send().await.unwrap(),
    };
    for (client, running) in [(&FAL, true), (&REPLICATE, true), (&RUNWAY, false)] {
        let bench = Bench::of(client).await;
        for (wait, billed) in [(5, false), (30, running)] {
            let job = bench.create("a boat").await;
            bench.wait(wait);
            assert!(cancel(&bench, &job).await.status().is_success());
            assert_eq!((view(&bench).state, bills(&bench)), (RemoteState::Canceled, billed));
        }
    }
}

#[tokio::test]
async fn a_prediction_that_its_deadline_stops_is_billed_if_it_ran() {
    let bench = Bench::of(&REPLICATE).await;
    for (throttled, billed) in [(0, true), (30, false)] {
        let prompt = format!("a [[sim: throttled={throttled}, latency=60]]");
        let call = (REPLICATE.create)(&bench, &prompt, None).header("cancel-after", "20s");
        assert_eq!(call.send().await.unwrap().status(), 201);
        bench.wait(30);
        assert_eq!(bills(&bench), billed, "throttled for {throttled} s");
    }
}

#[tokio::test]
async fn equal_prompts_are_all_listed_on_as_many_pages_as_it_takes() {
    let bench = Bench::of(&FAL).await;
    for _ in 0..3 {
        bench.create("a boat").await;
    }
    bench.wait(1);
    let path = "/v1/models/requests/by-endpoint?endpoint_id=fal-ai/veo3.1/fast&expand=payloads&limit=2";
    let (_, first) = bench.get(path).await;
    let (_, rest) = bench.get(&format!("{path}&cursor={}", text(&first, "next_cursor"))).await;
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    let all: Vec<_> = items(&first).into_iter().chain(items(&rest)).collect();
    let mut ids: Vec<_> = all.iter().map(|item| text(item, "request_id")).collect();
    ids.dedup();
    assert_eq!((ids.len(), &first["has_more"], &rest["has_more"]), (3, &json!(true), &json!(false)));
    assert!(all.iter().all(|item| item["json_input"] == all[0]["json_input"]));

    let bench = Bench::of(&REPLICATE).await;
    let start = bench.clock.now();
    for _ in 0..102 {
        bench.create("a boat").await;
    }
    bench.wait(100);
    bench.create("a boat").await;
    let end = start + Duration::from_secs(50);
    let (_, first) = bench.get(&format!("/v1/predictions?created_before={end}")).await;
    let (_, rest) = bench.get(text(&first, "next")).await;
    let count = |page: &Value| page["results"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&rest), &rest["next"]), (100, 2, &Value::Null));
}

#[tokio::test]
async fn a_webhook_that_does_not_arrive_does_not_tell_its_url() {
    let bench = Bench::of(&FAL).await;
    let payload = Payload { body: String::new(), signature: Vec::new() };
    let url = "http://127.0.0.1:1/v1/webhooks/a-token";
    let error = webhook::post(&bench.simulator, url, payload).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("a-token"), "{error:?}");
}
