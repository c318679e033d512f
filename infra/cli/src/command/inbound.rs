//! `genmux inbound`: the URLs of inbound sources, and a check of their list.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_config::BehaviorVersion;
use serde_json::json;
use shared::boot::config::parse_public_url;
use shared::boot::{Clock, Env, Process, Random};
use shared::inbound::{Sources, TokenKeys};

use super::print::Output;
use super::{InboundCommand, Local};

pub(super) async fn run(command: InboundCommand, local: &Local) -> Result<Output> {
    match command {
        InboundCommand::Url { source, account, secret, api } => {
            let (keys, api) = match (secret, api) {
                (Some(secret), Some(api)) => (deployed(&secret).await?, api),
                _ => of_local(local)?,
            };
            let keys = TokenKeys::parse(&keys).map_err(|wrong| anyhow!("INBOUND_TOKEN_SECRET {wrong}"))?;
            let api = parse_public_url(&api).map_err(|wrong| anyhow!("--api {wrong}"))?;
            let url = keys.url(&api, &account, &source).context("there is no key to sign with")?;
            Ok(Output::new(&url, json!({"source": source, "account": account, "url": url})))
        }
        InboundCommand::Check { file } => {
            let sources = checked(&file)?;
            Ok(Output::new(format_args!("sources: {sources}"), json!({"sources": sources})))
        }
    }
}

/// The number of sources in a file.
fn checked(file: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    let sources = Sources::parse(&text, TokenKeys::none());
    Ok(sources.map_err(|wrong| anyhow!("{}: {wrong}", file.display()))?.len())
}

/// The keys in a deployed secret, with the usual AWS configuration.
async fn deployed(secret: &str) -> Result<String> {
    const ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let endpoint = Env::from_process().get(ENDPOINT).unwrap_or_default().to_owned();
    let env = Env::from_pairs([("SECRETS", secret), (ENDPOINT, &endpoint)]);
    let process = Process { env, aws, clock: Clock::System, random: Random::System }.with_secrets().await?;
    let keys = process.env.get("INBOUND_TOKEN_SECRET").map(str::to_owned);
    keys.with_context(|| format!("secret {secret} has no INBOUND_TOKEN_SECRET"))
}

#[cfg(feature = "local")]
fn of_local(local: &Local) -> Result<(String, String)> {
    super::local::inbound(local)
}

/// Without the local stack there is no data folder.
#[cfg(not(feature = "local"))]
fn of_local(_: &Local) -> Result<(String, String)> {
    anyhow::bail!("this build has no local stack: name a deployed one with --secret and --api")
}
