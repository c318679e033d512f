//! `console` on Lambda: wiring only.

use console::{App, handle};
use lambda_http::{Error, run, service_fn};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("console").await?)?;
    run(service_fn(|request| handle(&app, request))).await
}
