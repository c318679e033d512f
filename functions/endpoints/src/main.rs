//! `endpoints` on Lambda: wiring only.

use endpoints::{App, handle};
use lambda_http::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("endpoints").await?)?;
    run(service_fn(|request| handle(&app, request))).await
}
