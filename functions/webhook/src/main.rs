//! `webhook` on Lambda: wiring only.

use lambda_http::{Error, run, service_fn};
use webhook::{App, handle};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("webhook").await)?;
    run(service_fn(|request| handle(&app, request))).await
}
