//! The whole stack in one process: storage, queues, functions, simulated providers.

mod deployed;
mod functions;
mod providers;
mod sdk;
mod source;
mod traced;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use domain::provider::Provider;
use domain::time::Timestamp;
use http::header::CONTENT_TYPE;
use shared::boot::metrics::{Exposition, prometheus};
use shared::boot::{Clock, Env, Process, Random};
use shared::operate::audit::{RemoteJob, RemoteJobs};
use shared::store::own_catalog::OwnCatalog;
use sim::channels::Channels;
use sim::guard::guarded;
use sim::payments::Payments;
use sim::{RemoteJobView, RemoteState, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::s3::S3;
use crate::aws::secrets::{Members, Secrets};
use crate::aws::sqs::{QueueSpec, Redrive, Sqs};
use crate::host::{Function, Functions, Host, Template};

pub use functions::start_function;
pub use providers::{Pool, Providers, clock, deliver, outward, start as providers};
pub use sdk::aws;

const REGION: &str = "us-east-1";
const ACCOUNT_ID: &str = "000000000000";
const TABLE: &str = "genmux";
const BUCKET: &str = "genmux-media";
/// The interval at which expired items are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How a stack is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the API; 0 for any.
    pub port: u16,
    /// The folder of tables, queues and remote jobs; `None`: in memory.
    pub databases: Option<PathBuf>,
    /// The folder of the bucket.
    pub media: PathBuf,
    /// Keys and origins of the real providers, by variable, and settings. They do not select a provider.
    pub env: Env,
    /// The providers.
    pub pool: Pool,
    /// The owner's own catalogue, as text.
    pub catalog: Option<String>,
    /// The API's public URL, for callbacks of real providers.
    pub public_url: Option<Url>,
    /// Whether creates have callback URLs; without, every attempt is polled.
    pub webhooks: bool,
    /// Key of the callback tokens.
    pub callback_secret: String,
    /// The master secret of endpoints.
    pub endpoint_secret: String,
    /// Key of the URLs of inbound sources; the sources are `INBOUND_SOURCES` of `env`.
    pub inbound_secret: String,
    /// The default duration of a simulated remote job.
    pub latency: Duration,
    pub clock: Clock,
    /// Other clocks by function name, one per instance.
    pub clocks: BTreeMap<String, Vec<Clock>>,
    pub random: Random,
    /// A test's own HTTP client for the AWS SDK.
    pub aws_wire: Option<SharedHttpClient>,
    /// Simulators that are unreachable, for tests.
    pub unreachable: Vec<Provider>,
    /// A test's wrapper of every function.
    pub around: Option<Around>,
}

/// Wraps a function, by name, in another.
#[derive(Clone)]
pub struct Around(pub Arc<Wrap>);

type Wrap = dyn Fn(&str, Arc<dyn Function>) -> Arc<dyn Function> + Send + Sync;

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
    }
}

/// A started stack. Its servers answer; queues and schedules run only in [`Stack::run`], or step by step
/// in a test.
#[derive(Debug)]
pub struct Stack {
    pub host: Host,
    pub sqs: Sqs,
    pub dynamodb: DynamoDb,
    pub secrets: Secrets,
    pub simulators: BTreeMap<Provider, Simulator>,
    pub channels: Channels,
    pub payments: Payments,
    pub api_url: String,
    /// For operator commands: table, bucket, clock.
    pub operator: Process,
    /// Stops queues, schedules and timers.
    shutdown: CancellationToken,
    /// Stops the storage, after `shutdown`.
    storage: CancellationToken,
    servers: JoinSet<Result<()>>,
}

