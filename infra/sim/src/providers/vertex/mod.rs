//! Vertex's Veo: tokens, operations, a model's page, and the bucket that results go to.
//!
//! Its own directive is `grpc=N`: the operation ends in the error of that gRPC code.

mod models;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::models::{MODELS, Video};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal, ResultPlay};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};
use crate::frame::{media, poll};
use crate::providers::google::{error, invalid, not_found, refusal};
use crate::providers::rsa::{KID, RsaKey};

const PROJECT: &str = "simulated-project";
const ACCOUNT: &str = "genmux@simulated-project.iam.gserviceaccount.com";
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_LASTS_S: i64 = 3_599;

#[derive(Debug)]
pub(super) struct Vertex;

impl Wire for Vertex {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Token => CallKind::Token,
            Target::Create { .. } => CallKind::Create,
            Target::Fetch { .. } => CallKind::Poll,
            Target::Model(_) => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, why: Refusal) -> Response {
        refusal(why)
    }

    /// Only tokens that were given here, while they last.
    fn accepts(&self, simulator: &Simulator, key: &str) -> bool {
        let claims = RsaKey::new(simulator.secret.bytes()).and_then(|own| own.claims(key));
        let now = simulator.clock.now().as_secs();
        claims.is_ok_and(|claims| {
            claims["sub"] == ACCOUNT && claims["exp"].as_i64().is_some_and(|exp| now < exp)
        })
    }

    /// `…/o/<folder>%2F<job>%2F<file>`.
    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (_, object) = path.strip_prefix("/storage/v1/b/")?.split_once("/o/")?;
        let (folder, _) = object.rsplit_once("%2F")?;
        Some(folder.rsplit_once("%2F").map_or(folder, |(_, id)| id))
    }

    fn media_need_key(&self) -> bool {
        true
    }

    fn draw_secret(&self) -> anyhow::Result<Vec<u8>> {
        RsaKey::draw()
    }

    /// The key file of the one service account there is.
    fn credentials(&self, simulator: &Simulator) -> Vec<(&'static str, String)> {
        let file = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": KID,
            "private_key": RsaKey::pem(simulator.secret.bytes()),
            "client_email": ACCOUNT,
            "token_uri": AUDIENCE,
        });
        vec![
            ("GOOGLE_APPLICATION_CREDENTIALS_JSON", file.to_string()),
            ("VERTEX_STORAGE_URI", "gs://simulated-bucket/veo".to_owned()),
        ]
    }

    fn has_directive(&self, key: &str, value: &str) -> bool {
        key == "grpc" && value.parse().is_ok_and(|code: u8| (1..=16).contains(&code))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Token,
    Create { parent: &'a str, model: &'a str },
    Fetch { parent: &'a str, model: &'a str },
    Model(&'a str),
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    let path = call.path();
    if path == "/token" && post {
        return Target::Token;
    }
    if let Some(model) = path.strip_prefix("/v1/publishers/google/models/").filter(|_| get) {
        return Target::Model(model);
    }
    // Google's own client speaks the beta version of the same.
    let resource = path.strip_prefix("/v1/").or_else(|| path.strip_prefix("/v1beta1/"));
    let parts = resource.and_then(|name| name.split_once("/publishers/google/models/"));
    match parts.and_then(|(parent, rest)| Some((parent, rest.split_once(':')?))) {
        Some((parent, (model, "predictLongRunning"))) if post => Target::Create { parent, model },
        Some((parent, (model, "fetchPredictOperation"))) if post => Target::Fetch { parent, model },
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let target = target(call);
    if matches!(target, Target::Token) {
        return token(simulator, call);
    }
    if !simulator.is_authorized(call) {
        return Ok(refusal(Refusal::WrongKey).into());
    }
    match target {
        Target::Create { parent, model } => create(simulator, call, parent, model).await,
        Target::Fetch { parent, model } => fetch(simulator, call, parent, model).await,
        Target::Model(model) if MODELS.contains(&model) => {
            let name = format!("publishers/google/models/{model}");
            Ok(Json(json!({"name": name, "versionId": "001", "launchStage": "GA"})).into())
        }
        Target::Model(_) | Target::Token | Target::Nothing => Ok(not_found().into()),
    }
}

/// Gives a token for an assertion that the account's key signed just now.
fn token(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let refused = |error: &str, text: &str| {
        let body = json!({"error": error, "error_description": text});
        Ok((StatusCode::BAD_REQUEST, Json(body)).into())
    };
    let form: std::collections::HashMap<_, _> = url::form_urlencoded::parse(&call.body).collect();
    let is_form = call.header("content-type") == Some("application/x-www-form-urlencoded");
    if !is_form || form.get("grant_type").is_none_or(|grant| grant != GRANT) {
        return refused("unsupported_grant_type", "Invalid grant_type");
    }
    let own = RsaKey::new(simulator.secret.bytes())?;
    let Ok(claims) = form.get("assertion").map_or(Ok(Value::Null), |assertion| own.claims(assertion)) else {
        return refused("invalid_grant", "Invalid JWT Signature.");
    };
    let now = simulator.clock.now().as_secs();
    let (issued, ends) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
    let is_short = now < ends && ends - issued <= 3_600 && issued <= now + 60;
    if claims["iss"] != ACCOUNT || claims["aud"] != AUDIENCE || !is_short {
        return refused("invalid_grant", "Invalid JWT: it must be this account's, short-lived and in time.");
    }
    if !claims["scope"].as_str().unwrap_or_default().split(' ').any(|scope| scope == SCOPE) {
        return refused("invalid_scope", "Invalid OAuth scope.");
    }
    let access = own.token(&json!({"sub": ACCOUNT, "exp": now + TOKEN_LASTS_S}))?;
    let body = json!({"access_token": access, "expires_in": TOKEN_LASTS_S, "token_type": "Bearer"});
    Ok(Json(body).into())
}

async fn create(simulator: &Simulator, call: &Inbound, parent: &str, model: &str) -> anyhow::Result<Answer> {
    if let Some(denied) = denied(parent, model) {
        return Ok(denied.into());
    }
    let Ok(body) = call.object() else {
        return Ok(invalid("Invalid JSON payload received.").into());
    };
    let Video { prompt, seconds, aspect, storage } = match models::video(&body) {
        Ok(video) => video,
        Err(flaw) => return Ok(invalid(&flaw).into()),
    };
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&message).into()),
    };
    let name = format!("{parent}/publishers/google/models/{model}/operations/");
    let new_job = NewJob {
        // One segment of an object's name, too.
        id: create::uuid()?.replace('-', ""),
        endpoint: model.to_owned(),
        medium: Medium::Video { seconds },
        aspect,
        extra: json!({"name": name, "storage": storage}),
        prompt,
        callback: None,
        play,
    };
    create::play(simulator, new_job, async |job: RemoteJob| {
        Ok(Json(json!({"name": name_of(&job)})).into_response())
    })
    .await
}

