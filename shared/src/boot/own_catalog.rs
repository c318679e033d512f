//! An owner's own catalogue by reference: read once, when a process starts.

use super::{Env, StartError};
use crate::store::S3;
use crate::store::own_catalog::OwnCatalog;

/// `s3://BUCKET/KEY` of the catalogue, as the template writes it; a start replaces it by the text.
pub(super) const VARIABLE: &str = "CATALOG";

/// The text of the catalogue that the environment refers to, if any.
///
/// # Errors
///
/// If it is no such reference, or the object cannot be read.
pub(super) async fn read(env: &Env, s3: impl FnOnce() -> S3) -> Result<Option<String>, StartError> {
    let Some(address) = env.get(VARIABLE).map(str::to_owned) else { return Ok(None) };
    let catalog = OwnCatalog::at(s3(), &address).ok_or(StartError::CatalogAddress)?;
    let text = catalog.read().await.map_err(|source| StartError::Catalog { address, source })?;
    Ok(Some(text))
}
