//! `genmux deploy-local`: the template on an emulator that runs the release binaries.
//!
//! This builds the binaries and simulates the providers; `infra/checks/deploy_local.py` deploys and
//! runs the test suite.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use shared::boot::{Clock, Env, Random};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use ::local::stack::{Options, Pool, Providers, deliver, providers};

/// Needs a clone of the repository, Python and access to its package registry.
#[derive(Debug, Args)]
pub(in crate::command) struct DeployLocal {
    /// Enforce the permissions of each function's role.
    #[arg(long)]
    auth: bool,
    /// The folder of the functions' binaries. Default: they are built in release mode.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Remove one permission statement, such as `SubmitRole/1`, to test what fails.
    #[arg(long)]
    without: Option<String>,
}

/// How long a simulated remote job runs.
const LATENCY: Duration = Duration::from_secs(3);

pub(in crate::command) async fn run(args: DeployLocal) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools =
        output(Command::new(root.join("infra/checks/venv")).arg("ministack").current_dir(&root)).await?;
    let binaries = match args.binaries {
        Some(folder) => folder.canonicalize()?,
        None => build(&root).await?,
    };
    let shutdown = CancellationToken::new();
    let (mut servers, mut timers) = (JoinSet::new(), JoinSet::new());
    let Providers { simulators, mut parameters, secrets, .. } =
        providers(&options(), &shutdown, &mut servers).await?;
    deliver(&simulators, None, &shutdown, &mut timers);

    // Chosen before the deployment, because callback URLs contain it.
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    parameters.insert("WebhookBaseUrl".to_owned(), format!("http://127.0.0.1:{port}"));
    let config = json!({
        "auth": args.auth,
        "binaries": binaries,
        "genmux": std::env::current_exe()?,
        "log": std::env::temp_dir().join("genmux-emulator.log"),
        "parameters": parameters,
        "port": port,
        "secrets": secrets,
        "without": args.without,
    });
    let mut suite = Command::new(Path::new(&tools).join("bin/python"))
        .arg("infra/checks/deploy_local.py")
        .current_dir(&root)
        .stdin(Stdio::piped())
        .spawn()
        .context("Python does not start")?;
    let mut stdin = suite.stdin.take().context("its standard input is not open")?;
    stdin.write_all(config.to_string().as_bytes()).await?;
    drop(stdin);
    let status = suite.wait().await?;
    shutdown.cancel();
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every provider is simulated; keys in the environment are ignored.
fn options() -> Options {
    Options {
        port: 0,
        databases: None,
        media: PathBuf::new(),
        env: Env::default(),
        pool: Pool::simulated(),
        public_url: None,
        catalog: None,
        webhooks: true,
        callback_secret: String::new(),
        endpoint_secret: String::new(),
        inbound_secret: String::new(),
        latency: LATENCY,
        clock: Clock::System,
        random: Random::System,
        clocks: std::collections::BTreeMap::new(),
        unreachable: Vec::new(),
        aws_wire: None,
        around: None,
    }
}

/// Builds every function as it is deployed, without the features that other members enable.
async fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--release", "--locked"]).current_dir(root);
    for function in std::fs::read_dir(root.join("functions"))? {
        cargo.arg("--package").arg(function?.file_name());
    }
    ensure!(cargo.status().await?.success(), "the functions cannot be built");
    let target = Env::from_process().get("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(target.unwrap_or_else(|| root.join("target")).join("release").canonicalize()?)
}

async fn output(command: &mut Command) -> Result<String> {
    let ran = command.stderr(Stdio::inherit()).output().await?;
    ensure!(ran.status.success(), "{:?} failed", command.as_std().get_program());
    Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
}
