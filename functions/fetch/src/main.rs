//! `fetch` on Lambda: wiring only.

use fetch::{App, handle};
use lambda_runtime::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("fetch").await?)?;
    run(service_fn(|event| handle(&app, event))).await
}
