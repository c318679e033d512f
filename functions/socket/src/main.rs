//! `socket` on Lambda: wiring only.

use lambda_runtime::{Error, run, service_fn};
use shared::boot::Process;
use socket::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("socket").await?)?;
    run(service_fn(|event| handle(&app, event))).await
}
