//! `genmux catalog`: checks, shows and uploads an owner's own catalogue, and compares it with lists of providers.

mod edit;
pub(super) mod sync;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use aws_config::BehaviorVersion;
use clap::Args;
use domain::catalog::{Catalog, Kind, Mistake, Mistakes, Model};
use serde_json::{Value, json};
use shared::boot::{Clock, Env, Process, Random};
use shared::provider::unspoken;
use shared::store::own_catalog::OwnCatalog;

use super::CatalogCommand;
use super::print::{self, Output, table};

/// The owner's own catalogue, for the commands that need one.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Catalogue")]
pub(super) struct OwnFile {
    /// Your own catalogue, a file: what `serve` and `demo` sell, and what `bills`, `keys` and `prices` go by.
    #[arg(long, global = true, env = "CATALOG", value_name = "FILE")]
    catalog: Option<PathBuf>,
}

impl OwnFile {
    /// The text of the file, if there is one, after a check.
    #[cfg(feature = "local")]
    pub(super) fn text(&self) -> Result<Option<String>> {
        self.catalog.as_deref().map(checked).transpose().map(|found| found.map(|(text, _)| text))
    }

    /// The catalogue with the file, or the built-in one.
    pub(super) fn catalog(&self) -> Result<Catalog> {
        self.catalog.as_deref().map_or_else(|| Ok(Catalog::built_in()), |file| Ok(checked(file)?.1))
    }
}

pub(super) async fn run(command: CatalogCommand) -> Result<Output> {
    match command {
        CatalogCommand::Check { file } => {
            let models = checked(&file)?.1.models().count();
            let text = format!("{} is valid: {models} models with the built-in ones", file.display());
            Ok(Output::new(text, json!({"file": file, "models": models})))
        }
        CatalogCommand::Show { file } => {
            let catalog =
                file.map_or_else(|| Ok(Catalog::built_in()), |file| checked(&file).map(|it| it.1))?;
            let rows: Vec<_> = catalog.models().map(row).collect();
            let json = json!({"models": catalog.models().map(json_of).collect::<Vec<_>>()});
            Ok(Output::new(table(["NAME", "KIND", "ENDS", "ROUTES"], &rows), json))
        }
        CatalogCommand::Diff(sync) => sync::show(&sync).await,
        CatalogCommand::Apply(apply) => sync::apply(&apply).await,
        CatalogCommand::Put { file, bucket } => {
            let (text, _) = checked(&file)?;
            let key = OwnCatalog::key_of(&text);
            let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
            let process =
                Process { env: Env::from_process(), aws, clock: Clock::System, random: Random::System };
            OwnCatalog::new(process.s3(), bucket, &key).write(&text).await?;
            let text = format!("wrote {key}: deploy with the parameter Catalog={key}");
            Ok(Output::new(text, json!({"key": key})))
        }
    }
}

/// A file's text and the catalogue that it makes. Prints a warning for what is sold below its cost.
///
/// # Errors
///
/// Every mistake, each on a line of its own.
pub(super) fn checked(file: &Path) -> Result<(String, Catalog)> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let catalog = parsed(&text, file.display())?;
    for warning in catalog.warnings() {
        print::warning(warning);
    }
    Ok((text, catalog))
}

/// The catalogue that a text of this name makes.
fn parsed(text: &str, name: impl Display) -> Result<Catalog> {
    ensure!(text.len() <= OwnCatalog::BYTES_MAX, "{name} is larger than {} bytes", OwnCatalog::BYTES_MAX);
    let found = Catalog::with_own(text).map_err(|Mistakes(all)| all.iter().map(Mistake::to_string).collect());
    let found = found.and_then(|catalog| match unspoken(&catalog) {
        mistakes if mistakes.is_empty() => Ok(catalog),
        mistakes => Err(mistakes),
    });
    found.map_err(|mistakes: Vec<_>| {
        let lines: String = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
        anyhow!("{name} is not a valid catalogue:{lines}")
    })
}

fn kind(model: &Model) -> &'static str {
    match model.kind {
        Kind::Video => "video",
        Kind::Image => "image",
    }
}

fn row(model: &Model) -> [String; 4] {
    let ends = model.ends.as_deref().unwrap_or("-");
    [model.name.clone(), kind(model).to_owned(), ends.to_owned(), routes(model).join(" ")]
}

fn json_of(model: &Model) -> Value {
    json!({"name": model.name, "kind": kind(model), "ends": model.ends, "routes": routes(model)})
}

fn routes(model: &Model) -> Vec<String> {
    model.routes.iter().map(|route| route.name().to_string()).collect()
}
