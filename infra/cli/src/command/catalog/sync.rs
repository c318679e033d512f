//! `genmux catalog diff` and `apply`: lists of providers and prices of others against the catalogue.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use domain::catalog::Catalog;
use domain::catalog::sync::{Change, Diff, Synced, Theirs, diff};
use domain::provider::Provider;
use reqwest::{Url, redirect};
use serde_json::{Value, json};
use shared::boot::{Clock, Env};

use super::edit::edited;
use crate::command::bills::client;
use crate::command::print::{self, Output, table};
use crate::command::save::Place;

/// The longest list, in bytes, and the longest wait for it.
const LIST_MAX: usize = 8 << 20;
const LIST_WITHIN: Duration = Duration::from_secs(30);
/// What the file of the last values adds to the name of the catalogue.
const SYNCED: &str = ".synced.json";
/// The variables of the keys of lists: of `OpenRouter`'s, and of any other.
const OPENROUTER_KEY: &str = "OPENROUTER_API_KEY";
const OTHER_KEY: &str = "GENMUX_LIST_KEY";

/// A catalogue, and the list that it is compared with.
#[derive(Debug, Args)]
pub(in crate::command) struct Sync {
    /// Your own catalogue. Without it, the built-in one is compared.
    file: Option<PathBuf>,
    /// Ask this provider, with its key in the environment: fal (prices of our endpoints, and what it offers) or
    /// replicate (which of our models it has, and what it offers).
    #[arg(long, required_unless_present = "openrouter_list", conflicts_with = "openrouter_list")]
    provider: Option<Provider>,
    /// Video models with prices in `OpenRouter`'s form, a file or a URL, against the prices that your callers pay.
    /// `OpenRouter`'s own URLs get the key `OPENROUTER_API_KEY`, if there is one; others get `GENMUX_LIST_KEY`.
    #[arg(long, value_name = "FILE|URL")]
    openrouter_list: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct Apply {
    #[command(flatten)]
    sync: Sync,
    /// Write the changed catalogue there. Default: FILE.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What counts where the list and you changed the same: theirs, ours, or ask for each. Without a terminal, ask
    /// lists them and changes nothing.
    #[arg(long, value_enum, default_value_t = OnConflict::Ask)]
    on_conflict: OnConflict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Theirs,
    Ours,
    Ask,
}

/// What was compared.
struct Compared {
    text: String,
    ours: Catalog,
    theirs: Theirs,
    synced: Synced,
    diff: Diff,
}

pub(super) async fn show(sync: &Sync) -> Result<Output> {
    let compared = compare(sync, None).await?;
    Ok(Output::new(shown(&compared), json_of(&compared)))
}

pub(super) async fn apply(apply: &Apply) -> Result<Output> {
    let Apply { sync, out, on_conflict } = apply;
    let to = out.as_ref().or(sync.file.as_ref()).context("name a catalogue to write: FILE or --out FILE")?;
    let is_read = sync.file.as_ref() == Some(to);
    ensure!(is_read || !to.exists(), "{} exists: name it as FILE to change it", to.display());
    let (own, synced) = (Place::of(to)?, Place::of(&beside(to))?);
    let mut compared = compare(sync, Some(to)).await?;
    let (mut text, mut json) = (shown(&compared), json_of(&compared));
    let Some(taken) = resolved(&compared.diff.conflicts, *on_conflict)? else {
        text.push_str("\nnothing was changed: there are conflicts, and no terminal to ask on\n");
        json["applied"] = false.into();
        return Ok(Output { failed: true, ..Output::new(text, json) });
    };
    let changes: Vec<_> = compared.diff.changes.iter().cloned().chain(taken).collect();
    let changed = edited(&compared.text, &compared.ours, &changes)?;
    super::parsed(&changed, "the changed catalogue").context("nothing was changed")?;
    let amounts = compared.theirs.amounts.iter().map(|(key, amount)| (key.to_string(), *amount));
    compared.synced.extend(amounts);
    compared.synced.extend(compared.diff.conflicts.iter().filter_map(|change| match change {
        Change::Gone { .. } => Some((change.key(), 0)),
        Change::Amount { .. } => None,
    }));
    // The catalogue first: without the other file, the same changes are conflicts at worst.
    own.write(changed.as_bytes()).await?;
    synced.write(format!("{:#}\n", json!(compared.synced)).as_bytes()).await?;
    text.push_str(&format!("\nwrote {} changes to {}\n", changes.len(), to.display()));
    json["applied"] = true.into();
    json["file"] = json!(to);
    Ok(Output::new(text, json))
}

async fn compare(sync: &Sync, to: Option<&PathBuf>) -> Result<Compared> {
    let text = match &sync.file {
        // A catalogue that is to be written may begin empty.
        Some(file) if to == Some(file) && !file.exists() => String::new(),
        Some(file) => super::checked(file)?.0,
        None => String::new(),
    };
    let ours = if text.is_empty() { Catalog::built_in() } else { Catalog::with_own(&text)? };
    let synced = match &sync.file {
        Some(file) => read_synced(&beside(file))?,
        None => Synced::new(),
    };
    let theirs = match (sync.provider, &sync.openrouter_list) {
        (Some(provider), _) => of_provider(&ours, provider).await?,
        (None, Some(list)) => {
            let bytes = list_of(list).await.with_context(|| format!("{list} cannot be read"))?;
            let list: Option<Value> = serde_json::from_slice(&bytes).ok();
            let theirs = list.and_then(|list| Theirs::of_openrouter(&ours, &list));
            theirs.context("it is no list of models in OpenRouter's form: an object with the list `data`")?
        }
        (None, None) => bail!("name a list: --provider or --openrouter-list"),
    };
    let diff = diff(&theirs, &ours, &Catalog::built_in(), &synced);
    Ok(Compared { text, ours, theirs, synced, diff })
}

async fn of_provider(ours: &Catalog, provider: Provider) -> Result<Theirs> {
    let client = client(provider, &Env::from_process(), None)?;
    let routes = ours.models().flat_map(|model| &model.routes).filter(|route| route.provider == provider);
    let listing = client.listing(provider, &routes.collect::<Vec<_>>(), Clock::System.now()).await;
    let listing = listing.with_context(|| format!("{provider} gave no list"))?;
    let mut theirs = Theirs::of_prices(ours, provider, &listing.prices);
    theirs.unclear.extend(listing.unclear);
    theirs.lacking(ours, provider, &listing.gone);
    theirs.offering(ours, provider, &listing.offered, shared::provider::adapter(provider).family());
    Ok(theirs)
}

/// The bytes of a file or of a URL; the key goes to no other host, and not over HTTP beyond this machine.
async fn list_of(place: &str) -> Result<Vec<u8>> {
    let url = match Url::parse(place) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => {
            ensure!(fs::metadata(place)?.len() <= LIST_MAX as u64, "it is larger than {LIST_MAX} bytes");
            return Ok(fs::read(place)?);
        }
    };
    let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    ensure!(url.scheme() == "https" || is_here, "it must be a URL of https");
    let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(LIST_WITHIN);
    let (env, name) = (Env::from_process(), key_for(&url));
    let key = env.get(name);
    let mut call = if is_here { builder.no_proxy() } else { builder }.build()?.get(url);
    if let Some(key) = key {
        call = call.bearer_auth(key);
    }
    let mut answer = call.send().await.map_err(reqwest::Error::without_url)?;
    ensure!(answer.status().is_success(), "it answered {}", answer.status().as_u16());
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        bytes.extend_from_slice(&chunk);
        ensure!(bytes.len() <= LIST_MAX, "it is larger than {LIST_MAX} bytes");
    }
    Ok(bytes)
}

