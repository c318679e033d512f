//! The store room against the embedded endpoints: each method, each condition both ways.

mod admission;
mod advance;
mod books;
mod conflict;
mod create;
mod due;
mod health;
mod keystore;
mod ledger;
mod media;
mod polls;
mod queue;
mod read;
mod real;
mod repeated;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::decide::{Claim, Event};
use domain::id::{AccountId, JobId};
use domain::job::{CHECK_EVERY, CancelRefund, Job};
use domain::policy::live::LiveMax;
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::time::Timestamp;
use harness::World;
use shared::store::Table;
use shared::store::jobs::{Created, JobStore};
use shared::store::keys::{self, PK, SK};
use shared::store::ledger::{Ledger, Limits, Line};
use shared::store::polls::PollLease;

type Item = HashMap<String, AttributeValue>;

/// What every job here costs.
const PRICE: Credits = Credits::ONE;
/// More live jobs than any test makes.
const LIVE_MAX: Limits = at_most(1_000);

/// A question that is the caller's, before anything was asked to stop.
const TAKEN: PollLease = PollLease::Acquired { stop_accepted: false };
const CANCEL: Event = Event::CancelRequested(CancelRefund::LessCost);

const fn at_most(live_jobs: u32) -> Limits {
    Limits { live_jobs: LiveMax::AtMost(live_jobs), loss_per_day: None, low_below: None }
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::for_providers(Provider::ALL));

fn account(name: &str) -> AccountId {
    format!("acct_{name}").parse().expect("an account id")
}

fn order(prompt: &str) -> JobRequest {
    let order = serde_json::json!({"model": "veo-3.1", "prompt": prompt});
    let order = serde_json::from_value(order).expect("a well-formed order");
    JobRequest::new(order, &CATALOG).expect("a valid order")
}

/// A job that is not yet stored, for an order of that name under a key of that name.
fn new_job(account: &AccountId, name: &str, now: Timestamp) -> Job {
    job_of(account, name, name, now)
}

/// A job that is not yet stored, for an order of this prompt under this key.
fn job_of(account: &AccountId, key: &str, prompt: &str, now: Timestamp) -> Job {
    let id = JobId::for_key(account, key);
    Job::new(id, account.clone(), "veo-3.1".to_owned(), PRICE, order(prompt).digest(), now)
}

/// Creates `job` for an order called `prompt`.
async fn create(jobs: &JobStore, job: &Job, prompt: &str) -> Created {
    let check_at = job.created_at() + CHECK_EVERY;
    jobs.create(job, &order(prompt), check_at, LIVE_MAX).await.expect("the table answers")
}

/// A stored job of the world's account.
async fn stored(world: &World, name: &str) -> Job {
    let job = new_job(&world.account, name, world.clock.now());
    assert_eq!(create(&world.jobs(), &job, name).await, Created::New(job.clone()));
    job
}

fn claim(claim: u64) -> Event {
    Event::Claimed(Claim {
        id: claim,
        provider: Provider::Fal,
        route: "fal/veo-3.1".to_owned(),
        cost: None,
        key_mark: None,
        reports: true,
        stop_is_free: false,
        simulated: false,
    })
}

async fn balance(world: &World, account: &AccountId) -> Credits {
    Ledger::new(world.table()).balance(account).await.expect("the table answers").available()
}

/// The account's ledger, newest line first.
async fn lines(world: &World, account: &AccountId) -> Vec<Line> {
    Ledger::new(world.table()).lines(account, 100, None).await.expect("the table answers").items
}

/// Every item of the table by its key, as it stands there.
async fn snapshot(world: &World) -> BTreeMap<(String, String), Item> {
    let mut pages =
        world.operator.dynamodb().scan().table_name(table_name(world)).into_paginator().items().send();
    let mut items = BTreeMap::new();
    while let Some(item) = pages.next().await {
        let item = item.expect("the table answers");
        let part = |name: &str| item[name].as_s().expect("a key is text").clone();
        items.insert((part(PK), part(SK)), item);
    }
    items
}

async fn job_item(world: &World, id: &JobId) -> Item {
    snapshot(world).await[&(keys::job(id), keys::JOB.to_owned())].clone()
}

/// Changes one attribute behind the room's back; makes the item if there is none.
#[expect(clippy::disallowed_methods, reason = "a test spoils an item, or plays a rival")]
pub(crate) async fn spoil(world: &World, pk: &str, sk: &str, name: &str, value: AttributeValue) {
    let update = world.operator.dynamodb().update_item().table_name(table_name(world));
    let update = update.key(PK, text(pk)).key(SK, text(sk)).update_expression("SET #name = :value");
    let update =
        update.expression_attribute_names("#name", name).expression_attribute_values(":value", value);
    update.send().await.expect("the item is changed");
}

async fn spoil_job(world: &World, id: &JobId, name: &str, value: AttributeValue) {
    spoil(world, &keys::job(id), keys::JOB, name, value).await;
}

#[expect(clippy::disallowed_methods, reason = "a test removes an item that nothing removes")]
async fn remove(world: &World, pk: &str, sk: &str) {
    let delete = world.operator.dynamodb().delete_item().table_name(table_name(world));
    delete.key(PK, text(pk)).key(SK, text(sk)).send().await.expect("the item is removed");
}

/// The world's table, over the wire that a test can break.
fn wired_table(world: &World) -> Table {
    Table::new(world.stack.operator.dynamodb(), table_name(world))
}

fn table_name(world: &World) -> &str {
    world.operator.env.get("TABLE").expect("the operator knows the table")
}

fn bucket_name(world: &World) -> &str {
    world.operator.env.get("MEDIA_BUCKET").expect("the operator knows the bucket")
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
