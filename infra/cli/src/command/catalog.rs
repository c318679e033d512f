//! `genmux catalog`: checks, shows and uploads an owner's own catalogue.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use aws_config::BehaviorVersion;
use domain::catalog::{Catalog, Kind, Mistake, Mistakes, Model};
use shared::boot::{Clock, Env, Process, Random};
use shared::provider::unspoken;
use shared::store::own_catalog::OwnCatalog;

use super::CatalogCommand;
use super::print::{self, say};

pub(super) async fn run(command: CatalogCommand) -> Result<()> {
    match command {
        CatalogCommand::Check { file } => {
            let catalog = checked(&file)?.1;
            let models = catalog.models().count();
            say!("{} is valid: {models} models with the built-in ones", file.display());
        }
        CatalogCommand::Show { file } => {
            let catalog =
                file.map_or_else(|| Ok(Catalog::built_in()), |file| checked(&file).map(|it| it.1))?;
            print::text(list(&catalog));
        }
        CatalogCommand::Put { file, bucket } => {
            let (text, _) = checked(&file)?;
            let key = OwnCatalog::key_of(&text);
            let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
            let process =
                Process { env: Env::from_process(), aws, clock: Clock::System, random: Random::System };
            OwnCatalog::new(process.s3(), bucket, &key).write(&text).await?;
            say!("wrote {key}: deploy with the parameter Catalog={key}");
        }
    }
    Ok(())
}

/// A file's text and the catalogue that it makes. Prints a warning for what is sold below its cost.
///
/// # Errors
///
/// Every mistake, each on a line of its own.
pub(super) fn checked(file: &Path) -> Result<(String, Catalog)> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    ensure!(
        text.len() <= OwnCatalog::BYTES_MAX,
        "{} is larger than {} bytes",
        file.display(),
        OwnCatalog::BYTES_MAX
    );
    let (catalog, mistakes) = match Catalog::with_own(&text) {
        Ok(catalog) => {
            let mistakes = unspoken(&catalog);
            (catalog, mistakes)
        }
        Err(Mistakes(mistakes)) => (Catalog::built_in(), mistakes.iter().map(Mistake::to_string).collect()),
    };
    let lines: Vec<_> = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
    ensure!(mistakes.is_empty(), "{} is not a valid catalogue:{}", file.display(), lines.concat());
    for warning in catalog.warnings() {
        say!("warning: {warning}");
    }
    Ok((text, catalog))
}

/// A table of models, with a line of headings.
fn list(catalog: &Catalog) -> String {
    let width = catalog.models().map(|model| model.name.len()).max().unwrap_or(0);
    let row = |cells: [&str; 4]| {
        let [name, kind, ends, routes] = cells;
        format!("{name:width$}  {kind:5}  {ends:10}  {routes}\n")
    };
    let mut text = row(["NAME", "KIND", "ENDS", "ROUTES"]);
    for model in catalog.models() {
        let kind = match model.kind {
            Kind::Video => "video",
            Kind::Image => "image",
        };
        text += &row([&model.name, kind, model.ends.as_deref().unwrap_or("-"), &routes(model)]);
    }
    text
}

fn routes(model: &Model) -> String {
    model.routes.iter().map(|route| route.name()).collect::<Vec<_>>().join(" ")
}
