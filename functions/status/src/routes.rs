//! The routes of the API, as in the template. The template sends requests without a route here.

use lambda_http::Request;
use lambda_http::http::{Method, StatusCode};
use shared::edge::dialect::{gateway, openai};
use shared::edge::http::Problem;

pub(crate) const JOBS: &str = "GET /v1/jobs";
pub(crate) const JOB: &str = "GET /v1/jobs/{id}";
pub(crate) const MODELS: &str = "GET /v1/models";
pub(crate) const VIDEO_MODELS: &str = "GET /v1/videos/models";
pub(crate) const PROVIDERS: &str = "GET /v1/providers";
pub(crate) const ACCOUNT: &str = "GET /v1/account";
pub(crate) const USAGE: &str = "GET /v1/usage";
pub(crate) const OPENAPI: &str = "GET /openapi.json";
pub(crate) const CONTENT: &str = "GET /v1/jobs/{id}/content";
pub(crate) const CONTENT_HEAD: &str = "HEAD /v1/jobs/{id}/content";
pub(crate) const VIDEOS: &str = "GET /v1/videos";
pub(crate) const VIDEO: &str = "GET /v1/videos/{id}";
pub(crate) const VIDEO_CONTENT: &str = "GET /v1/videos/{id}/content";
pub(crate) const CONFIG: &str = "GET /v1/ai/config";
pub(crate) const OPERATION: &str = "POST /v1/ai/video-model/status";

/// The routes of this function that need a key.
pub(crate) const READS: [&str; 14] = [
    JOBS,
    JOB,
    CONTENT,
    CONTENT_HEAD,
    MODELS,
    VIDEO_MODELS,
    PROVIDERS,
    ACCOUNT,
    USAGE,
    VIDEOS,
    VIDEO,
    VIDEO_CONTENT,
    CONFIG,
    OPERATION,
];

/// Every route of all functions.
pub const ROUTES: [&str; 47] = [
    JOBS,
    "POST /v1/jobs",
    "POST /v1/quotes",
    "POST /v1/uploads",
    JOB,
    "POST /v1/jobs/{id}/cancel",
    MODELS,
    VIDEO_MODELS,
    PROVIDERS,
    ACCOUNT,
    USAGE,
    OPENAPI,
    CONTENT,
    CONTENT_HEAD,
    "DELETE /v1/jobs/{id}/media",
    "POST /v1/videos",
    VIDEOS,
    VIDEO,
    "DELETE /v1/videos/{id}",
    VIDEO_CONTENT,
    CONFIG,
    "POST /v1/ai/video-model/start",
    OPERATION,
    "POST /v1/webhooks/{provider}/{token}",
    "POST /v1/inbound/{source}/{token}",
    "POST /v1/payments/{processor}",
    "GET /v1/packs",
    "GET /v1/topups",
    "POST /v1/topups",
    "GET /v1/topups/{id}",
    "GET /v1/endpoints",
    "POST /v1/endpoints",
    "GET /v1/endpoints/{id}",
    "PATCH /v1/endpoints/{id}",
    "DELETE /v1/endpoints/{id}",
    "GET /v1/endpoints/{id}/secret",
    "POST /v1/endpoints/{id}/secret/rotate",
    "POST /v1/endpoints/{id}/test",
    "POST /v1/endpoints/{id}/tickets",
    "POST /v1/endpoints/{id}/recover",
    "GET /v1/endpoints/{id}/deliveries",
    "GET /v1/events",
    "GET /v1/events/{id}",
    "GET /v1/events/{id}/deliveries",
    "POST /v1/events/{id}/redeliver",
    "GET /v1/unsubscribe/{token}",
    "POST /v1/unsubscribe/{token}",
];

/// The problem of a request without a route.
pub(crate) fn refuse(request: &Request) -> Problem {
    if let Some(unsupported) = unsupported(request) {
        return unsupported;
    }
    let methods = methods(request.uri().path());
    if methods.is_empty() || methods.contains(&request.method().as_str()) {
        return Problem::no_route();
    }
    let allowed = methods.join(", ");
    let detail = format!("This path takes only: {allowed}.");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    Problem { allow: Some(allowed.into()), ..problem }
}

/// What other servers of the same dialects have, and this one has not.
fn unsupported(request: &Request) -> Option<Problem> {
    let path = request.uri().path();
    let is_path = |end: &str| request.method() == Method::POST && path.ends_with(end);
    if is_path("/v1/ai/video-model") {
        return Some(gateway::unpolled());
    }
    let takes_video = ["/remix", "/v1/videos/edits", "/v1/videos/extensions", "/v1/videos/characters"];
    (path.contains("/v1/videos/") && takes_video.into_iter().any(is_path)).then(openai::takes_no_video)
}

/// The methods of a path, without the base path of a custom domain. A path that a route names in full is
/// no other route's, whatever its parameters could stand for.
fn methods(path: &str) -> Vec<&'static str> {
    let start = path.find("/v1/").or_else(|| path.find("/openapi.json")).unwrap_or(0);
    let own = &path[start..];
    let routes = ROUTES.iter().filter_map(|route| route.split_once(' '));
    let mut found: Vec<_> = routes.filter(|(_, route)| matches(route, own)).collect();
    if found.iter().any(|(_, route)| *route == own) {
        found.retain(|(_, route)| *route == own);
    }
    found.into_iter().map(|(method, _)| method).collect()
}

fn matches(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(step)) if part == step => {}
            (Some(part), Some(step)) if part.starts_with('{') && !step.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_parts_and_takes_its_methods() {
        for route in ROUTES {
            let (method, path) = route.split_once(' ').unwrap();
            let path = path.replace("{id}", "x").replace("{provider}", "fal").replace("{token}", "t");
            assert!(methods(&path).contains(&method), "{route}");
            assert_eq!(methods(&format!("/genmux{path}")), methods(&path), "{route}");
        }
        assert_eq!(methods("/v1/jobs").join(" "), "GET POST");
        assert_eq!(methods("/v1/jobs/x/cancel"), [Method::POST.as_str()]);
        assert_eq!(methods("/v1/videos/models"), [Method::GET.as_str()]);
        for path in ["/", "/v1", "/v1/jobs/", "/v1/jobs/x/", "/v1/jobs/x/y", "/V1/jobs", "/v1//jobs", ""] {
            assert_eq!(methods(path), Vec::<&str>::new(), "{path}");
        }
    }
}
