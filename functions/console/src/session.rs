//! Sign-in by API key, to a session cookie that no script can read.

use std::time::Duration;

use data_encoding::HEXLOWER;
use domain::id::{AccountId, base32};
use lambda_http::http::header::{COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN, SET_COOKIE};
use lambda_http::http::{StatusCode, Uri};
use lambda_http::{Body, Request, Response};
use sha2::{Digest, Sha256};
use shared::edge::http::Problem;
use shared::store::keystore::{ApiKey, Scope};

use super::App;
use super::form::Form;
use super::layout::Layout;

const NAME: &str = "genmux_session";
const VALID_FOR: Duration = Duration::from_secs(12 * 3_600);

/// Who has signed in.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) key: ApiKey,
}

impl Visitor {
    /// Whether the pages of operators are theirs.
    pub(crate) fn is_operator(&self) -> bool {
        self.key.account == AccountId::operator()
    }

    /// The name of the account, without its prefix.
    pub(crate) fn name(&self) -> &str {
        self.key.account.as_str()
    }
}

/// Who the session cookie of a request stands for. Their key may have been revoked since.
pub(crate) async fn visitor(app: &App, request: &Request) -> Result<Option<Visitor>, Problem> {
    let Some(token) = cookie(request.headers()) else { return Ok(None) };
    let now = app.clock.now();
    let Some(id) = app.sessions.key(&digest(token), now).await? else { return Ok(None) };
    let Some(key) = app.callers.active(&id, now).await? else { return Ok(None) };
    app.callers.admit(&key, Scope::Read, now)?;
    Ok(Some(Visitor { key }))
}

/// `POST sign-in`: begins a session, if the key is right.
pub(crate) async fn sign_in(
    app: &App,
    request: &Request,
    layout: &Layout<'_>,
    form: &Form,
) -> Result<Response<Body>, Problem> {
    let now = app.clock.now();
    let next = form.get("next").filter(|next| is_path(next)).unwrap_or_default();
    let key = match form.get("key") {
        Some(token) => app.callers.key_of(token, now).await?,
        None => None,
    };
    let Some(key) = key else {
        let mut page = layout.sign_in(next, Some("There is no such key, or it was revoked."));
        *page.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(page);
    };
    let token = base32(&app.random.bytes::<32>());
    app.sessions.create(&digest(&token), &key.id, now + VALID_FOR).await?;
    let mut response = layout.redirect(next);
    set_cookie(&mut response, request, layout, &token, VALID_FOR);
    Ok(response)
}

/// `POST sign-out`: ends the session.
pub(crate) async fn sign_out(
    app: &App,
    request: &Request,
    layout: &Layout<'_>,
) -> Result<Response<Body>, Problem> {
    if let Some(token) = cookie(request.headers()) {
        app.sessions.end(&digest(token)).await?;
    }
    let mut response = layout.redirect("");
    set_cookie(&mut response, request, layout, "", Duration::ZERO);
    Ok(response)
}

/// Refuses a form that another site has posted.
pub(crate) fn check_origin(request: &Request) -> Result<(), Problem> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| origin.parse::<Uri>().ok());
    let from = origin.as_ref().filter(|origin| origin.scheme().is_some());
    let from = from.and_then(Uri::authority).map(|authority| authority.as_str());
    if from.is_some() && from == text(HOST) {
        return Ok(());
    }
    let detail = "The form was sent by another site. Nothing was changed.";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// Where the console is, as the browser knows it that has posted a form: checked by [`check_origin`].
pub(crate) fn origin(request: &Request) -> &str {
    request.headers().get(ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A path below the console, and no other site.
fn is_path(next: &str) -> bool {
    next.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c)) && !next.starts_with('/')
}

fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, token)| *name == NAME && !token.is_empty()).map(|(_, token)| token)
}

/// `Secure` where the page came by TLS: a local stack has none.
fn set_cookie(
    response: &mut Response<Body>,
    request: &Request,
    layout: &Layout<'_>,
    token: &str,
    valid_for: Duration,
) {
    let is_tls = request.headers().get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if is_tls { "; Secure" } else { "" };
    let (path, age) = (layout.at(""), valid_for.as_secs());
    let cookie = format!("{NAME}={token}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::default();
        for (name, value) in headers {
            let name = lambda_http::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let host = ("host", "api.example:8787");
        assert!(check_origin(&request(&[host, ("origin", "http://api.example:8787")])).is_ok());
        for origin in ["http://api.example", "http://evil.example:8787", "null", "", "api.example:8787"] {
            assert!(check_origin(&request(&[host, ("origin", origin)])).is_err(), "{origin}");
        }
        assert!(check_origin(&request(&[host])).is_err(), "a browser says where a form comes from");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        for (header, token) in [
            ("genmux_session=abc", Some("abc")),
            ("a=1; genmux_session=abc; b=2", Some("abc")),
            ("genmux_session=", None),
            ("xgenmux_session=abc", None),
            ("", None),
        ] {
            assert_eq!(cookie(request(&[("cookie", header)]).headers()), token, "{header}");
        }
    }

    #[test]
    fn a_sign_in_leads_to_a_page_of_the_console_alone() {
        for next in ["", "jobs", "jobs/job_1", "operate/providers"] {
            assert!(is_path(next), "{next}");
        }
        for next in ["//evil.example", "/x", "https://evil.example", "..", "jobs?x", "a b", "jobs\r\nx: y"] {
            assert!(!is_path(next), "{next}");
        }
    }
}
