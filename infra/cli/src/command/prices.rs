//! `genmux prices`: versions of the price book.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use domain::catalog::Catalog;
use domain::price_book::PriceBook;
use domain::time::Timestamp;
use serde_json::{Value, json};
use shared::operate::prices::{Set, set};
use shared::store::prices::{PriceStore, Version};

use super::print::{self, Output, table};
use super::{Local, Target};

#[derive(Debug, Args)]
pub(super) struct Prices {
    #[command(subcommand)]
    command: PricesCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum PricesCommand {
    /// Print the file of the newest version, or of another.
    Show { number: Option<u32> },
    /// Check a file and make it the newest version. It takes effect within 60 s; jobs keep their price.
    /// The prices are those of the catalogue that the stack has: name your own by --catalog.
    Set { file: PathBuf },
    /// List the latest versions, newest first.
    History {
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..))]
        limit: u8,
    },
    /// List what differs between two versions; 0 is the catalogue. Default: between the newest and the one
    /// before.
    Diff { before: Option<u32>, after: Option<u32> },
}

pub(super) async fn run(args: Prices, local: &Local) -> Result<Output> {
    let Prices { command, target } = args;
    let opened = target.open(local).await?;
    let store = PriceStore::new(opened.table());
    match command {
        PricesCommand::Show { number } => {
            let found = match number {
                Some(number) => Some(wanted(&store, number).await?),
                None => store.newest().await?,
            };
            let Some(found) = found else {
                return Ok(Output::new("the prices are those of the catalogue", json!({"version": 0})));
            };
            let mut json = version_json(&found);
            json["file"] = found.file.clone().into();
            Ok(Output::file(&found.file, json))
        }
        PricesCommand::Set { file } => {
            set_file(&store, &file, &local.own.catalog()?, opened.process.clock.now()).await
        }
        PricesCommand::History { limit } => {
            let versions = store.latest(i32::from(limit)).await?;
            let rows: Vec<_> = versions
                .iter()
                .map(|version| [version.number.to_string(), version.set_at.to_string()])
                .collect();
            let json = json!({"versions": versions.iter().map(version_json).collect::<Vec<_>>()});
            Ok(Output::new(table(["VERSION", "SET_AT"], &rows), json))
        }
        PricesCommand::Diff { before, after } => {
            let newest = store.newest().await?.map_or(0, |newest| newest.number);
            let after = after.unwrap_or(newest);
            diff(&store, before.unwrap_or(after.saturating_sub(1)), after).await
        }
    }
}

async fn set_file(store: &PriceStore, file: &Path, catalog: &Catalog, now: Timestamp) -> Result<Output> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let book = PriceBook::parse(&text).with_context(|| format!("{} is no price book", file.display()))?;
    for idle in book.idle(catalog) {
        print::warning(format_args!("the catalogue does not sell {idle}"));
    }
    let (number, is_new) = match set(store, catalog, &text, now).await? {
        Set::New(number) => (number, true),
        Set::Same(number) => (number, false),
        Set::Overtaken => bail!("another version was set at the same time; nothing was changed"),
    };
    let what = if is_new { "takes effect within 60 s" } else { "is in force already" };
    let json = json!({"version": number, "is_new": is_new});
    Ok(Output::new(format_args!("version {number} {what}"), json))
}

async fn diff(store: &PriceStore, before: u32, after: u32) -> Result<Output> {
    let [from, to] = [book(store, before).await?, book(store, after).await?];
    let changes = from.diff(&to);
    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = changes.iter().map(|(name, old, new)| [name.clone(), cell(old), cell(new)]).collect();
    let changes = changes.iter().map(|(name, old, new)| json!({"name": name, "before": old, "after": new}));
    let json = json!({"before": before, "after": after, "changes": changes.collect::<Vec<_>>()});
    Ok(Output::new(table(["PRICE", "BEFORE", "AFTER"], &rows), json))
}

async fn wanted(store: &PriceStore, number: u32) -> Result<Version> {
    store.version(number).await?.with_context(|| format!("there is no version {number}"))
}

async fn book(store: &PriceStore, number: u32) -> Result<PriceBook> {
    if number == 0 {
        return Ok(PriceBook::default());
    }
    Ok(wanted(store, number).await?.book()?)
}

fn version_json(version: &Version) -> Value {
    json!({"version": version.number, "set_at": version.set_at.to_string()})
}