fn name_of(job: &RemoteJob) -> String {
    format!("{}{}", job.extra["name"].as_str().unwrap_or_default(), job.id)
}

/// Why a model of this project and location may not be used.
fn denied(parent: &str, model: &str) -> Option<Response> {
    let location = parent.strip_prefix(&format!("projects/{PROJECT}/locations/"));
    match location {
        None => Some(error(
            StatusCode::FORBIDDEN,
            "PERMISSION_DENIED",
            "Permission 'aiplatform.endpoints.predict' denied on resource (or it may not exist).",
        )),
        Some(location) if location.is_empty() || location.contains('/') => Some(not_found()),
        Some(_) if !MODELS.contains(&model) => Some(not_found()),
        Some(_) => None,
    }
}

async fn fetch(simulator: &Simulator, call: &Inbound, parent: &str, model: &str) -> anyhow::Result<Answer> {
    if let Some(denied) = denied(parent, model) {
        return Ok(denied.into());
    }
    let body = call.object().unwrap_or_default();
    let Some(name) = body.get("operationName").and_then(Value::as_str) else {
        return Ok(invalid("operationName is required.").into());
    };
    let id = name.rsplit('/').next().unwrap_or_default();
    let of_model = name.starts_with(&format!("{parent}/publishers/google/models/{model}/operations/"));
    let job = simulator.find(id)?.filter(|job| of_model && name_of(job) == name);
    let Some(job) = job else { return Ok(not_found().into()) };
    let now = simulator.clock.now();
    let truth = operation(simulator, &job, now).await?;
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, truth, "/done").into())
}

/// The JSON of an operation at a time.
async fn operation(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<Value> {
    let name = name_of(job);
    let failed = |code: u64, message: &str| {
        Ok(json!({"name": name, "done": true, "error": {"code": code, "message": message}}))
    };
    let kind = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse";
    let done = |mut response: Value| {
        response["@type"] = json!(kind);
        Ok(json!({"name": name, "done": true, "response": response}))
    };
    let code = job.play.own.get("grpc").and_then(|code| code.parse().ok());
    match (job.phase(now), code) {
        (Phase::Throttled | Phase::Queued | Phase::Running(_), _) => Ok(json!({"name": name, "done": false})),
        (Phase::Succeeded, Some(code)) => failed(code, "An error of this code."),
        (Phase::Canceled, _) => failed(1, "The operation was cancelled."),
        (Phase::Failed(Failure::Internal), _) => failed(13, "Video generation failed. Please try again."),
        (Phase::Failed(Failure::Invalid), _) => failed(3, "The image could not be read."),
        (Phase::Failed(Failure::ContentPolicy), _) => done(json!({
            "raiMediaFilteredCount": 1,
            "raiMediaFilteredReasons": ["The video violates our usage guidelines. Support codes: 15236754"],
        })),
        (Phase::Failed(Failure::NoCode), _) => done(json!({})),
        (Phase::Succeeded, None) if job.play.result == Some(ResultPlay::NoMedia) => done(json!({})),
        (Phase::Succeeded, None) => done(json!({"videos": [video(simulator, job).await?]})),
    }
}

/// Where the video was written to; inline, if the create named no place.
async fn video(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Value> {
    Ok(match job.extra["storage"].as_str() {
        Some(folder) => {
            json!({"gcsUri": format!("{folder}{}/sample_0.mp4", job.id), "mimeType": "video/mp4"})
        }
        None => {
            let bytes = media::bytes(simulator, job).await?;
            json!({"bytesBase64Encoded": BASE64.encode(&bytes), "mimeType": "video/mp4"})
        }
    })
}
