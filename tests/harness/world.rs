//! One stack under a manual clock, with an account, and a caller of its API.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::time::Timestamp;
use local::host::{Function, Invocation};
use local::stack::{self, Options, Pool, Stack, audited, start_function};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::boot::{Clock, Env, Process, Random};
use shared::operate;
use shared::operate::audit::{self, Report};
use shared::provider::adapter;
use shared::store::Table;
use shared::store::audit::{LedgerSnapshot, Source};
use shared::store::jobs::JobStore;
use shared::store::keys::shard;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Ledger;
use sim::{CallKind, RemoteJobView, Simulator};
use tempfile::TempDir;

use crate::runtime;
use crate::wire::Wire;

/// How long a simulated remote job runs whose prompt does not say.
pub const LATENCY: Duration = Duration::from_secs(30);
/// Credits of the account that every world begins with.
pub const CREDITS: u64 = 1_000_000;
/// How the books are checked: files are kept, and nothing lags.
/// The remote jobs of the simulated providers.
pub type RemoteJobViews = BTreeMap<Provider, Vec<RemoteJobView>>;

pub const AUDIT: audit::Options = audit::Options {
    media_days: None,
    pause: Duration::from_millis(5),
    delivers: |provider| adapter(provider).capabilities().delivers,
};
/// Rounds in which everything must have come to rest.
pub(crate) const ROUNDS_MAX: usize = 400;

/// A started stack with one account. Nothing moves unless a test moves it.
#[derive(Debug)]
pub struct World {
    pub stack: Stack,
    pub clock: Clock,
    pub wire: Wire,
    pub account: AccountId,
    pub key: String,
    /// What the harness itself reads and writes with: its calls do not go over the wire.
    pub operator: Process,
    http: reqwest::Client,
    _folder: TempDir,
}

/// A function that the host does not know.
pub struct Started {
    name: String,
    function: Arc<dyn Function>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Started").field(&self.name).finish()
    }
}

impl Started {
    pub async fn invoke(&self, event: Value) -> Value {
        let arn = format!("arn:aws:lambda:eu-central-1:123456789012:function:{}", self.name);
        let context = Invocation {
            request_id: "request".to_owned(),
            function_name: self.name.clone(),
            function_arn: arn,
            deadline_ms: u64::MAX,
            trace_id: String::new(),
        };
        self.function.invoke(event, context).await.expect("the function answers")
    }

    /// Handles one message of its queue.
    pub async fn handle(&self, message: &Value) {
        let record = json!({"messageId": "1", "body": message.to_string(), "eventSource": "aws:sqs"});
        let answer = self.invoke(json!({"Records": [record]})).await;
        assert_eq!(answer["batchItemFailures"], json!([]), "{message}");
    }
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The code of an error in any dialect.
    pub fn code(&self) -> &str {
        ["/code", "/error/code"].map(|at| self.text(at)).into_iter().max().unwrap_or_default()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose stack is started differently.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let wire = Wire::new();
        let mut options = Options {
            port: 0,
            databases: None,
            media: folder.path().to_owned(),
            env: Env::default(),
            pool: Pool::simulated(),
            public_url: None,
            catalog: None,
            webhooks: true,
            callback_secret: "a callback secret that is long enough for tests".to_owned(),
            endpoint_secret: "a master secret that is long enough for tests".to_owned(),
            inbound_secret: "an inbound secret that is long enough for tests".to_owned(),
            latency: LATENCY,
            clock: Clock::manual(Clock::System.now()),
            random: Random::seeded(7),
            clocks: BTreeMap::new(),
            unreachable: Vec::new(),
            aws_wire: Some(wire.client()),
            around: Some(wire.around()),
        };
        change(&mut options);
        let clock = options.clock.clone();
        let stack = Box::pin(Stack::start(options)).await.expect("the stack starts");
        let operator = Process { aws: stack::aws(None).await, ..stack.operator.clone() };
        let account: AccountId = "acct_test".parse().expect("an account id");
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let mut world = Self {
            http: client.build().expect("a client"),
            stack,
            clock,
            wire,
            account: account.clone(),
            key: String::new(),
            operator,
            _folder: folder,
        };
        world.key = world.new_key(&account, vec![Scope::Read, Scope::Write]).await;
        world.grant(&account, Credits::ONE.checked_mul(CREDITS).expect("it fits")).await;
        world.wire.reset();
        world
    }

