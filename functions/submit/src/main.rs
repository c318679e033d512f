//! `submit` on Lambda: wiring only.

use lambda_http::{Error, run, service_fn};
use shared::boot::Process;
use submit::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let process = Process::start_with_catalog("submit").await?;
    let (app, tracer) = (App::new(&process)?, process.tracer()?);
    run(service_fn(|request| tracer.invocation(handle(&app, request)))).await
}
