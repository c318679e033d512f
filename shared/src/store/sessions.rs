//! Sessions of the console: who has signed in with which key.

use domain::id::KeyId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::item::{from_item, key, to_item};
use super::keys;
use super::{Error, Table};

/// The sessions of all accounts, by the SHA-256 of their tokens: the table names no token.
#[derive(Debug, Clone)]
pub struct Sessions {
    table: Table,
}

#[derive(Debug, Serialize, Deserialize)]
struct Session {
    key: KeyId,
    /// In seconds since the epoch; the table deletes it some time later.
    expires_at: i64,
}

impl Sessions {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    #[expect(clippy::disallowed_methods, reason = "a random name: there is nothing to overwrite")]
    pub async fn create(&self, token_sha256: &str, id: &KeyId, until: Timestamp) -> Result<(), Error> {
        let doing = format!("sign in with key {id}");
        let mut item = to_item(&doing, &Session { key: id.clone(), expires_at: until.as_secs() })?;
        item.extend(key(keys::session(token_sha256), keys::SESSION));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(|source| Error::sdk(doing, source))
    }

    /// The key of a session that has not ended.
    pub async fn key(&self, token_sha256: &str, now: Timestamp) -> Result<Option<KeyId>, Error> {
        let doing = "read a session";
        let get = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let get = get.set_key(Some(key(keys::session(token_sha256), keys::SESSION)));
        let answer = get.send().await.map_err(|source| Error::sdk(doing, source))?;
        let Some(item) = answer.item else { return Ok(None) };
        let session: Session = from_item(doing, item)?;
        Ok((session.expires_at > now.as_secs()).then_some(session.key))
    }

    #[expect(clippy::disallowed_methods, reason = "who has a session's token may end it")]
    pub async fn end(&self, token_sha256: &str) -> Result<(), Error> {
        let delete = self.table.client.delete_item().table_name(&self.table.name);
        let delete = delete.set_key(Some(key(keys::session(token_sha256), keys::SESSION)));
        delete.send().await.map(|_| ()).map_err(|source| Error::sdk("sign out", source))
    }
}
