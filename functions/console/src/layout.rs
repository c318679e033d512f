//! The frame of every page, its headers, and how values are written.

use domain::credit::Credits;
use domain::job::State;
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::{Body, Response};
use maud::{DOCTYPE, Markup, html};
use shared::edge::http::Problem;

use super::assets;
use super::session::Visitor;

/// The pages of every account, and those of the operator.
const PAGES: [(&str, &str); 7] = [
    ("", "Overview"),
    ("jobs", "Jobs"),
    ("playground", "Playground"),
    ("gallery", "Gallery"),
    ("credits", "Credits"),
    ("endpoints", "Endpoints"),
    ("key", "Key"),
];
const OPERATOR_PAGES: [(&str, &str); 4] = [
    ("operate/providers", "Providers"),
    ("operate/jobs", "Active jobs"),
    ("operate/alarms", "Alarms"),
    ("operate/accounts", "Accounts"),
];

/// Where the console is, for its links.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    /// The base path of a custom domain; usually empty.
    base: &'a str,
}

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    pub(crate) title: &'a str,
    /// The entry of the navigation that it belongs to.
    pub(crate) entry: &'a str,
    /// Where its media come from.
    pub(crate) media: Option<String>,
    pub(crate) body: Markup,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(base: &'a str) -> Self {
        Self { base }
    }

    /// The URL of a page.
    pub(crate) fn at(&self, path: &str) -> String {
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{}/console{slash}{path}", self.base)
    }

    /// A page of someone who has signed in.
    pub(crate) fn page(&self, visitor: &Visitor, content: Content<'_>) -> Response<Body> {
        let links = |pages: &[(&'static str, &'static str)]| {
            html! {
                @for (path, name) in pages {
                    li { a href=(self.at(path)) aria-current=[(*path == content.entry).then_some("page")] { (name) } }
                }
            }
        };
        let body = html! {
            header {
                a.brand href=(self.at("")) { "Genmux" }
                nav aria-label="Pages" {
                    ul {
                        (links(&PAGES)) @if visitor.is_operator() { (links(&OPERATOR_PAGES)) }
                        li { a href={ (self.base) "/docs" } { "API" } }
                    }
                }
                form.out method="post" action=(self.at("sign-out")) {
                    span { (visitor.name()) } " " button.plain type="submit" { "Sign out" }
                }
            }
            main { h1 { (content.title) } (content.body) }
        };
        self.document(content.title, content.media.as_deref(), &body)
    }

    /// The header of the API's page, which is for everyone.
    pub(crate) fn guide(&self) -> Markup {
        html! {
            header {
                a.brand href=(self.at("")) { "Genmux" }
                nav aria-label="Pages" {
                    ul {
                        li { a href=(self.at("")) { "Console" } }
                        li { a href={ (self.base) "/openapi.json" } { "OpenAPI document" } }
                    }
                }
            }
        }
    }

    /// The form to sign in; then the page `next` is shown.
    pub(crate) fn sign_in(&self, next: &str, wrong: Option<&str>) -> Response<Body> {
        let body = html! {
            main.narrow {
                h1 { "Genmux" }
                form method="post" action=(self.at("sign-in")) {
                    input type="hidden" name="next" value=(next);
                    label for="key" { "API key" }
                    input #key name="key" type="password" required autocomplete="current-password" placeholder="gmx_…"
                        aria-describedby=[wrong.map(|_| "wrong")];
                    @if let Some(wrong) = wrong { p #wrong.bad role="alert" { (wrong) } }
                    button type="submit" { "Sign in" }
                }
                p.quiet { "The local stack prints its key when it starts. An operator makes one by " code { "genmux keys create" } "." }
                p { a href={ (self.base) "/docs" } { "The API" } }
            }
        };
        self.document("Sign in", None, &body)
    }

    /// What went wrong, in the words of the API.
    pub(crate) fn problem(&self, problem: &Problem) -> Response<Body> {
        let title = if problem.status == StatusCode::NOT_FOUND { "Not found" } else { "That did not work" };
        let body = html! {
            main.narrow {
                h1 { (title) }
                p role="alert" { (problem.detail) }
                @if !problem.errors.is_empty() { ul { @for error in &problem.errors { li { code { (error.field) } " " (error.detail) } } } }
                p { a href=(self.at("")) { "To the overview" } }
            }
        };
        let mut response = self.document(title, None, &body);
        *response.status_mut() = problem.status;
        response
    }

    /// Shows another page of the console.
    pub(crate) fn redirect(&self, path: &str) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::SEE_OTHER;
        if let Ok(target) = HeaderValue::from_str(&self.at(path)) {
            response.headers_mut().insert(LOCATION, target);
        }
        response
    }

    /// Has the script of a page whose session has ended show the form to sign in, in the place of the whole page.
    pub(crate) fn reload(&self, path: &str) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(target) = HeaderValue::from_str(&self.at(path)) {
            headers.insert(HeaderName::from_static("hx-redirect"), target);
        }
        response
    }

    pub(crate) fn document(&self, title: &str, media: Option<&str>, body: &Markup) -> Response<Body> {
        let asset = |name: &str| format!("{}?{}", self.at(name), assets::version());
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Neither inline styles nor `eval`: the policy below forbids both.
                    meta name="htmx-config" content=r#"{"includeIndicatorStyles":false,"allowEval":false}"#;
                    title { (title) " · Genmux" }
                    link rel="stylesheet" href=(asset("console.css"));
                    link rel="icon" href="data:,";
                    script src=(asset("htmx.js")) defer {}
                }
                body { (body) }
            }
        };
        let mut response = Response::new(Body::Text(markup.into_string()));
        let headers = response.headers_mut();
        let media = media.unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: {media}; \
             media-src 'self' {media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "same-origin"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("x-robots-tag"), "noindex"),
            (CONTENT_SECURITY_POLICY, policy.as_str()),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The attributes of a part that is replaced every few seconds by itself in a new answer of the same page.
/// Without script, the page shows it as it was.
pub(crate) fn live(body: &Markup, is_live: bool) -> Markup {
    html! {
        div #live hx-get=[is_live.then_some("")] hx-trigger=[is_live.then_some("every 3s")]
            hx-select=[is_live.then_some("#live")] hx-swap=[is_live.then_some("outerHTML")] { (body) }
    }
}

/// A time in UTC.
pub(crate) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let short = text.get(..19).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) title=(text) { (short) } }
}

pub(crate) fn status(state: State) -> Markup {
    html! { span class={ "status " (state.name()) } { (state.name()) } }
}

/// An amount, with its worth: a credit is a cent.
pub(crate) fn credits(amount: Credits) -> Markup {
    html! { span.amount { (amount) " credits" } }
}

/// A table that scrolls by itself where the page is too narrow.
pub(crate) fn table<const N: usize>(
    caption: &str,
    headings: [&str; N],
    rows: &[[Markup; N]],
    empty: &str,
) -> Markup {
    html! {
        @if rows.is_empty() { p.quiet { (empty) } } @else {
            div.wide tabindex="0" role="region" aria-label=(caption) {
                table {
                    thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                    tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
                }
            }
        }
    }
}
