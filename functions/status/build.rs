//! Turns the API's OpenAPI document from YAML, as it is written, into JSON, as it is served.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let source = Path::new("../../infra/openapi.yaml");
    println!("cargo::rerun-if-changed={}", source.display());
    let document: serde_json::Value = serde_yaml_ng::from_str(&fs::read_to_string(source)?)?;
    #[expect(clippy::disallowed_methods, reason = "Cargo tells a build script its folder so")]
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("openapi.json"), serde_json::to_vec(&document)?)?;
    Ok(())
}
