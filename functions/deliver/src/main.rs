//! `deliver` on Lambda: wiring only.

use deliver::{App, handle};
use lambda_runtime::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("deliver").await?)?;
    run(service_fn(|event| handle(&app, event))).await
}
