//! `genmux keys`: creates, changes, revokes and lists API keys.

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use domain::allowed::Allowed;
use domain::id::{AccountId, KeyId};
use domain::provider::Provider;
use serde_json::{Value, json};
use shared::operate;
use shared::store::accounts::Accounts;
use shared::store::budgets::BudgetStore;
use shared::store::keystore::{ApiKey, KeyRules, KeyStore, Scope};

use super::budgets::{self, BudgetArgs};
use super::catalog::OwnFile;
use super::print::{self, Output, table};
use super::{Local, Target};

#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create a key. It is shown only once.
    Create {
        /// `acct_` and characters of a-z and 0-9.
        #[arg(long)]
        account: String,
        /// The key cannot submit or cancel.
        #[arg(long)]
        read_only: bool,
        #[command(flatten)]
        rules: RuleArgs,
    },
    /// Show a key's rules, and what is spent of its budgets.
    Show { id: KeyId },
    /// Change the given rules of a key; others stay unchanged.
    #[command(group = clap::ArgGroup::new("settings").required(true).multiple(true))]
    Set {
        id: KeyId,
        /// Remove all rules first.
        #[arg(long, group = "settings")]
        reset: bool,
        #[command(flatten)]
        rules: RuleArgs,
    },
    /// Revoke a key permanently.
    Revoke { id: String },
    /// List all keys, without their secrets.
    List,
}

/// What a key may order and spend.
#[derive(Debug, Clone, Args)]
struct RuleArgs {
    #[command(flatten)]
    budgets: BudgetArgs,
    /// The only models that the key may order, separated by commas.
    #[arg(long, value_delimiter = ',', group = "settings")]
    models: Option<Vec<String>>,
    /// The only providers that may make its jobs, separated by commas.
    #[arg(long, value_delimiter = ',', group = "settings")]
    providers: Option<Vec<Provider>>,
}

impl RuleArgs {
    /// Warns of models that the catalogue does not have.
    fn rules(self, own: &OwnFile) -> Result<KeyRules> {
        let Self { budgets, models, providers } = self;
        if let Some(models) = &models {
            let catalog = own.catalog()?;
            for name in models.iter().filter(|name| catalog.model(name).is_none()) {
                print::warning(format_args!("the catalogue has no model `{name}`"));
            }
        }
        Ok(KeyRules { budgets: budgets.budgets(), allowed: Allowed { models, providers } })
    }
}

pub(super) async fn run(args: Keys, local: &Local) -> Result<Output> {
    let Keys { command, target } = args;
    let opened = target.open(local).await?;
    let keys = KeyStore::new(opened.table());
    let process = &opened.process;
    match command {
        KeysCommand::Create { account, read_only, rules } => {
            let scopes = if read_only { vec![Scope::Read] } else { vec![Scope::Read, Scope::Write] };
            let account: AccountId = account.parse()?;
            let (random, now) = (process.random.bytes(), process.clock.now());
            let rules = rules.rules(&local.own)?;
            let key = operate::keys::create_with(&keys, account.clone(), scopes, rules, random, now).await?;
            Ok(Output::new(&key, json!({"account": account, "key": key})))
        }
        KeysCommand::Show { id } => {
            let key = keys.get(&id).await?.with_context(|| format!("there is no key {id}"))?;
            let accounts = Accounts::new(opened.table());
            let policy = accounts.policy(&key.account).await?;
            let (store, now) = (BudgetStore::new(opened.table()), process.clock.now());
            let of_key = Some((&key.id, &key.rules));
            let spent = operate::budgets::standings(&store, &key.account, &policy, of_key, now).await?;
            let mut json = key_json(&key);
            json["budgets"] = budgets::json(&spent).into();
            Ok(Output::new(format!("{}{}", rules_text(&key), budgets::lines(&spent)), json))
        }
        KeysCommand::Set { id, reset, rules } => {
            let key = keys.change(&id, reset, &rules.rules(&local.own)?).await?;
            let key = key.with_context(|| format!("there is no key {id}"))?;
            Ok(Output::new(format!("{}takes effect within 60 s", rules_text(&key)), key_json(&key)))
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

fn rules_text(key: &ApiKey) -> String {
    let KeyRules { budgets, allowed } = &key.rules;
    let providers =
        allowed.providers.as_ref().map(|all| all.iter().map(|one| one.name()).collect::<Vec<_>>());
    format!(
        "account    {}\nmodels     {}\nproviders  {}\nlimits     {}\n",
        key.account,
        allowed.models.as_ref().map_or_else(|| "all".to_owned(), |models| models.join(", ")),
        providers.map_or_else(|| "all".to_owned(), |providers| providers.join(", ")),
        budgets::limits(*budgets),
    )
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
    let mut json = json!({
        "id": key.id,
        "account": key.account,
        "status": status(key),
        "scopes": key.scopes,
        "created_at": key.created_at.to_string(),
        "models": key.rules.allowed.models,
        "providers": key.rules.allowed.providers,
    });
    budgets::add_limits(&mut json, key.rules.budgets);
    json
}
