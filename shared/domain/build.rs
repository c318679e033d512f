//! Turns the catalogue from TOML, as it is written, into JSON, which a start reads in a fraction of the time.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let source = Path::new("../catalog.toml");
    println!("cargo::rerun-if-changed={}", source.display());
    let catalog: toml::Table = toml::from_str(&fs::read_to_string(source)?)?;
    #[expect(clippy::disallowed_methods, reason = "Cargo tells a build script its folder so")]
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("catalog.json"), serde_json::to_vec(&catalog)?)?;
    Ok(())
}
