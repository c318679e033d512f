//! `topups` on Lambda: wiring only.

use lambda_http::{Error, run, service_fn};
use shared::boot::Process;
use topups::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::new(&Process::start("topups").await?)?;
    run(service_fn(|request| handle(&app, request))).await
}
