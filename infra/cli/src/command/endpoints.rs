//! `genmux endpoints`: where events go, of the operator's account or of another.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::BehaviorVersion;
use clap::{Args, Subcommand};
use domain::delivery::Delivery;
use domain::endpoint::{Endpoint, GRACE, Kind, Offers, Sender, Status};
use domain::id::{AccountId, EndpointId, EventId};
use domain::public_url::Reach;
use domain::time::Timestamp;
use serde_json::{Value, json};
use shared::boot::{Clock, Env, Process, Random, config};
use shared::channel;
use shared::edge::event_view as view;
use shared::operate::endpoints::{self, Change, Given, New, Rules};
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::queue::Queue;

use super::print::{Output, plain, table};
use super::target::{LOCAL_STACK, Opened};
use super::{Local, Target};

/// How long `test` waits for the first try.
const WAIT_MAX: Duration = Duration::from_secs(25);

#[derive(Debug, Args)]
pub(super) struct Endpoints {
    #[command(subcommand)]
    command: EndpointsCommand,
    /// Whose endpoints. Default: the operator's, which get the alerts.
    #[arg(long, global = true)]
    account: Option<AccountId>,
    /// With `test` and `recover`: the deployed stack whose queues are used.
    #[arg(long, global = true, requires = "table")]
    stack: Option<String>,
    /// The deployed secret that signatures are made from, to show those of an endpoint: the output
    /// `EndpointSecretsSecret` of the stack.
    #[arg(long, global = true, requires = "table")]
    secret: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum EndpointsCommand {
    /// Add an endpoint.
    Add {
        /// What it is: `webhook`, `slack`, `email` and so on.
        #[arg(long, default_value = "webhook", value_parser = kind)]
        kind: Kind,
        /// The address of a kind that takes a URL.
        #[arg(long, conflicts_with = "to")]
        url: Option<String>,
        /// The address of another kind.
        #[arg(long)]
        to: Option<String>,
        /// The types of events: `provider.*`, `job.failed`, `*`.
        #[arg(long, value_delimiter = ',', value_name = "TYPE,…", default_value = "*")]
        types: Vec<String>,
        #[arg(long)]
        description: Option<String>,
        /// Sign by Ed25519 as well.
        #[arg(long)]
        v1a: bool,
    },
    /// List the endpoints.
    List,
    /// Show an endpoint, with its secret if that can be read.
    Show { id: EndpointId },
    /// Send nothing to an endpoint. Its events are recorded.
    Pause { id: EndpointId },
    /// Send events to it again.
    Enable { id: EndpointId },
    /// Delete an endpoint.
    Delete { id: EndpointId },
    /// Send a test event, and show the answer.
    Test { id: EndpointId },
    /// Replace its secret. The old one signs as well for a while.
    Rotate {
        id: EndpointId,
        /// For how long, in seconds.
        #[arg(long, default_value_t = GRACE.as_secs())]
        grace_s: u64,
    },
    /// List what was sent to it, newest first.
    Deliveries {
        id: EndpointId,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
        limit: i32,
    },
    /// Send again what did not arrive since a time, as `2026-11-29T10:00:00Z`.
    Recover {
        id: EndpointId,
        #[arg(long)]
        since: String,
    },
    /// Whether an address is kept from messages, because it bounced, complained or was named by `suppress`.
    Suppressed(Address),
    /// Keep new endpoints of every account from an address for 90 days.
    Suppress(Address),
    /// Let endpoints have an address again.
    Allow(Address),
}

/// What can be kept from messages.
#[derive(Debug, Args)]
struct Address {
    /// `email` or `sms`.
    #[arg(long, default_value = "email", value_parser = costly)]
    kind: Kind,
    address: String,
}

/// Parses a kind whose addresses can be suppressed.
fn costly(name: &str) -> Result<Kind, String> {
    kind(name).ok().filter(|kind| !kind.repeats()).ok_or_else(|| "must be email or sms".to_owned())
}

/// Parses a kind of endpoint.
fn kind(name: &str) -> Result<Kind, String> {
    name.parse().map_err(|_unknown| format!("must be one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

/// An account's endpoints at a target.
struct Door<'a> {
    args: &'a Endpoints,
    local: &'a Local,
    opened: Opened,
    account: AccountId,
    endpoints: EndpointStore,
    events: EventStore,
}

pub(super) async fn run(args: Endpoints, local: &Local) -> Result<Output> {
    let opened = args.target.open(local).await?;
    let account = args.account.clone().unwrap_or_else(AccountId::operator);
    let (endpoints, events) = (EndpointStore::new(opened.table()), EventStore::new(opened.table()));
    let door = Door { args: &args, local, opened, account, endpoints, events };
    match &args.command {
        EndpointsCommand::Add { kind, url, to, types, description, v1a } => {
            let types = Some(types.clone());
            let given = Given { url: url.clone(), to: to.clone(), types, description: description.clone() };
            door.add(New { kind: *kind, given, v1a: *v1a }).await
        }
        EndpointsCommand::List => door.list().await,
        EndpointsCommand::Show { id } => {
            let found = endpoints::find(&door.endpoints, &door.account, id).await?;
            door.shown(&found).await
        }
        EndpointsCommand::Pause { id } => door.set(id, Status::Paused).await,
        EndpointsCommand::Enable { id } => door.set(id, Status::Enabled).await,
        EndpointsCommand::Delete { id } => {
            endpoints::delete(&door.endpoints, &door.account, id).await?;
            Ok(Output::new(format_args!("deleted {id}"), json!({"id": id, "status": "deleted"})))
        }
        EndpointsCommand::Test { id } => door.test(id).await,
        EndpointsCommand::Rotate { id, grace_s } => {
            let grace = Duration::from_secs(*grace_s);
            let rotated = endpoints::rotate(&door.endpoints, &door.account, id, grace, door.now()).await?;
            door.shown(&rotated).await
        }
        EndpointsCommand::Deliveries { id, limit } => door.deliveries(id, *limit).await,
        EndpointsCommand::Recover { id, since } => door.recover(id, since).await,
        EndpointsCommand::Suppressed(address) => door.suppressed(address).await,
        EndpointsCommand::Suppress(address) => {
            door.endpoints.suppress(address.kind, &address.parsed()?, door.now()).await?;
            door.suppressed(address).await
        }
        EndpointsCommand::Allow(address) => {
            door.endpoints.allow(address.kind, &address.parsed()?).await?;
            door.suppressed(address).await
        }
    }
}

impl Address {
    /// As endpoints have it.
    fn parsed(&self) -> Result<String> {
        let parsed = self.kind.address(&self.address, Reach::Public);
        parsed.map_err(|why| anyhow!("this is no address of a `{}`: {why}", self.kind.name()))
    }
}

impl Door<'_> {
    fn now(&self) -> Timestamp {
        self.opened.process.clock.now()
    }

    /// A queue of the local stack, or of the named one.
    async fn queue(&self, queue: &str) -> Result<Queue> {
        let stack = match (&self.args.stack, &self.args.target.table) {
            (Some(stack), _) => stack,
            (None, None) => LOCAL_STACK,
            (None, Some(_)) => return Err(anyhow!("name the stack of the table by --stack")),
        };
        Ok(Queue::of(self.opened.process.sqs(), stack, queue).await?)
    }

    /// The operator knows what the stack has a sender for, and which targets it may call.
    async fn add(&self, new: New) -> Result<Output> {
        let named = new.given.to.iter().chain(&new.given.url).map(String::as_str);
        let targets: Vec<&str> = named.filter(|_| new.kind.needs().has_target()).collect();
        let offers = Offers::new(&Sender::ALL, &targets).map_err(|wrong| anyhow!("{wrong} is no target"))?;
        let id = EndpointId::from_bytes(self.opened.process.random.bytes());
        let rules = Rules { reach: self.reach(), offers: &offers };
        let (made, _) = endpoints::create(&self.endpoints, rules, &self.account, id, new, self.now()).await?;
        self.shown(&made).await
    }

    /// Only the local stack calls this machine.
    fn reach(&self) -> Reach {
        Reach::of(self.args.target.table.is_none())
    }

    async fn list(&self) -> Result<Output> {
        let found = endpoints::list(&self.endpoints, &self.account).await?;
        let rows: Vec<_> = found.iter().map(row).collect();
        let json = json!({"endpoints": found.iter().map(view::endpoint).collect::<Vec<_>>()});
        Ok(Output::new(table(["ID", "KIND", "STATUS", "TYPES", "ADDRESS"], &rows), json))
    }

    async fn set(&self, id: &EndpointId, status: Status) -> Result<Output> {
        let change = Change { status: Some(status), ..Change::default() };
        let (offers, now) = (Offers::default(), self.now());
        let rules = Rules { reach: self.reach(), offers: &offers };
        let changed = endpoints::change(&self.endpoints, rules, &self.account, id, change, now).await?;
        Ok(Output::new(format_args!("{id} is {}", changed.status.name()), view::endpoint(&changed)))
    }

    async fn test(&self, id: &EndpointId) -> Result<Output> {
        let (notify, event) =
            (self.queue("notify").await?, EventId::from_bytes(self.opened.process.random.bytes()));
        let (stores, now) = ((&self.endpoints, &self.events), self.now());
        let event = endpoints::send_test(stores, &notify, (&self.account, id), event, now).await?;
        match endpoints::first_try(&self.events, &event, id, WAIT_MAX).await? {
            Some(tried) => Ok(Output::new(line(&tried), view::delivery(&tried))),
            None => {
                let text =
                    format!("{event} was not sent within {} s: is the stack running?", WAIT_MAX.as_secs());
                let json = json!({"event": event, "endpoint": id, "status": "pending", "tries": []});
                Ok(Output { failed: true, ..Output::new(text, json) })
            }
        }
    }

    async fn deliveries(&self, id: &EndpointId, limit: i32) -> Result<Output> {
        endpoints::find(&self.endpoints, &self.account, id).await?;
        let page = self.events.deliveries(&self.account, id, limit, None).await?;
        let text: String = page.items.iter().map(|delivery| line(delivery) + "\n").collect();
        let json = json!({"deliveries": page.items.iter().map(view::delivery).collect::<Vec<_>>()});
        Ok(Output::new(text, json))
    }

    async fn recover(&self, id: &EndpointId, since: &str) -> Result<Output> {
        let deliver = self.queue("deliver").await?;
        let of = (&self.account, id);
        let since = endpoints::recover(&self.endpoints, &deliver, of, since, self.now()).await?;
        let text = format!("what did not arrive at {id} since {since} is sent again");
        Ok(Output::new(text, json!({"since": since.to_string()})))
    }

    async fn suppressed(&self, address: &Address) -> Result<Output> {
        let (kind, parsed) = (address.kind, address.parsed()?);
        let is = self.endpoints.is_suppressed(kind, &parsed, self.now()).await?;
        let state = if is { "suppressed: no endpoint can have it" } else { "not suppressed" };
        let json = json!({"kind": kind.name(), "address": parsed, "suppressed": is});
        Ok(Output::new(format_args!("{parsed} is {state}"), json))
    }

    /// An endpoint with its secret, if that is a webhook's and its master can be read.
    async fn shown(&self, endpoint: &Endpoint) -> Result<Output> {
        let mut json = view::endpoint(endpoint);
        if endpoint.kind == Kind::Webhook {
            json["secret"] = self.secret(endpoint).await?.into();
        }
        let fields = json.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let lines: Vec<_> =
            fields.map(|(name, value)| format!("{name:<16} {}", plain(&text(value)))).collect();
        Ok(Output::new(lines.join("\n"), json))
    }

    /// The newest secret; `None` on a deployed table whose master was not named.
    async fn secret(&self, endpoint: &Endpoint) -> Result<Option<String>> {
        let master = match (&self.args.target.table, &self.args.secret) {
            (None, _) => Env::from_pairs([("ENDPOINT_SECRET", of_local(self.local)?)]),
            (Some(_), Some(secret)) => deployed(secret).await?,
            (Some(_), None) => return Ok(None),
        };
        let mut read = master.reader();
        let master = config::endpoint_master(&mut read);
        let master = read.finish(master)?.context("a missing secret is a problem")?;
        let key = channel::key(&master, endpoint, endpoint.secrets.version);
        Ok(Some(key.secret().to_string()))
    }
}

fn row(endpoint: &Endpoint) -> [String; 5] {
    let types: Vec<_> = endpoint.types.iter().map(|pattern| pattern.as_str()).collect();
    let shown = view::endpoint(endpoint);
    let address = endpoint.kind.field().and_then(|field| shown[field].as_str()).unwrap_or_default();
    let (kind, status) = (endpoint.kind.name().to_owned(), endpoint.status.name().to_owned());
    [endpoint.id.to_string(), kind, status, types.join(","), address.to_owned()]
}

/// A delivery with its last try.
fn line(delivery: &Delivery) -> String {
    let last = delivery.tries.last();
    let outcome = last.map_or("not tried", |last| last.outcome.as_str());
    let status = last.and_then(|last| last.status).map(|status| format!(" {status}")).unwrap_or_default();
    let (event, kind, tries) = (&delivery.event, &delivery.kind, delivery.tries.len());
    plain(&format!(
        "{}  {event}  {kind}  {}  tries {tries}  {outcome}{status}",
        delivery.created_at,
        delivery.status.name()
    ))
}

/// What a deployed secret holds, with the usual AWS configuration.
async fn deployed(secret: &str) -> Result<Env> {
    const ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let endpoint = Env::from_process().get(ENDPOINT).unwrap_or_default().to_owned();
    let env = Env::from_pairs([("SECRETS", secret), (ENDPOINT, &endpoint)]);
    let process = Process { env, aws, clock: Clock::System, random: Random::System };
    Ok(process.with_secrets().await?.env)
}

#[cfg(feature = "local")]
fn of_local(local: &Local) -> Result<String> {
    super::local::endpoint_secret(local)
}

/// Without the local stack there is no data folder.
#[cfg(not(feature = "local"))]
fn of_local(_: &Local) -> Result<String> {
    anyhow::bail!("this build has no local stack: name a deployed one with --table")
}
