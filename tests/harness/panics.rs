//! A function as all others are wired, whose handler panics at `{"panic": true}`.

use std::convert::Infallible;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use shared::boot::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    Process::start("panics").await?;
    run(service_fn(async |event: LambdaEvent<Value>| {
        assert_ne!(event.payload["panic"], true, "on purpose");
        Ok::<_, Infallible>(event.payload)
    }))
    .await
}