/// The variable of the key for a URL: `OpenRouter`'s key goes to its own hosts alone.
fn key_for(url: &Url) -> &'static str {
    let host = url.host_str().unwrap_or_default();
    let is_openrouter = host == "openrouter.ai" || host.ends_with(".openrouter.ai");
    if is_openrouter && url.scheme() == "https" { OPENROUTER_KEY } else { OTHER_KEY }
}

/// Which of the conflicts are theirs; `None` if there is a terminal to ask on missing.
fn resolved(conflicts: &[Change], rule: OnConflict) -> Result<Option<Vec<Change>>> {
    match rule {
        OnConflict::Theirs => Ok(Some(conflicts.to_vec())),
        OnConflict::Ours => Ok(Some(Vec::new())),
        OnConflict::Ask if conflicts.is_empty() => Ok(Some(Vec::new())),
        OnConflict::Ask if !stdin().is_terminal() => Ok(None),
        OnConflict::Ask => {
            let mut taken = Vec::new();
            for change in conflicts {
                let [_, what, ours, theirs] = row("conflict", change);
                print::notice(format_args!("{what}: ours {ours}, theirs {theirs}. Take theirs? [y/n]"));
                let mut answer = String::new();
                stdin().lock().read_line(&mut answer)?;
                match answer.trim() {
                    "y" | "yes" => taken.push(change.clone()),
                    "n" | "no" => {}
                    _ => bail!("the answer must be y or n; nothing was changed"),
                }
            }
            Ok(Some(taken))
        }
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(SYNCED);
    name.into()
}

fn read_synced(file: &Path) -> Result<Synced> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no list of the last values", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Synced::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

fn shown(compared: &Compared) -> String {
    let Compared { theirs, diff, .. } = compared;
    let none = || "-".to_owned();
    let created = theirs.created.iter().map(|it| ["created".to_owned(), it.clone(), none(), none()]);
    let changed = diff.changes.iter().map(|change| row(name_of(change), change));
    let conflicts = diff.conflicts.iter().map(|change| row("conflict", change));
    let rows: Vec<_> = created.chain(changed).chain(conflicts).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text.push_str(&table(["CHANGE", "WHAT", "OURS", "THEIRS"], &rows));
    }
    for (of, why) in &theirs.unclear {
        text.push_str(&format!("unclear   {of}: {why}\n"));
    }
    let (updated, deleted) = diff.counts();
    text.push_str(&format!(
        "created {}, updated {updated}, deleted {deleted}, conflicts {}, unclear {}, ours kept {}, same {}\n",
        theirs.created.len(),
        diff.conflicts.len(),
        theirs.unclear.len(),
        diff.kept,
        diff.same
    ));
    text
}

