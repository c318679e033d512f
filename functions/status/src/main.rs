//! `status` on Lambda: wiring only.

use lambda_http::{Error, run, service_fn};
use shared::boot::Process;
use status::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("status").await?)?;
    run(service_fn(|request| handle(&app, request))).await
}
