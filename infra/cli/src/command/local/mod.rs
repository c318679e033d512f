//! The local stack. Here: its data folder, with its lock, the endpoints of the running stack, and the
//! demo account.

pub(super) mod demo;
pub(super) mod deploy_local;
pub(super) mod listen;
pub(super) mod serve;

use std::fs::{self, File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use domain::credit::Credits;
use domain::id::{AccountId, base32};
use domain::provider::Provider;
use serde::{Deserialize, Serialize};
use shared::boot::config::parse_public_url;
use shared::boot::{Clock, Env, Process, Random};
use shared::operate;
use shared::store::Table;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Ledger;
use url::Url;

use super::Command;
use super::catalog::OwnFile;
use ::local::stack::{Options, Pool, Stack, aws};

const DEMO_ACCOUNT: &str = "acct_demo";
const DEMO_CREDITS: u64 = 10_000;
/// The file of the key of the URLs of inbound sources.
const INBOUND_SECRET: &str = "inbound-secret";
/// The file of the master secret of endpoints.
const ENDPOINT_SECRET: &str = "endpoint-secret";
/// How long a simulated remote job runs.
const SIMULATED_LATENCY: Duration = Duration::from_secs(6);

/// The local stack of a command; before or after the subcommand.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Local stack")]
pub(super) struct Local {
    /// The data folder. `serve` and `demo` create it.
    #[arg(long, global = true, default_value = ".genmux")]
    data: PathBuf,
    /// With `serve` or `demo`: the port of the API. Default: 8787 for `serve`, any free port for `demo`.
    #[arg(long, global = true)]
    port: Option<u16>,
    /// With `serve` or `demo`: send no callback URLs, so that every attempt is polled.
    #[arg(long, global = true)]
    no_webhooks: bool,
    /// With `serve` or `demo`: call these real providers with the keys in the environment. This costs
    /// money. Other providers are used only if named with --simulate. Default: `GENMUX_REAL`, or none.
    #[arg(long, global = true, value_name = "NAME,…", value_delimiter = ',')]
    real: Vec<Provider>,
    /// With `serve` or `demo`: simulate only these providers. Default: all, or none if any is real.
    #[arg(long, global = true, value_name = "NAME,…", value_delimiter = ',')]
    simulate: Vec<Provider>,
    #[command(flatten)]
    pub(super) own: OwnFile,
}

/// The endpoints of a running stack, for other commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Running {
    api_url: String,
    /// Variables for the AWS SDK: endpoints, table and bucket.
    env: std::collections::BTreeMap<String, String>,
}

/// How a stack is started on a data folder.
#[derive(Debug)]
struct Start {
    port: u16,
    env: Env,
    pool: Pool,
    public_url: Option<Url>,
    catalog: Option<String>,
    webhooks: bool,
}

impl Start {
    /// For `serve` and `demo`: from the command line and the environment.
    fn for_callers(local: &Local, default_port: u16) -> Result<Self> {
        let env = Env::from_process();
        let mut real = local.real.clone();
        if real.is_empty() {
            let names = env.get("GENMUX_REAL").unwrap_or_default().split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty());
            real = names.map(str::parse).collect::<Result<_, _>>().context("GENMUX_REAL")?;
        }
        let public_url = match env.get("GENMUX_PUBLIC_URL").map(parse_public_url) {
            Some(Err(wrong)) => bail!("GENMUX_PUBLIC_URL {wrong}"),
            Some(Ok(url)) => Some(url),
            None => None,
        };
        let pool = Pool::named(&real, &local.simulate)?;
        let port = local.port.unwrap_or(default_port);
        let catalog = local.own.text()?;
        Ok(Self { port, env, pool, public_url, catalog, webhooks: !local.no_webhooks })
    }

    /// For an operator command: queues and schedules do not run, and no provider is called.
    fn for_operator() -> Self {
        let (env, pool) = (Env::default(), Pool::simulated());
        Self { port: 0, env, pool, public_url: None, catalog: None, webhooks: false }
    }
}

impl Local {
    /// The command, if the options that start a stack come with one that does.
    pub(super) fn checked(&self, command: Command) -> Result<Command> {
        let starts = matches!(command, Command::Serve | Command::Demo(_));
        ensure!(
            starts || !(self.no_webhooks || self.names_providers()),
            "--real, --simulate and --no-webhooks need `serve` or `demo`"
        );
        Ok(command)
    }

    /// Whether the command line selects providers.
    fn names_providers(&self) -> bool {
        !(self.real.is_empty() && self.simulate.is_empty())
    }
}

/// The storage of a data folder on which no stack ran; it runs until this is dropped.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) stack: Stack,
    _folder: Folder,
}

impl Storage {
    /// Opens a data folder; the storage is `None` if a stack runs on it.
    pub(super) async fn open(local: &Local) -> Result<(Process, Option<Self>)> {
        match Folder::open(&local.data)? {
            Some(folder) => {
                let stack = folder.start(Start::for_operator()).await?;
                Ok((stack.operator.clone(), Some(Self { stack, _folder: folder })))
            }
            None => {
                let env = Env::from_pairs(running(&local.data)?.env);
                let aws = aws(None).await;
                Ok((Process { env, aws, clock: Clock::System, random: Random::System }, None))
            }
        }
    }
}