fn name_of(change: &Change) -> &'static str {
    match change {
        Change::Amount { .. } => "updated",
        Change::Gone { .. } => "deleted",
    }
}

fn row(name: &str, change: &Change) -> [String; 4] {
    let (what, ours, theirs) = match change {
        Change::Amount { key, ours, theirs } => (key.to_string(), ours.to_string(), theirs.to_string()),
        Change::Gone { model, route } => {
            (format!("{model} {route}"), "sold".to_owned(), "unknown".to_owned())
        }
    };
    [name.to_owned(), what, ours, theirs]
}

fn json_of(compared: &Compared) -> Value {
    let Compared { theirs, diff, .. } = compared;
    let change = |change: &Change| match change {
        Change::Amount { key, ours, theirs } => json!({
            "model": key.model, "route": key.route, "resolution": key.resolution, "key": key.to_string(),
            "ours": ours, "theirs": theirs,
        }),
        Change::Gone { model, route } => json!({"model": model, "route": route, "gone": true}),
    };
    let of =
        |name: &str| diff.changes.iter().filter(|it| name_of(it) == name).map(change).collect::<Vec<_>>();
    let unclear = theirs.unclear.iter().map(|(of, why)| json!({"of": of, "why": why}));
    json!({
        "created": theirs.created.iter().collect::<BTreeSet<_>>(),
        "updated": of("updated"),
        "deleted": of("deleted"),
        "conflicts": diff.conflicts.iter().map(change).collect::<Vec<_>>(),
        "unclear": unclear.collect::<Vec<_>>(),
        "kept": diff.kept,
        "same": diff.same,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_openrouter_is_for_its_own_hosts_alone() {
        for (url, is_its_own) in [
            ("https://openrouter.ai/api/v1/videos/models", true),
            ("https://API.OpenRouter.ai:443/list", true),
            ("http://openrouter.ai/list", false),
            ("https://notopenrouter.ai/list", false),
            ("https://openrouter.ai.example/list", false),
            ("https://openrouter.ai@a.example/list", false),
            ("https://a.example/openrouter.ai", false),
            ("http://127.0.0.1:8787/v1/videos/models", false),
        ] {
            let name = key_for(&url.parse().unwrap());
            assert_eq!(name, if is_its_own { "OPENROUTER_API_KEY" } else { "GENMUX_LIST_KEY" }, "{url}");
        }
    }
}
