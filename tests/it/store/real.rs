//! What the real table may do and the embedded one never does: show an older state to who
//! does not ask for the present one, and answer a batch in any order. Here the wire does so.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use domain::credit::Credits;
use harness::World;
use serde_json::Value;
use shared::store::Table;
use shared::store::jobs::JobStore;
use shared::store::ledger::Ledger;

use super::{account, balance, lines, order, stored, table_name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_and_a_balance_are_read_as_they_stand_and_not_as_they_stood() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let jobs = JobStore::new(real_table(&world));
    assert_eq!(jobs.get(job.id()).await.unwrap(), Some(job.clone()));
    assert_eq!(jobs.get_with_request(job.id()).await.unwrap(), Some((job, order("a"))));
    let present = balance(&world, &world.account).await;
    assert_ne!(present, Credits::ZERO);
    assert_eq!(Ledger::new(real_table(&world)).balance(&world.account).await.unwrap().available(), present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_newest_first_however_a_batch_comes() {
    let world = World::new().await;
    let (anna, ledger) = (account("anna"), Ledger::new(real_table(&world)));
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        world.clock.advance(Duration::from_secs(1));
        made.insert(0, stored(&world, name).await);
        ledger.grant(&anna, name, Credits::ONE, world.clock.now()).await.unwrap();
    }
    let listed = JobStore::new(real_table(&world)).list(&world.account, 100, None).await.unwrap();
    assert_eq!(listed, made);
    let listed = ledger.lines(&anna, 100, None).await.unwrap().items;
    assert!(listed.is_sorted_by(|newer, older| newer.at > older.at), "{listed:?}");
    assert_eq!(listed, lines(&world, &anna).await);
}

/// The world's table, behind a wire that shows nothing to a read that may be stale, and turns
/// the answers to batches round.
fn real_table(world: &World) -> Table {
    let mut operator = world.operator.clone();
    let inner = aws_smithy_http_client::Builder::new().build_http();
    operator.aws = operator.aws.into_builder().http_client(Real { inner }).build();
    Table::new(operator.dynamodb(), table_name(world))
}

#[derive(Debug, Clone)]
struct Real<T> {
    inner: T,
}

impl<T: HttpClient + Clone + 'static> HttpClient for Real<T> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Real { inner: self.inner.http_connector(settings, components) })
    }
}

impl HttpConnector for Real<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.split('.').nth(1));
        let asked: Value =
            serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let of_index = asked.get("IndexName").is_some();
        match operation {
            Some("GetItem" | "Query") if asked["ConsistentRead"] != true && !of_index => {
                HttpConnectorFuture::ready(Ok(answer("{}")))
            }
            Some("BatchGetItem") => {
                let told = self.inner.call(request);
                HttpConnectorFuture::new(async { turned(told.await?).await })
            }
            _ => self.inner.call(request),
        }
    }
}

async fn turned(response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let body = ByteStream::new(response.into_body()).collect().await;
    let body = body.map_err(|error| ConnectorError::other(error.into(), None))?.into_bytes();
    let mut told: Value = serde_json::from_slice(&body).expect("the table answers in JSON");
    let tables = told["Responses"].as_object_mut().expect("answers by table");
    for items in tables.values_mut() {
        items.as_array_mut().expect("items").reverse();
    }
    Ok(answer(told.to_string()))
}

fn answer(body: impl Into<String>) -> HttpResponse {
    HttpResponse::new(200_u16.try_into().expect("a status"), SdkBody::from(body.into()))
}
