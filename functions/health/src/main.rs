//! `health` on Lambda: wiring only.

use health::{App, handle};
use lambda_runtime::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let process = Process::start_with_catalog("health").await?;
    let (app, tracer) = (App::new(&process)?, process.tracer()?);
    run(service_fn(|event| tracer.invocation(handle(&app, event)))).await
}
