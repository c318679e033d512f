//! `status` on Lambda: wiring only.

use lambda_http::{Error, run, service_fn};
use status::{App, handle};
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("status").await)?;
    run(service_fn(|request| handle(&app, request))).await
}