    pub async fn new_key(&self, account: &AccountId, scopes: Vec<Scope>) -> String {
        let random = Random::System.bytes();
        let (keys, now) = (KeyStore::new(self.table()), self.clock.now());
        let token = operate::keys::create(&keys, account.clone(), scopes, random, now).await;
        token.expect("the key is stored")
    }

    pub async fn grant(&self, account: &AccountId, amount: Credits) {
        let id = format!("test{}", Random::System.u64());
        let granted = Ledger::new(self.table()).grant(account, &id, amount, self.clock.now()).await;
        granted.expect("the credits are granted");
    }

    pub fn table(&self) -> Table {
        Table::new(self.operator.dynamodb(), self.operator.env.get("TABLE").unwrap_or_default())
    }

    pub fn jobs(&self) -> JobStore {
        JobStore::new(self.table())
    }

    pub fn simulator(&self, provider: Provider) -> &Simulator {
        &self.stack.simulators[&provider]
    }

    /// How often a provider's endpoint of this kind was called.
    pub fn calls(&self, provider: Provider, kind: CallKind) -> usize {
        self.simulator(provider).calls().iter().filter(|call| call.kind == kind).count()
    }

    // The API, as a caller sees it.

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        self.send(method, path, headers, body.unwrap_or_default().as_bytes().to_vec()).await
    }

    /// As [`call`](Self::call), with any bytes.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.stack.api_url));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(&self.key);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let sent = request.send().await.expect("the API answers");
        let (status, headers) = (sent.status(), sent.headers().clone());
        let text = sent.text().await.expect("the answer is text");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub async fn post_job(&self, body: &Value, idempotency_key: &str) -> Answer {
        // In quotes, as the key may have a comma.
        let key = match idempotency_key.is_empty() || idempotency_key.contains('"') {
            true => idempotency_key.to_owned(),
            false => format!("\"{idempotency_key}\""),
        };
        self.call(Method::POST, "/v1/jobs", &[("idempotency-key", &key)], Some(&body.to_string())).await
    }

    /// Submits until it is accepted: the same order under the same key, as callers shall.
    pub async fn submit(&self, model: &str, prompt: &str, idempotency_key: &str) -> JobId {
        let body = json!({"model": model, "prompt": prompt});
        for _ in 0..5 {
            let answer = self.post_job(&body, idempotency_key).await;
            if answer.status == StatusCode::ACCEPTED {
                return answer.text("/id").parse().expect("a job id");
            }
            assert!(answer.status.is_server_error(), "{answer:?}");
        }
        panic!("the submit is never accepted");
    }

    pub async fn cancel(&self, id: &JobId) -> Answer {
        self.call(Method::POST, &format!("/v1/jobs/{id}/cancel"), &[], None).await
    }

    pub async fn status(&self, id: &JobId) -> Answer {
        self.call(Method::GET, &format!("/v1/jobs/{id}"), &[], None).await
    }

    // Behind the API.

    pub async fn job(&self, id: &JobId) -> Job {
        self.jobs().get(id).await.expect("the table answers").expect("the job exists")
    }

    pub async fn state(&self, id: &JobId) -> State {
        self.job(id).await.state()
    }

    pub async fn balance(&self) -> Credits {
        Ledger::new(self.table()).balance(&self.account).await.expect("the table answers").available()
    }

    /// Handles every message and delivers every webhook that is due now.
    pub async fn drain(&self) {
        for _ in 0..ROUNDS_MAX {
            let handled = self.stack.host.step_queues().await.expect("the queues answer");
            let mut delivered = self.stack.payments.deliver_due().await;
            for simulator in self.stack.simulators.values() {
                delivered += simulator.deliver_due().await.expect("the simulator delivers");
            }
            if handled + delivered == 0 {
                return;
            }
        }
        panic!("the queues never run empty");
    }

    /// Turns the clock forward and lets happen what is due at the end.
    pub async fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.drain().await;
    }

    /// Fires the schedules and lets happen what follows.
    pub async fn tick(&self) {
        self.stack.host.fire_schedules().await;
        self.drain().await;
    }

    /// Lets time pass, from one due thing to the next, until the job has ended and nothing
    /// of it is left to do.
    pub async fn finish(&self, id: &JobId) -> Job {
        self.drain().await;
        for _ in 0..ROUNDS_MAX {
            let job = self.job(id).await;
            if job.state().is_terminal() && job.superseded_attempts().next().is_none() {
                return job;
            }
            self.pass_time(id).await;
        }
        panic!("the job never ends: {:?}", self.job(id).await);
    }

    /// Has `reconcile` look after what is due, and lets happen what follows.
    pub async fn reconcile(&self) {
        self.sweep().await;
        self.drain().await;
    }

    /// Runs `reconcile` alone.
    pub async fn sweep(&self) {
        let event = include_str!("../../events/reconcile/schedule.json");
        let event = serde_json::from_str(event).expect("the event is JSON");
        // What it fails at, it tries again when it comes by next.
        let _answer = self.stack.host.invoke("reconcile", event).await;
    }

    /// A function of this world as another configuration starts it: with these variables, also in
    /// place of what its secrets say.
    pub async fn start(&self, name: &str, variables: &[(&str, &str)]) -> Started {
        let mut environment = runtime::environment(self, name);
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = Process { env: Env::from_pairs(environment), ..self.operator.clone() };
        let process = process.with_references().await.expect("secrets and catalogue are read");
        let function = start_function(name, &process).expect("the function starts");
        Started { name: name.to_owned(), function }
    }

    /// Turns the clock to the next thing that is due, and lets it happen.
    pub async fn pass_time(&self, id: &JobId) {
        let now = self.clock.now();
        let check = self.next_check(id, now).await;
        let due = self.stack.next_due().expect("the stack answers");
        let next = due.into_iter().chain(check).min().unwrap_or(now + Duration::from_secs(60));
        self.clock.advance(next.since(now).max(Duration::from_millis(1)));
        self.drain().await;
        if check.is_some_and(|check| check <= self.clock.now()) {
            self.reconcile().await;
        }
    }

    /// When `reconcile` next has something to do in the job's shard.
    async fn next_check(&self, id: &JobId, now: Timestamp) -> Option<Timestamp> {
        let far = now + Duration::from_secs(30 * 24 * 3_600);
        let due = self.jobs().due(shard(id), far, 1).await.expect("the index answers");
        due.first().map(|due| due.check_at)
    }

    /// Checks the books; panics with every violation.
    pub async fn audit(&self) -> Report {
        let report = self.inspect().await;
        assert!(report.violations.is_empty(), "{report}");
        report
    }

    /// Checks the books.
    pub async fn inspect(&self) -> Report {
        self.inspect_as(AUDIT, &self.remote_jobs()).await
    }

    /// Checks the books in another way.
    pub async fn inspect_as(&self, options: audit::Options, remote_jobs: &RemoteJobViews) -> Report {
        let remote_jobs =
            remote_jobs.iter().map(|(provider, jobs)| (*provider, jobs.iter().map(audited).collect()));
        let remote_jobs = remote_jobs.collect();
        let report = audit::audit(&self.source(), &remote_jobs, options, || self.clock.now()).await;
        report.expect("the table is read")
    }

    /// What the audit reads: also the content of each file.
    pub fn source(&self) -> Source {
        let bucket = self.operator.env.get("MEDIA_BUCKET").unwrap_or_default().to_owned();
        Source { table: self.table(), s3: self.operator.s3(), bucket, deep: true }
    }

    pub async fn books(&self) -> LedgerSnapshot {
        self.source().read().await.expect("the books are read")
    }

    /// What the simulated providers have made.
    pub fn remote_jobs(&self) -> RemoteJobViews {
        let simulators = self.stack.simulators.iter();
        let made = simulators.map(|(provider, simulator)| (*provider, simulator.remote_jobs()));
        made.map(|(provider, jobs)| (provider, jobs.expect("the simulator answers"))).collect()
    }
}
