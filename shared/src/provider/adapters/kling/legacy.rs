//! Kling's older API: the model in the body, a token that we sign for each call, lengths as
//! texts, one path for each kind of video.
//!
//! A remote job is polled under the path that created it, which follows from its route: routes are
//! `text2video/<model>` and `image2video/<model>`, never both in one.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde::Serialize;
use serde_json::{Value, json};

use super::common::{API, PING, billed, class_of_failure, data, no_task, notice, read_create, read_ping};
use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup, has_usual_input};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, Lost, without_nulls};
use crate::provider::outcome::{Found, Notice, Outcome, Page, Polled, Unreadable};
use crate::provider::reading::{self, amount, asset_url, items, step, text, word};
use domain::catalog::Route;
use domain::id::RemoteJob;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::Fault;
use signatures::{Secret, Verified, jwt};

/// A token's lifetime and the allowed clock difference, in seconds.
const TOKEN_LIVES_S: i64 = 1_800;
const CLOCKS_DIFFER_S: i64 = 5;

/// What their modes make.
const MODES: [(&str, &str); 3] = [("720p", "std"), ("1080p", "pro"), ("4k", "4k")];

pub(in crate::provider::adapters) struct KlingLegacy;

impl Adapter for KlingLegacy {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::StandardWebhooks),
            // The answer to an unknown reference is not documented.
            look_up: LookUp::Likely,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["KLING_ACCESS_KEY", "KLING_SECRET_KEY"])
    }

    fn authorize(&self, key: &Secret, now: Timestamp) -> Option<(HeaderName, String)> {
        let (access, secret) = key.expose().split_once(':')?;
        let token = token(access, secret, now).filter(|_| !access.is_empty())?;
        Some((AUTHORIZATION, format!("Bearer {token}")))
    }

    fn check_route(&self, route: &Route) -> Result<(), &'static str> {
        let is_kind = |endpoint: &str| endpoint.split_once('/').is_some();
        match route.endpoints().all(is_kind) {
            true => has_usual_input(route),
            false => Err("an endpoint of this API is `text2video/MODEL` or `image2video/MODEL`"),
        }
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let (kind, model) = order.endpoint().split_once('/')?;
        Some(Call::new(Method::POST, API, format!("/v1/videos/{kind}")).json(input(order, model)?))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        read_create(answer, "task_id")
    }

    fn poll(&self, remote: &RemoteJob, route: &str) -> Call {
        task(kind_of(route), &remote.id)
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let Some(task) = data(answer).filter(Value::is_object) else { return no_task(answer) };
        match text(&task["task_id"]) {
            Some(id) if id == remote.id => polled(&task),
            Some(_) => Polled::Unreadable("other_job"),
            None => Polled::Unreadable("no_id"),
        }
    }

    /// Our reference stands for their id in the path.
    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        Some(task(kind_of(&lost.order.route.name()), lost.order.reference))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let found = match data(answer).filter(Value::is_object) {
            Some(task) => {
                let ours = task["task_info"]["external_task_id"] == lost.order.reference;
                let remote = reading::remote(&task["task_id"]).filter(|_| ours);
                remote.map_or(Found::Unreadable("other_job"), Found::Job)
            }
            None if matches!(no_task(answer), Polled::Ended(_)) => Found::Nothing,
            None => Found::Unreadable(answer.cause()),
        };
        found.into()
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let task = reading::event(body, &["task_id"])?;
        notice(&task["task_id"], polled(&task))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, PING)
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        read_ping(answer)
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    exp: i64,
    nbf: i64,
}

/// A JSON Web Token (HMAC-SHA256), valid for half an hour. `None` without a secret.
fn token(access: &str, secret: &str, now: Timestamp) -> Option<String> {
    let now = now.as_secs();
    let claims = Claims { iss: access, exp: now + TOKEN_LIVES_S, nbf: now - CLOCKS_DIFFER_S };
    jwt::hs256(secret, &claims)
}

/// The call that asks after one remote job, by their id or our reference.
fn task(kind: &str, name: &str) -> Call {
    Call::new(Method::GET, API, format!("/v1/videos/{kind}/{}", step(name)))
}

/// The path that a route's remote jobs are made under.
fn kind_of(route: &str) -> &str {
    let endpoint = route.strip_prefix(Provider::KlingLegacy.name()).unwrap_or(route);
    endpoint.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// `None` for a size that they have no mode for.
fn input(order: &CreateOrder<'_>, model: &str) -> Option<Value> {
    let request = order.request;
    let (_, mode) = MODES.iter().find(|(resolution, _)| *resolution == request.resolution)?;
    Some(without_nulls(json!({
        "model_name": model,
        "mode": mode,
        "prompt": request.prompt,
        "duration": request.duration_s?.to_string(),
        "external_task_id": order.reference,
        "callback_url": order.callback,
        "negative_prompt": request.negative_prompt,
        "aspect_ratio": request.aspect_ratio,
        "image": request.image_url,
        "image_tail": request.last_frame_url,
        "sound": order.audio().map(|sound| if sound { "on" } else { "off" }),
    })))
}

fn polled(task: &Value) -> Polled {
    let sentence = task["task_status_msg"].as_str();
    match &*word(&task["task_status"]) {
        "submitted" | "processing" => Polled::Pending,
        "succeed" => {
            let videos = items(&task["task_result"]["videos"]);
            let file = videos.iter().find_map(|video| asset_url(&video["url"]));
            reading::finished(file, None, sentence)
        }
        "failed" => {
            // Units of a package, and an amount in a currency that is not named: they say whether
            // something was billed, and not what.
            let charges = [&task["final_unit_deduction"], &task["final_balance_deduction"]["quota"]];
            let amounts: Vec<_> =
                charges.into_iter().filter(|charge| !charge.is_null()).map(amount).collect();
            let class = class_of_failure(sentence.unwrap_or_default());
            reading::broke(Fault::new(class, None, billed(&amounts)).saying(sentence), None)
        }
        _ => Polled::Unreadable("unknown_status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::KlingLegacy)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("poll", "finished broke gone pending content_policy unknown_status")
            .some("look_up", "found nothing other_job");
    }

    /// Made by another program. The members of its header may stand in any order.
    #[test]
    fn a_token_is_signed_as_their_documentation_has_it() {
        let key = Secret::new("ak_example:sk_example");
        let (name, value) = KlingLegacy.authorize(&key, Timestamp::from_secs(1_700_000_000)).unwrap();
        assert_eq!(name, AUTHORIZATION);
        assert_eq!(
            value,
            "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.\
             eyJpc3MiOiJha19leGFtcGxlIiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9.\
             untyQT2-xP5wAnZJ14IYT2bpn8grVkGuVdDWSBSoj9Q"
        );
    }

    #[test]
    fn half_a_key_is_none() {
        for key in ["", "ak_example", ":sk_example", "ak_example:"] {
            assert!(KlingLegacy.authorize(&Secret::new(key), Timestamp::from_secs(0)).is_none(), "{key}");
        }
    }
}