impl Stack {
    pub async fn start(options: Options) -> Result<Self> {
        let storage = CancellationToken::new();
        let shutdown = CancellationToken::new();
        let mut servers = JoinSet::new();
        let file = |name: &str| options.databases.as_ref().map(|folder| folder.join(name));

        let dynamodb =
            DynamoDb::start(listen(0).await?, file("table.sqlite").as_deref(), storage.clone()).await?;
        let s3 = S3::start(listen(0).await?, &options.media, storage.clone()).await?;
        let sqs_listener = listen(0).await?;
        let sqs_url = url_of(&sqs_listener)?;
        let queues = file("queues.sqlite");
        let sqs = Sqs::open(queues.as_deref(), options.clock.clone(), sqs_url.clone())
            .with_context(|| format!("the queues in {} cannot be opened", shown(queues.as_deref())))?;
        serve(sqs_listener, sqs.router(), &storage, &mut servers);

        let api =
            listen(options.port).await.context("the API's port is in use: select another with --port")?;
        let api_url = url_of(&api)?;
        let sockets = listen(0).await?;
        let socket_url = url_of(&sockets)?;
        let Providers { simulators, channels, payments, parameters, mut secrets } =
            providers(&options, &storage, &mut servers).await?;
        payments.send_webhooks_to(&api_url);
        let template = deployed::template(&options, (&api_url, &socket_url), sqs_url.clone(), parameters)?;
        dynamodb.ensure_table(&template.table)?;
        s3.ensure_bucket(BUCKET).await?;
        s3.set_cors(template.bucket_cors.clone());
        for queue in &template.queues {
            sqs.create_queue(&spec(queue))?;
        }

        let secrets = with_values(&template, &mut secrets)?;
        let secrets_listener = listen(0).await?;
        let secrets_url = url_of(&secrets_listener)?;
        serve(secrets_listener, secrets.router(), &storage, &mut servers);

        let operator = Process {
            env: Env::from_pairs(storage_env(&dynamodb, &s3, secrets_url, sqs_url)),
            aws: aws(options.aws_wire).await,
            clock: options.clock.clone(),
            random: options.random,
        };
        if let Some(text) = &options.catalog {
            OwnCatalog::new(operator.s3(), BUCKET, OwnCatalog::key_of(text)).write(text).await?;
        }
        let functions = wrapped(functions::all(&template, &operator, &options.clocks).await?, options.around);
        let host = Host::new(template, functions, Arc::new(source::Queues(sqs.clone())), options.clock)?;
        serve_apis(&host, (api, sockets), &shutdown, &mut servers);
        Ok(Self {
            host,
            sqs,
            dynamodb,
            secrets,
            simulators,
            channels,
            payments,
            api_url,
            operator,
            shutdown,
            storage,
            servers,
        })
    }

    /// The page that lists what can be paid at the simulated processors.
    pub fn payments_url(&self) -> String {
        let keys = self.secrets.get(&self.host.template().secrets["PaymentKeys"]);
        let base = keys.and_then(|keys| keys.get("PAYMENT_BASE_URL")).map(String::as_str);
        format!("{}/pay/", base.unwrap_or_default())
    }

