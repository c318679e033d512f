//! `socket` on Lambda: wiring only.

use lambda_runtime::{Error, run, service_fn};
use shared::boot::Process;
use socket::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let process = Process::start("socket").await?;
    let (app, tracer) = (App::new(&process)?, process.tracer()?);
    run(service_fn(|event| tracer.invocation(handle(&app, event)))).await
}
