//! The console, as a browser without script sees it.

mod credits;
mod endpoints;
mod pages;

use domain::id::AccountId;
use harness::{Receiver, World};
use http::StatusCode;
use reqwest::redirect::Policy;
use shared::store::keystore::{KeyStore, Scope};

/// A browser: it keeps the session cookie, and says where its forms come from.
pub(crate) struct Browser {
    http: reqwest::Client,
    url: String,
    origin: String,
    cookie: String,
}

/// What the browser got.
#[derive(Debug)]
pub(crate) struct Shown {
    status: StatusCode,
    pub(crate) location: String,
    cookie: String,
    policy: String,
    html: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let origin = world.stack.api_url.clone();
        Self { http, url: format!("{origin}/console"), origin, cookie: String::new() }
    }

    pub(crate) async fn signed_in(world: &World, key: &str) -> Self {
        let mut browser = Self::new(world);
        let shown = browser.post("/sign-in", &[("key", key)]).await;
        assert_eq!((shown.status, shown.location.as_str()), (StatusCode::SEE_OTHER, "/console"), "{shown:?}");
        browser.cookie = shown.cookie.split(';').next().unwrap().to_owned();
        browser
    }

    async fn get(&self, path: &str) -> Shown {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Shown {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let post = self.http.post(format!("{}{path}", self.url)).header("origin", &self.origin).body(body);
        self.send(post.header("content-type", "application/x-www-form-urlencoded")).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Shown {
        let request = if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) };
        let sent = request.send().await.unwrap();
        let header =
            |name: &str| sent.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (location, cookie) = (header("location"), header("set-cookie"));
        let policy = header("content-security-policy");
        let status = sent.status();
        Shown { status, location, cookie, policy, html: sent.text().await.unwrap() }
    }
}

