//! Transactions that meet others: the real table refuses one of two that overlap, which the
//! embedded one never does, so here the wire says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use domain::credit::Credits;
use domain::job::State;
use harness::{Log, World};
use serde_json::{Value, json};
use shared::store::Table;
use shared::store::jobs::{Advance, Created, JobStore};
use shared::store::ledger::{Granted, Ledger};

use super::{CANCEL, LIVE_MAX, account, balance, create, new_job, order, snapshot, stored, table_name};

/// Fewer than each of the store's calls takes, and more than any.
const FEW: usize = 9;
const TOO_MANY: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_meets_others_is_made_once_or_gives_up_and_changes_nothing() {
    let world = World::new().await;
    let before = world.balance().await;
    let job = new_job(&world.account, "a", world.clock.now());
    let untouched = snapshot(&world).await;

    let busy = JobStore::new(refusing_table(&world, TOO_MANY, &["None", "None", "None", CONFLICT]));
    let gave_up = busy.create(&job, &order("a"), job.created_at, LIVE_MAX).await.unwrap_err();
    assert!(!gave_up.is_corrupt() && !gave_up.is_missing(), "a repeat may pass: {gave_up:?}");
    assert_eq!(snapshot(&world).await, untouched);

    let busy = JobStore::new(refusing_table(&world, FEW, &["None", CONFLICT, CONDITION, "None"]));
    assert_eq!(create(&busy, &job, "a").await, Created::New(job));
    assert_eq!(world.balance().await.checked_add(super::PRICE), Some(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_meets_others_is_refunded_once_or_gives_up_and_changes_nothing() {
    let world = World::new().await;
    let before = world.balance().await;
    let (job, now) = (stored(&world, "a").await, world.clock.now());
    let untouched = snapshot(&world).await;

    let log = Log::start();
    // The second one: a concurrent end has written its ledger line, and its job is not read yet.
    for codes in [["None", "None", CONFLICT], [CONFLICT, "None", CONDITION]] {
        let busy = JobStore::new(refusing_table(&world, TOO_MANY, &codes));
        let gave_up = busy.advance(&job.id, &CANCEL, now).await.unwrap_err();
        assert!(!gave_up.is_corrupt() && !gave_up.is_missing(), "a repeat may pass: {gave_up:?}");
        assert_eq!(snapshot(&world).await, untouched);
    }
    assert_eq!(log.of("ledger.mismatch"), Vec::<Value>::new());

    let busy = JobStore::new(refusing_table(&world, FEW, &[CONFLICT, "None", CONDITION]));
    let canceled = busy.advance(&job.id, &CANCEL, now).await.unwrap();
    assert!(matches!(&canceled, Advance::Moved(job) if job.state == State::Canceled), "{canceled:?}");
    assert_eq!(world.balance().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_meets_others_is_made_once_or_gives_up_and_changes_nothing() {
    let world = World::new().await;
    let (anna, now) = (account("anna"), world.clock.now());
    let untouched = snapshot(&world).await;

    let busy = Ledger::new(refusing_table(&world, TOO_MANY, &["None", CONFLICT]));
    let gave_up = busy.grant(&anna, "order1", Credits::ONE, now).await.unwrap_err();
    assert!(!gave_up.is_corrupt() && !gave_up.is_missing(), "a repeat may pass: {gave_up:?}");
    assert_eq!(snapshot(&world).await, untouched);

    let busy = Ledger::new(refusing_table(&world, FEW, &[CONFLICT, CONDITION]));
    assert_eq!(busy.grant(&anna, "order1", Credits::ONE, now).await.unwrap(), Granted::New);
    assert_eq!(balance(&world, &anna).await, Credits::ONE);
}

const CONFLICT: &str = "TransactionConflict";
const CONDITION: &str = "ConditionalCheckFailed";

/// The world's table, behind a wire that cancels the first transactions with a reason for each write.
fn refusing_table(world: &World, refusals: usize, codes: &[&'static str]) -> Table {
    let mut operator = world.operator.clone();
    let inner = aws_smithy_http_client::Builder::new().build_http();
    let busy = Busy { inner, refusals: Arc::new(AtomicUsize::new(refusals)), codes: codes.to_vec() };
    operator.aws = operator.aws.into_builder().http_client(busy).build();
    Table::new(operator.dynamodb(), table_name(world))
}

#[derive(Debug, Clone)]
struct Busy<T> {
    inner: T,
    refusals: Arc<AtomicUsize>,
    codes: Vec<&'static str>,
}

impl<T: HttpClient + Clone + 'static> HttpClient for Busy<T> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Busy { inner, refusals: self.refusals.clone(), codes: self.codes.clone() })
    }
}

impl HttpConnector for Busy<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let one_less = |left: usize| left.checked_sub(1);
        let refused = operation.ends_with("TransactWriteItems")
            && self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if !refused {
            return self.inner.call(request);
        }
        let reasons: Vec<_> = self.codes.iter().map(|code| json!({"Code": code})).collect();
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled",
            "CancellationReasons": reasons,
        });
        let status = 400_u16.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body.to_string()))))
    }
}
