//! The data folder of a local stack: who runs on it, where that answers, its demo account.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use shared::boot::{Clock, Env, Process, Random};
use shared::domain::credit::Credits;
use shared::domain::id::{AccountId, base32};
use shared::edge::auth::make_key;
use shared::store::Table;
use shared::store::keystore::{KeyStore, Scope};
use shared::store::ledger::Ledger;

use super::Serve;
use crate::stack::{Options, Stack};

const DEMO_ACCOUNT: &str = "acct_demo";
const DEMO_CREDITS: u64 = 10_000;
/// How long a simulated remote job runs.
const SIMULATED_LATENCY: Duration = Duration::from_secs(6);

/// What a running stack tells other commands of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) api_url: String,
    /// The variables that the AWS SDK needs to reach its storage.
    pub(super) env: std::collections::BTreeMap<String, String>,
}

/// A data folder that this process alone works on, until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// `None` if another process works on it.
    pub(super) fn take(path: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        // Prompts, messages and signing seeds are in it.
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("the folder {} cannot be kept from others", path.display()))?;
        let lock = File::create(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Starts the stack on this folder, and tells other commands where.
    pub(super) async fn start(&self, port: u16, webhooks: bool) -> Result<Stack> {
        let env = Env::from_process();
        let media = self.path.join("media");
        fs::create_dir_all(&media)?;
        let public_url = match env.get("GENMUX_PUBLIC_URL") {
            Some(url) => Some(url.parse().context("GENMUX_PUBLIC_URL is no URL")?),
            None => None,
        };
        let stack = Stack::start(Options {
            port,
            databases: Some(self.path.clone()),
            media,
            env,
            public_url,
            webhooks,
            callback_secret: self.secret("callback-secret")?,
            latency: SIMULATED_LATENCY,
            clock: Clock::System,
            random: Random::System,
            clocks: std::collections::BTreeMap::new(),
            aws_wire: None,
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
        fs::write(self.path.join("running.json"), serde_json::to_vec_pretty(&running)?)?;
        Ok(stack)
    }

    /// The demo account's key; made, with credits, on the first start.
    pub(super) async fn demo_key(&self, operator: &Process) -> Result<String> {
        let file = self.path.join("demo-key");
        if let Ok(token) = fs::read_to_string(&file) {
            return Ok(token.trim().to_owned());
        }
        let table = Table::new(operator.dynamodb(), operator.env.get("TABLE").unwrap_or_default());
        let account: AccountId = DEMO_ACCOUNT.parse()?;
        let now = operator.clock.now();
        let amount = Credits::ONE.checked_mul(DEMO_CREDITS).context("the demo credits overflow")?;
        Ledger::new(table.clone()).grant(&account, "welcome", amount, now).await?;
        let (key, token) = make_key(account, vec![Scope::Read, Scope::Write], operator.random.bytes(), now);
        KeyStore::new(table).create(&key).await?;
        write_private(&file, &token)?;
        Ok(token)
    }

    /// A random secret that is made once and kept.
    fn secret(&self, name: &str) -> Result<String> {
        let file = self.path.join(name);
        if let Ok(secret) = fs::read_to_string(&file) {
            return Ok(secret);
        }
        let secret = base32(&Random::System.bytes::<32>());
        write_private(&file, &secret)?;
        Ok(secret)
    }
}

/// What the stack that runs on this folder says of itself.
pub(super) fn running(path: &Path) -> Result<Running> {
    let text = fs::read(path.join("running.json"));
    let text = text.with_context(|| format!("a stack is just starting on {}: try again", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The key of a running stack's demo account.
pub(super) fn running_demo_key(path: &Path) -> Result<String> {
    let token = fs::read_to_string(path.join("demo-key"));
    let token =
        token.with_context(|| format!("a stack is just starting on {}: try again", path.display()))?;
    Ok(token.trim().to_owned())
}

/// Takes the folder for a command that must be alone on it.
pub(super) fn take_alone(args: &Serve) -> Result<Folder> {
    match Folder::take(&args.data)? {
        Some(folder) => Ok(folder),
        None => bail!(
            "another genmux runs on {}: stop it, or choose another folder with --data",
            args.data.display()
        ),
    }
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}