/// The hidden field that makes a form one job.
fn form_key(html: &str) -> String {
    let (_, rest) = html.split_once("name=\"form\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Whatever the console can do, once.
pub(crate) async fn everything(world: &World) {
    let browser = Browser::signed_in(world, &world.key).await;
    let fields = [("form", "rights"), ("model", "gen-4.5"), ("prompt", "a boat [[sim: latency=600]]")];
    let job = browser.post("/playground", &fields).await.location;
    world.drain().await;
    let job = job.strip_prefix("/console").unwrap();
    for page in ["", "/jobs", job, "/gallery", "/credits", "/endpoints", "/endpoints/ep_callback", "/key"] {
        assert_eq!(browser.get(page).await.status, StatusCode::OK, "{page}");
    }
    browser.post(&format!("{job}/cancel"), &[]).await;
    // One that has not begun ends at once, which is an event.
    let fields = [("form", "rights, too"), ("model", "gen-4.5"), ("prompt", "a boat")];
    let job = browser.post("/playground", &fields).await.location;
    browser.post(&format!("{}/cancel", job.strip_prefix("/console").unwrap()), &[]).await;
    let receiver = Receiver::start().await;
    let endpoint = endpoints::endpoint(world, &receiver.url("/console")).await;
    let tested = browser.post(&format!("{endpoint}/test"), &[]).await.location;
    world.drain().await;
    let event = endpoints::sent(&tested);
    browser.get(&format!("{endpoint}?sent={event}")).await;
    for (action, fields) in [("redeliver", &[("event", event.as_str())][..]), ("pause", &[]), ("resume", &[])]
    {
        let changed = browser.post(&format!("{endpoint}/{action}"), fields).await;
        assert_eq!(changed.status, StatusCode::SEE_OTHER, "{action}: {changed:?}");
    }
    credits::everything(&browser, world).await;
    browser.post("/sign-out", &[]).await;
    world.drain().await;

    let key = world.new_key(&AccountId::operator(), vec![Scope::Read, Scope::Write]).await;
    let operator = Browser::signed_in(world, &key).await;
    let account = format!("/operate/accounts?account={}", world.account);
    for page in ["/operate/providers", "/operate/jobs", "/operate/alarms", account.as_str()] {
        assert_eq!(operator.get(page).await.status, StatusCode::OK, "{page}");
    }
    operator.post("/operate/providers/luma/pause", &[]).await;
    operator.post("/operate/providers/luma/resume", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_submits_watches_and_signs_out() {
    let world = World::new().await;
    let stranger = Browser::new(&world);
    for path in ["", "/jobs", "/operate/providers", "/nonsense"] {
        let shown = stranger.get(path).await;
        assert!(shown.status == StatusCode::OK && shown.html.contains("API key"), "{path}: {shown:?}");
    }
    let wrong = stranger.post("/sign-in", &[("key", "gmx_wrong_key")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.html.contains("role=\"alert\"") && wrong.cookie.is_empty(), "{wrong:?}");

    let shown = stranger.post("/sign-in", &[("key", world.key.as_str()), ("next", "jobs")]).await;
    assert_eq!(shown.location, "/console/jobs");
    assert!(
        shown.cookie.contains("HttpOnly; SameSite=Lax") && !shown.cookie.contains(&world.key),
        "{shown:?}"
    );
    let browser = Browser::signed_in(&world, &world.key).await;

    let form = browser.get("/playground?model=gen-4.5").await;
    assert!(form.html.contains("Price: ") && form.policy.contains("script-src 'self'"), "{form:?}");
    let key = form_key(&form.html);
    let fields = [
        ("form", key.as_str()),
        ("model", "gen-4.5"),
        ("prompt", "<b>a \"boat\"</b> & more"),
        ("duration_s", "5"),
    ];
    let submitted = browser.post("/playground", &fields).await;
    assert_eq!(submitted.status, StatusCode::SEE_OTHER, "{submitted:?}");
    let again = browser.post("/playground", &fields).await;
    assert_eq!(again.location, submitted.location, "one form is one job");
    let path = submitted.location.strip_prefix("/console").unwrap();

    let running = browser.get(path).await;
    assert!(running.html.contains("&lt;b&gt;a &quot;boat&quot;&lt;/b&gt; &amp; more"), "{running:?}");
    assert!(running.html.contains("hx-trigger=\"every 3s\"") && running.html.contains("Cancel this job"));
    // The file will appear in this page.
    assert!(running.policy.contains("media-src 'self' http://"), "{}", running.policy);
    // The same again, without the prompt in a URL.
    assert!(running.html.contains(&format!("/console/playground?from={}", &path["/jobs/".len()..])));
    let again = browser.get(&format!("/playground?from={}", &path["/jobs/".len()..])).await;
    assert!(again.html.contains("a &quot;boat&quot;") && again.html.contains("selected>5<"), "{again:?}");
    world.finish(&path["/jobs/".len()..].parse().unwrap()).await;
    let ended = browser.get(path).await;
    assert!(ended.html.contains("<video") && !ended.html.contains("hx-trigger"), "{ended:?}");
    assert!(ended.policy.contains("media-src 'self' http://"), "{}", ended.policy);
    for (page, text) in [
        ("", "Succeeded in 24 hours"),
        ("/jobs?status=succeeded", "gen-4.5"),
        ("/jobs?status=failed", "There is no such job."),
        ("/gallery", "<video"),
        ("/credits", "charge"),
        ("/endpoints", "This account has no endpoint."),
        ("/key", "read"),
    ] {
        let shown = browser.get(page).await;
        assert!(shown.status == StatusCode::OK && shown.html.contains(text), "{page}: {shown:?}");
        assert!(!shown.html.contains(&world.key), "{page}");
    }

    let gone = browser.post("/sign-out", &[]).await;
    assert!(gone.cookie.contains("genmux_session=;") && gone.cookie.contains("Max-Age=0"), "{gone:?}");
    assert!(browser.get("/jobs").await.html.contains("API key"), "the session has ended");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_says_what_is_wrong_and_charges_nothing() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let balance = world.balance().await;
    for (fields, text) in [
        (&[("model", "gen-4.5"), ("prompt", "a boat"), ("duration_s", "99")][..], "duration_s"),
        (&[("model", "gen-4.5"), ("prompt", " ")], "prompt"),
        (&[("model", "gen-4.5"), ("prompt", "a"), ("seed", "lucky")], "`seed` must be a whole number"),
        (&[("model", "gen-4.5"), ("prompt", "a"), ("image_url", "http://10.0.0.1/a.png")], "image_url"),
    ] {
        let refused = browser.post("/playground", &[&[("form", "f1")], fields].concat()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert!(
            refused.html.contains("role=\"alert\"") && refused.html.contains(text),
            "{text}: {refused:?}"
        );
        assert!(refused.html.contains("name=\"form\" value=\"f1\""), "the form stays: {refused:?}");
    }
    assert_eq!(world.balance().await, balance);
    // Neither another site, nor a key that only reads.
    let forged = browser.http.post(format!("{}/playground", browser.url)).header("cookie", &browser.cookie);
    let forged = forged.header("origin", "https://evil.example").body("form=a&model=gen-4.5&prompt=a");
    assert_eq!(forged.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let reader = world.new_key(&world.account, vec![Scope::Read]).await;
    let reader = Browser::signed_in(&world, &reader).await;
    let refused = reader.post("/playground", &[("form", "f2"), ("model", "gen-4.5"), ("prompt", "a")]).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.html.contains("can only read"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_canceled_and_a_failed_one_says_why() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let id = world.submit("gen-4.5", "a boat", "cancel").await;
    let canceled = browser.post(&format!("/jobs/{id}/cancel"), &[]).await;
    assert_eq!(canceled.location, format!("/console/jobs/{id}"));
    world.finish(&id).await;
    let shown = browser.get(&format!("/jobs/{id}")).await;
    assert!(shown.html.contains("status canceled") && shown.html.contains("refunded"), "{shown:?}");
    let late = browser.post(&format!("/jobs/{id}/cancel"), &[]).await;
    assert!(late.status == StatusCode::CONFLICT || late.status == StatusCode::SEE_OTHER, "{late:?}");

    let id = world.submit("gen-4.5", "a boat [[sim: fail=content_policy]]", "policy").await;
    world.finish(&id).await;
    let shown = browser.get(&format!("/jobs/{id}")).await;
    assert!(shown.html.contains("status failed") && shown.html.contains("content_policy"), "{shown:?}");

    // Another account's job is as one that does not exist.
    let other: AccountId = "acct_other".parse().unwrap();
    let other =
        Browser::signed_in(&world, &world.new_key(&other, vec![Scope::Read, Scope::Write]).await).await;
    for shown in [
        other.get(&format!("/jobs/{id}")).await,
        other.get(&format!("/playground?from={id}")).await,
        other.post(&format!("/jobs/{id}/cancel"), &[]).await,
    ] {
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{shown:?}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_pauses_a_provider_and_sees_no_prompt() {
    let world = World::new().await;
    let id = world.submit("gen-4.5", "a very private boat", "private").await;
    let caller = Browser::signed_in(&world, &world.key).await;
    assert_eq!(caller.get("/operate/providers").await.status, StatusCode::NOT_FOUND);
    assert_eq!(caller.post("/operate/providers/runway/pause", &[]).await.status, StatusCode::NOT_FOUND);

    let key = world.new_key(&AccountId::operator(), vec![Scope::Read, Scope::Write]).await;
    let operator = Browser::signed_in(&world, &key).await;
    assert_eq!(
        operator.post("/operate/providers/runway/pause", &[]).await.location,
        "/console/operate/providers"
    );
    assert!(operator.get("/operate/providers").await.html.contains("Resume"));
    operator.post("/operate/providers/runway/resume", &[]).await;
    assert!(!operator.get("/operate/providers").await.html.contains("Resume"));
    assert_eq!(operator.post("/operate/providers/nonsense/pause", &[]).await.status, StatusCode::NOT_FOUND);

    let account = format!("/operate/accounts?account={}", world.account);
    for page in ["/operate/jobs", account.as_str()] {
        let shown = operator.get(page).await;
        assert!(
            shown.html.contains(id.as_str()) && !shown.html.contains("private boat"),
            "{page}: {shown:?}"
        );
    }
    assert_eq!(operator.get(&format!("/jobs/{id}")).await.status, StatusCode::NOT_FOUND);
    assert!(operator.get("/operate/accounts?account=x").await.html.contains("role=\"alert\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_key_and_by_itself() {
    let world = World::new().await;
    let key = world.new_key(&world.account, vec![Scope::Read]).await;
    let browser = Browser::signed_in(&world, &key).await;
    assert!(browser.get("/key").await.html.contains("Sign out"));
    let id = key.split('_').nth(1).unwrap().parse().unwrap();
    KeyStore::new(world.table()).revoke(&id).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(61));
    assert!(browser.get("/key").await.html.contains("API key"), "the key was revoked");

    let browser = Browser::signed_in(&world, &world.key).await;
    world.clock.advance(std::time::Duration::from_secs(12 * 3_600 + 1));
    assert!(browser.get("/key").await.html.contains("API key"), "twelve hours have passed");
}
