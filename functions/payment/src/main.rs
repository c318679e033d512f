//! `payment` on Lambda: wiring only.

use lambda_runtime::{Error, run, service_fn};
use payment::{App, handle};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("payment").await?)?;
    run(service_fn(|event| handle(&app, event))).await
}