    /// Runs queues, schedules, webhooks and sweeps until [`Stack::stopper`] is canceled; then
    /// finishes the work in progress.
    pub async fn run(mut self) -> Result<()> {
        let mut timers = JoinSet::new();
        deliver(&self.simulators, Some(&self.payments), &self.shutdown, &mut timers);
        let (dynamodb, clock) = (self.dynamodb.clone(), self.operator.clock.clone());
        timers.spawn(every(SWEEP_EVERY, self.shutdown.clone(), move || {
            let (dynamodb, now) = (dynamodb.clone(), clock.now());
            async move {
                tokio::task::spawn_blocking(move || dynamodb.sweep_ttl(now.as_secs())).await?.map(|_| ())
            }
        }));
        self.host.run_background(self.shutdown.clone()).await?;
        while let Some(ended) = timers.join_next().await {
            ended?;
        }
        self.storage.cancel();
        while let Some(ended) = self.servers.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// The remote jobs of all simulators, for the audit.
    pub fn remote_jobs(&self) -> Result<RemoteJobs> {
        let of = |(provider, simulator): (&Provider, &Simulator)| {
            Ok((*provider, simulator.remote_jobs()?.iter().map(audited).collect()))
        };
        self.simulators.iter().map(of).collect()
    }

    pub fn stopper(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// The earliest time of a scheduled event: a message becomes visible, a remote job changes, a webhook
    /// is due.
    pub fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut due = self.sqs.next_visible_at()?.into_iter().chain(self.payments.next_due()).min();
        for simulator in self.simulators.values() {
            due = due.into_iter().chain(simulator.next_due()?).min();
        }
        Ok(due)
    }
}

/// Where the storage answers, and what is in it.
fn storage_env(
    dynamodb: &DynamoDb,
    s3: &S3,
    secrets_url: String,
    sqs_url: String,
) -> [(&'static str, String); 6] {
    [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
        ("AWS_ENDPOINT_URL_S3", s3.url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_url),
        ("AWS_ENDPOINT_URL_SQS", sqs_url),
        ("TABLE", TABLE.to_owned()),
        ("MEDIA_BUCKET", BUCKET.to_owned()),
    ]
}

/// The template's secrets, by ARN.
fn with_values(template: &Template, values: &mut BTreeMap<&'static str, Members>) -> Result<Secrets> {
    let secrets = template.secrets.iter().map(|(id, arn)| {
        let members = values.remove(id.as_str());
        Ok((arn.clone(), members.with_context(|| format!("secret {id} has no value"))?))
    });
    Ok(Secrets::new(secrets.collect::<Result<_>>()?))
}

/// The HTTP API and the WebSocket API.
fn serve_apis(
    host: &Host,
    (http, sockets): (TcpListener, TcpListener),
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) {
    let (serve, until) = (host.clone(), shutdown.clone());
    let local = Router::new().route("/metrics", get(metrics));
    servers.spawn(async move { Ok(serve.serve_http(http, local, until).await?) });
    let (serve, until) = (host.clone(), shutdown.clone());
    servers.spawn(async move { Ok(serve.serve_sockets(sockets, until).await?) });
}

/// The metrics of this process, for Prometheus.
async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], Exposition::of_process().text())
}

/// Every function, in a test's wrapper if it has one.
fn wrapped(functions: Functions, around: Option<Around>) -> Functions {
    let Some(Around(around)) = around else { return functions };
    functions.into_iter().map(|(name, inner)| (name.clone(), around(&name, inner))).collect()
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.storage.cancel();
    }
}

/// What the audit reads of a simulated remote job.
pub fn audited(job: &RemoteJobView) -> RemoteJob {
    let is_running = matches!(job.state, RemoteState::Queued | RemoteState::Running);
    RemoteJob { id: job.id.clone(), is_running }
}

fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "memory".to_owned(), |file| file.display().to_string())
}

fn spec(queue: &crate::host::Queue) -> QueueSpec {
    QueueSpec {
        name: queue.name.clone(),
        visibility_timeout_s: queue.visibility_timeout_s,
        delay_s: queue.delay_s,
        retention_s: queue.retention_s,
        receive_wait_s: queue.receive_wait_s,
        redrive: queue.redrive.as_ref().map(|redrive| Redrive {
            dead_letter_queue: redrive.dead_letter_queue.clone(),
            max_receive_count: redrive.max_receive_count,
        }),
    }
}

/// Serves until shutdown, then finishes the requests in progress.
fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) {
    let router = guarded(router, None, Vec::new());
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    servers.spawn(async move { Ok(serving.await?) });
}

async fn listen(port: u16) -> Result<TcpListener> {
    Ok(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?)
}

fn url_of(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Runs an action at an interval until shutdown. A failure is logged and the action is retried.
async fn every<F, Fut>(pause: Duration, shutdown: CancellationToken, mut act: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = act().await {
            tracing::warn!(%error, "timer.failed");
        }
    }
}
