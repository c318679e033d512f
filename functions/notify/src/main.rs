//! `notify` on Lambda: wiring only.

use lambda_runtime::{Error, run, service_fn};
use notify::{App, handle};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("notify").await?)?;
    run(service_fn(|event| handle(&app, event))).await
}
