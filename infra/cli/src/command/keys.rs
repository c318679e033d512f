//! `genmux keys`: creates, revokes and lists API keys.

use anyhow::{Result, ensure};
use domain::id::AccountId;
use serde_json::{Value, json};
use shared::operate;
use shared::store::keystore::{ApiKey, KeyStore, Scope};

use super::print::{Output, table};
use super::{KeysCommand, Local, Target};

pub(super) async fn run(command: KeysCommand, target: &Target, local: &Local) -> Result<Output> {
    let opened = target.open(local).await?;
    let keys = KeyStore::new(opened.table());
    let process = &opened.process;
    match command {
        KeysCommand::Create { account, read_only } => {
            let scopes = if read_only { vec![Scope::Read] } else { vec![Scope::Read, Scope::Write] };
            let account: AccountId = account.parse()?;
            let (random, now) = (process.random.bytes(), process.clock.now());
            let key = operate::keys::create(&keys, account.clone(), scopes, random, now).await?.to_string();
            Ok(Output::new(&key, json!({"account": account, "key": key})))
        }
        KeysCommand::Revoke { id } => {
            ensure!(keys.revoke(&id.parse()?).await?, "there is no key {id}");
            Ok(Output::new(
                format_args!("revoked {id}; takes effect within 60 s"),
                json!({"id": id, "status": "revoked"}),
            ))
        }
        KeysCommand::List => {
            let keys = keys.list().await?;
            let rows: Vec<_> = keys.iter().map(row).collect();
            let text = table(["ID", "ACCOUNT", "STATUS", "SCOPES", "CREATED_AT"], &rows);
            let keys: Vec<_> = keys.iter().map(key_json).collect();
            Ok(Output::new(text, json!({"keys": keys})))
        }
    }
}

fn status(key: &ApiKey) -> &'static str {
    if key.revoked { "revoked" } else { "active" }
}

fn row(key: &ApiKey) -> [String; 5] {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    [
        key.id.to_string(),
        key.account.to_string(),
        status(key).to_owned(),
        scopes.join(" "),
        key.created_at.to_string(),
    ]
}

fn key_json(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "account": key.account,
        "status": status(key),
        "scopes": key.scopes,
        "created_at": key.created_at.to_string(),
    })
}
