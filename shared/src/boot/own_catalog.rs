//! An owner's own catalogue by reference: read once, when a process starts.

use std::error::Error;

use super::{Env, StartError};
use crate::store::S3;

/// `s3://BUCKET/KEY` of the catalogue, as the template writes it; a start replaces it by the text.
pub(super) const VARIABLE: &str = "CATALOG";
/// The largest catalogue, in bytes.
const BYTES_MAX: i64 = 1024 * 1024;

/// The environment with the text of the catalogue in the place of its reference.
///
/// # Errors
///
/// If it is no such reference, or the object cannot be read.
pub(super) async fn overlay(env: Env, s3: &S3) -> Result<Env, StartError> {
    let Some(address) = env.get(VARIABLE).map(str::to_owned) else { return Ok(env) };
    let failed =
        |source: Box<dyn Error + Send + Sync>| StartError::Catalog { address: address.clone(), source };
    let place = address.strip_prefix("s3://").and_then(|place| place.split_once('/'));
    let Some((bucket, key)) = place else { return Err(failed("it must be s3://BUCKET/KEY".into())) };
    let object =
        s3.get_object().bucket(bucket).key(key).send().await.map_err(|error| failed(error.into()))?;
    if object.content_length().is_none_or(|length| length > BYTES_MAX) {
        return Err(failed(format!("it is larger than {BYTES_MAX} bytes").into()));
    }
    let bytes = object.body.collect().await.map_err(|error| failed(error.into()))?.to_vec();
    let text = String::from_utf8(bytes).map_err(|error| failed(error.into()))?;
    Ok(env.with(VARIABLE, text))
}
