//! `genmux keys`: creates, revokes and lists API keys.

use anyhow::{Result, ensure};
use shared::operate;
use shared::store::keystore::{KeyStore, Scope};

use super::print::say;
use super::{KeysCommand, Local, Target};

pub(super) async fn run(command: KeysCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let keys = KeyStore::new(opened.table());
    let process = &opened.process;
    match command {
        KeysCommand::Create { account, read_only } => {
            let scopes = if read_only { vec![Scope::Read] } else { vec![Scope::Read, Scope::Write] };
            let (random, now) = (process.random.bytes(), process.clock.now());
            say!("{}", operate::keys::create(&keys, account.parse()?, scopes, random, now).await?);
        }
        KeysCommand::Revoke { id } => {
            ensure!(keys.revoke(&id.parse()?).await?, "there is no key {id}");
            say!("revoked {id}; takes effect within 60 s");
        }
        KeysCommand::List => {
            for key in keys.list().await? {
                let state = if key.revoked { "revoked" } else { "active" };
                say!("{}  {}  {state}  {:?}  {}", key.id, key.account, key.scopes, key.created_at);
            }
        }
    }
    Ok(())
}
