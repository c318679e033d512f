//! `cancel` on Lambda: wiring only.

use cancel::{App, handle};
use lambda_http::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let process = Process::start_with_catalog("cancel").await?;
    let (app, tracer) = (App::new(&process)?, process.tracer()?);
    run(service_fn(|request| tracer.invocation(handle(&app, request)))).await
}
