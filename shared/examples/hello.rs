//! The least function there can be: what a start and a call cost without anything of ours.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |_request: Request| Ok::<_, Error>(Response::new(Body::from("hello"))))).await
}
