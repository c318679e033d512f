//! For every server on loopback, also those of the stand-ins for AWS: protects the local ports from web pages: rejects requests with a foreign `Origin` (CSRF) or a foreign
//! `Host` (DNS rebinding).

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, StatusCode};
use url::{Host, Url};

/// Rejects foreign requests ([`is_foreign`]) at every route. `public` is an additional allowed host, and pages
/// of `origins` are not foreign; `*` is any.
pub fn guarded(router: Router, public: Option<&Url>, origins: Vec<String>) -> Router {
    let public = public.and_then(authority);
    router.layer(from_fn_with_state((public, origins), check))
}

type Allowed = (Option<String>, Vec<String>);

async fn check(State((public, origins)): State<Allowed>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let origin = text(headers, ORIGIN);
    let is_allowed = origins.iter().any(|allowed| allowed == "*" || Some(allowed.as_str()) == origin);
    let refuses = match is_allowed {
        true => is_by_a_foreign_name(headers, public.as_deref()),
        false => is_foreign(headers, public.as_deref()),
    };
    if refuses { refused() } else { next.run(request).await }
}

/// The answer to a foreign request.
pub fn refused() -> Response {
    (StatusCode::FORBIDDEN, axum::Json(serde_json::json!({"message": "Forbidden"}))).into_response()
}

/// Whether a browser sent this for a page of another origin, or by a name that is not this machine's.
pub fn is_foreign(headers: &HeaderMap, public: Option<&str>) -> bool {
    is_of_another_page(headers) || is_by_a_foreign_name(headers, public)
}

/// Whether it was sent for a page that did not come from here.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let own = text(headers, HOST).unwrap_or_default();
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        of.is_none_or(|of| !of.eq_ignore_ascii_case(own))
    })
}

/// Whether it was sent to a name that is neither loopback nor `public`.
pub fn is_by_a_foreign_name(headers: &HeaderMap, public: Option<&str>) -> bool {
    headers.get_all(HOST).iter().any(|host| {
        let host = host.to_str().unwrap_or_default();
        let is_public = public.is_some_and(|public| public.eq_ignore_ascii_case(host));
        !is_public && !is_loopback(host)
    })
}

fn is_loopback(host: &str) -> bool {
    match Url::parse(&format!("http://{host}/")).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A URL's host, with its port where it is not the usual one.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_by_a_name_of_this_machine_and_of_its_own_pages_are_taken() {
        let foreign = |pairs: &[(HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            is_foreign(&headers.collect(), Some("films.example"))
        };
        let own = "127.0.0.1:8787";
        for host in [own, "localhost:8787", "127.0.0.1", "[::1]:8787", "films.example", "127.8.9.10:1"] {
            assert!(!foreign(&[(HOST, host)]), "{host}");
        }
        for host in ["evil.example:8787", "10.0.0.1", "localhost.evil.example", "films.example:81", "", "a b"]
        {
            assert!(foreign(&[(HOST, host)]), "{host}");
        }
        assert!(!foreign(&[(HOST, own), (ORIGIN, "http://127.0.0.1:8787")]));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000", "", "file://"] {
            assert!(foreign(&[(HOST, own), (ORIGIN, origin)]), "{origin}");
        }
    }
}