/// A data folder, locked for this process until this is dropped.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, and locks it. `None` if another process holds the lock.
    fn make(path: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(path)
            .with_context(|| format!("the folder {} cannot be created", path.display()))?;
        // It holds prompts, messages and signing seeds.
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("the permissions of the folder {} cannot be set", path.display()))?;
        Self::lock(path)
    }

    /// Locks a folder that has data. `None` if another process holds the lock.
    fn open(path: &Path) -> Result<Option<Self>> {
        ensure!(
            path.join("table.sqlite").is_file(),
            "there is no Genmux data in {}: select a folder with --data, or create one with `genmux serve`",
            path.display()
        );
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Option<Self>> {
        let file = path.join("lock");
        let lock = File::create(&file).with_context(|| unwritable(&file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| unwritable(&file)),
        }
    }

    /// Starts the stack on this folder, and writes its endpoints to `running.json`.
    async fn start(&self, start: Start) -> Result<Stack> {
        let media = self.path.join("media");
        fs::create_dir_all(&media).with_context(|| unwritable(&media))?;
        let Start { port, env, pool, public_url, catalog, webhooks } = start;
        let stack = Stack::start(Options {
            port,
            databases: Some(self.path.clone()),
            media,
            env,
            pool,
            public_url,
            catalog,
            webhooks,
            callback_secret: self.secret("callback-secret")?,
            endpoint_secret: self.secret(ENDPOINT_SECRET)?,
            inbound_secret: self.secret(INBOUND_SECRET)?,
            latency: SIMULATED_LATENCY,
            clock: Clock::System,
            random: Random::System,
            clocks: std::collections::BTreeMap::new(),
            aws_wire: None,
            unreachable: Vec::new(),
            around: None,
        })
        .await?;
        let variables = [
            "AWS_ENDPOINT_URL_DYNAMODB",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_SQS",
            "TABLE",
            "MEDIA_BUCKET",
        ];
        let value = |name: &str| stack.operator.env.get(name).unwrap_or_default().to_owned();
        let env = variables.map(|name| (name.to_owned(), value(name))).into();
        let running = Running { api_url: stack.api_url.clone(), env };
        let file = self.path.join("running.json");
        fs::write(&file, serde_json::to_vec_pretty(&running)?).with_context(|| unwritable(&file))?;
        Ok(stack)
    }

    /// The demo account's key. It is created, with credits, on the first start and if the table no
    /// longer has it.
    ///
    /// # Errors
    ///
    /// If it was revoked: it is not replaced automatically.
    async fn demo_key(&self, operator: &Process) -> Result<String> {
        let file = self.path.join("demo-key");
        let table = Table::new(operator.dynamodb(), operator.env.get("TABLE").unwrap_or_default());
        let token = read_if_exists(&file)?.unwrap_or_default();
        if let Some(id) = token.split('_').nth(1).and_then(|id| id.parse().ok())
            && let Some(key) = KeyStore::new(table.clone()).get(&id).await?
        {
            ensure!(
                !key.revoked,
                "the demo key was revoked: delete {}; the next start creates a new one",
                file.display()
            );
            return Ok(token);
        }
        let account: AccountId = DEMO_ACCOUNT.parse()?;
        let now = operator.clock.now();
        let amount = Credits::ONE.checked_mul(DEMO_CREDITS).context("the demo credits overflow")?;
        Ledger::new(table.clone()).grant(&account, "welcome", amount, now).await?;
        let (keys, scopes) = (KeyStore::new(table), vec![Scope::Read, Scope::Write]);
        let token = operate::keys::create(&keys, account, scopes, operator.random.bytes(), now).await?;
        write_private(&file, &token)?;
        Ok(token)
    }

    /// A random secret: created once, stored in the folder.
    fn secret(&self, name: &str) -> Result<String> {
        let file = self.path.join(name);
        if let Some(secret) = read_if_exists(&file)? {
            return Ok(secret);
        }
        let secret = base32(&Random::System.bytes::<32>());
        write_private(&file, &secret)?;
        Ok(secret)
    }
}

/// The endpoints of the stack that runs on this folder.
fn running(path: &Path) -> Result<Running> {
    let text = fs::read(path.join("running.json"));
    let text = text.with_context(|| format!("a stack is starting on {}: try again", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The key of the URLs of a running stack's inbound sources, and the stack's own URL.
pub(super) fn inbound(local: &Local) -> Result<(String, String)> {
    let file = local.data.join(INBOUND_SECRET);
    let key = read_if_exists(&file)?;
    let key = key
        .with_context(|| format!("no stack runs on {}: start one by `genmux serve`", local.data.display()))?;
    Ok((key, running(&local.data)?.api_url))
}

/// The master secret of the folder's endpoints.
pub(super) fn endpoint_secret(local: &Local) -> Result<String> {
    read_if_exists(&local.data.join(ENDPOINT_SECRET))?.context("the folder has no secret of endpoints")
}

/// The URL of the running stack's API, and the key of its demo account.
pub(super) fn api(local: &Local) -> Result<(String, String)> {
    let token = read_if_exists(&local.data.join("demo-key"))?.with_context(|| {
        format!(
            "no stack runs on {}: start one by `genmux serve`, or name one by --api",
            local.data.display()
        )
    })?;
    Ok((running(&local.data)?.api_url, token))
}

/// Locks the folder, or fails if another process has.
fn lock_exclusively(path: &Path) -> Result<Folder> {
    Folder::make(path)?.with_context(|| {
        format!("another genmux runs on {}: stop it, or select another folder with --data", path.display())
    })
}

/// The trimmed text of a file; `None` if there is no such file.
fn read_if_exists(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

fn unwritable(file: &Path) -> String {
    format!("{} cannot be written", file.display())
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut opened| opened.write_all(text.as_bytes())).with_context(|| unwritable(file))
}
