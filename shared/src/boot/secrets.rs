//! Secrets by reference: read once, when a process starts.

use std::collections::BTreeMap;
use std::error::Error;

use aws_sdk_secretsmanager::Client;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use super::{Env, StartError};

/// The environment with the members of every secret that `SECRETS` lists, by id or ARN and
/// separated by commas.
///
/// A secret is one JSON object of texts, named as variables are; a list stands for its JSON. What the environment sets
/// already stays, and an earlier secret goes before a later one.
///
/// # Errors
///
/// If a secret cannot be read or is not such an object. The error names the secret and
/// nothing of what is in it.
pub(super) async fn overlay(env: Env, client: &Client) -> Result<Env, StartError> {
    let ids = env.get("SECRETS").unwrap_or_default().to_owned();
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    let secrets = try_join_all(ids.map(|id| read(client, id))).await?;
    Ok(secrets.into_iter().fold(env, Env::with_defaults))
}

async fn read(client: &Client, id: &str) -> Result<BTreeMap<String, String>, StartError> {
    let failed = |source: Box<dyn Error + Send + Sync>| StartError::Secret { id: id.to_owned(), source };
    let answer =
        client.get_secret_value().secret_id(id).send().await.map_err(|error| failed(error.into()))?;
    // The parser's own words would quote the secret.
    let members: BTreeMap<String, Member> = serde_json::from_str(answer.secret_string().unwrap_or_default())
        .map_err(|_quotes| failed("it is not a JSON object of texts".into()))?;
    Ok(members.into_iter().map(|(name, member)| (name, member.into_text())).collect())
}

/// A member of a secret. A list is easier to write as one than as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Member {
    Text(String),
    List(Vec<Value>),
}

impl Member {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::List(list) => Value::Array(list).to_string(),
        }
    }
}
