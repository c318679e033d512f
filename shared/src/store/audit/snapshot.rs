//! The snapshot of the table, the due index and the bucket for one audit.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::super::accounts::Policy;
use super::super::item::{Item, from_item, from_value, number_of, text_of, to_item};
use super::super::jobs::job_from_item;
use super::super::keys::{self, CHECK_AT, DUE_SHARD, DUE_SHARDS, MOVES, PK, SK};
use super::super::keystore::ApiKey;
use super::super::ledger::{Line, owner};
use super::super::moves::Move;
use super::super::prices::Version;
use super::super::remotes::{Holder, holder_of};
use super::super::{Error, jobs::JobStore};
use super::{Object, Source};
use domain::budget::Counter;
use domain::credit::Entry;
use domain::delivery::{Delivery, Status};
use domain::endpoint::Endpoint;
use domain::event::Event;
use domain::id::{AccountId, JobId, TopupId};
use domain::job::{Job, State};
use domain::payment::purchase::Purchase;
use domain::policy::admission::Admission;
use domain::policy::health::Gauge;
use domain::price_book::PriceBook;
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::time::Timestamp;

const DOING: &str = "read an item of the table";

/// All data of an audit.
#[derive(Debug, Default)]
pub struct LedgerSnapshot {
    pub accounts: BTreeMap<AccountId, Account>,
    /// Every job with any item.
    pub jobs: BTreeMap<JobId, AuditedJob>,
    /// The owners of remote jobs, by key.
    pub remotes: BTreeMap<String, Held>,
    pub admissions: BTreeMap<Provider, Admission>,
    pub keys: Vec<ApiKey>,
    /// The versions of the price book.
    pub prices: BTreeMap<u32, PriceBook>,
    /// The endpoints of each account.
    pub endpoints: BTreeMap<AccountId, Endpoints>,
    pub purchases: BTreeMap<TopupId, Bought>,
    /// When what waits is due of each event and delivery, by its key.
    pub waiting: BTreeMap<(String, String), Timestamp>,
    /// The files in the bucket, by key.
    pub objects: BTreeMap<String, Object>,
    /// Open multipart uploads: key, and start of the oldest.
    pub uploads: BTreeMap<String, Timestamp>,
    /// Unreadable items, by key, with the reason.
    pub unreadable: BTreeMap<(String, String), String>,
}

/// An account's money.
#[derive(Debug, Default)]
pub struct Account {
    /// The stored balance in micro-credits, even if negative. `None`: no item.
    pub balance: Option<i128>,
    /// Number of active jobs in the balance item.
    pub live: i64,
    pub lines: Vec<Line>,
    /// Lines that were added during the second read: the balance may include them.
    pub later: Vec<Line>,
    /// Number of its active jobs at that time, if it was read again.
    pub counted: Option<RangeInclusive<i64>>,
    /// What the counters of its budgets say, in micro-credits.
    pub counters: BTreeMap<Counter, i128>,
    /// The account has an unreadable item, so its sums are not checked.
    pub is_partial: bool,
}

/// A purchase, and when its processor is to be asked about it.
#[derive(Debug)]
pub struct Bought {
    pub purchase: Purchase,
    pub check_at: Option<Timestamp>,
}

/// How many endpoints an account has, and how many of them want more than the ends of jobs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// As its balance item counts them.
    pub counted: [i64; 2],
    pub found: [i64; 2],
}

/// All items of one job.
#[derive(Debug, Default)]
pub struct AuditedJob {
    pub row: Row,
    pub has_request: bool,
    /// Of the stored request without the providers of its key, as it is and without the preference that the
    /// account's policy may have added; empty where this release does not know all of it.
    pub digests: Vec<String>,
    /// The request without its prompts, of a job whose price is of a version of the price book.
    pub priced: Option<Box<JobRequest>>,
    pub lines: Vec<(AccountId, Line)>,
    pub indexed: Vec<DueEntry>,
}

/// A job's own item.
#[derive(Debug, Default)]
pub enum Row {
    #[default]
    Missing,
    /// With its readable fields.
    Unreadable {
        account: Option<AccountId>,
        is_live: bool,
    },
    Read(Box<JobRow>),
}

/// A job with what only the table has of it.
#[derive(Debug, Clone)]
pub struct JobRow {
    pub job: Job,
    pub moves: Vec<Move>,
    pub due_shard: Option<String>,
    pub check_at: Option<Timestamp>,
}

/// An entry of the due index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEntry {
    pub shard: String,
    pub check_at: Timestamp,
}

/// The owner of a remote job, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub holder: Holder,
    pub expires_at: Timestamp,
}

impl AuditedJob {
    pub fn row(&self) -> Option<&JobRow> {
        match &self.row {
            Row::Read(row) => Some(row),
            Row::Missing | Row::Unreadable { .. } => None,
        }
    }

    fn read_request(&mut self, item: Item) -> Result<(), Error> {
        self.has_request = true;
        let request: JobRequest = from_item(DOING, item.clone())?;
        self.digests = digests(&item, &request)?;
        let is_priced = self.row().is_some_and(|row| row.job.price_version() > 0);
        let request = JobRequest { prompt: String::new(), negative_prompt: None, ..request };
        self.priced = is_priced.then(|| Box::new(request));
        Ok(())
    }
}

impl LedgerSnapshot {
    /// The readable jobs.
    pub fn rows(&self) -> impl Iterator<Item = &JobRow> {
        self.jobs.values().filter_map(AuditedJob::row)
    }

    /// Adds an item; records it as unreadable if it is.
    pub(super) fn take(&mut self, item: Item) {
        let part = |name| text_of(&item, name).unwrap_or_default().to_owned();
        let (pk, sk) = (part(PK), part(SK));
        if let Err(error) = self.read(&pk, &sk, item) {
            self.unreadable.insert((pk, sk), error.with_causes());
        }
    }

    fn read(&mut self, pk: &str, sk: &str, item: Item) -> Result<(), Error> {
        match sk {
            keys::JOB => {
                let audited = self.jobs.entry(job_of(pk)?).or_default();
                audited.row = Row::Unreadable { account: account_of(&item), is_live: is_live(&item) };
                audited.row = Row::Read(Box::new(JobRow::read(pk, item)?));
            }
            keys::REQUEST => {
                self.jobs.entry(job_of(pk)?).or_default().read_request(item)?;
            }
            keys::BALANCE => {
                let id = owner_of(&item)?;
                let counted = ["listeners", "movers"].map(|name| number_of(&item, name).unwrap_or(0));
                self.endpoints.entry(id.clone()).or_default().counted = counted;
                let account = self.accounts.entry(id).or_default();
                account.is_partial = true;
                account.live = number_of(&item, "live").unwrap_or(0);
                let balance = number_of(&item, "balance");
                account.balance = Some(balance.ok_or_else(|| corrupt("the balance is no number"))?);
                account.is_partial = false;
            }
            sk if sk.starts_with("ENTRY#") => {
                let account = owner_of(&item)?;
                let read = line(sk, item);
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.is_partial |= read.is_err();
                let line = read?;
                ledger.lines.push(line.clone());
                if let Some(job) = line.entry.job() {
                    self.jobs.entry(job.clone()).or_default().lines.push((account, line));
                }
            }
            keys::POLICY => {
                let _readable: Policy = from_item(DOING, item)?;
            }
            keys::HEALTH => {
                let _readable: Gauge = from_item(DOING, item)?;
            }
            keys::KEY => self.keys.push(from_item(DOING, item)?),
            keys::GATE => {
                let provider = Provider::ALL.iter().find(|provider| keys::gauge(**provider) == pk);
                let provider = provider.ok_or_else(|| corrupt("it is the admission of no known provider"))?;
                self.admissions.insert(*provider, from_item(DOING, item)?);
            }
            keys::TOPUP => {
                let check_at = check_of(&item);
                let purchase: Purchase = from_item(DOING, item)?;
                self.purchases.insert(purchase.id().clone(), Bought { purchase, check_at });
            }
            counter if pk.starts_with(keys::BUDGETS) => self.read_counter(pk, counter, &item)?,
            _ if pk == keys::PRICES => {
                let version: Version = from_item(DOING, item)?;
                self.prices.insert(version.number, version.book()?);
            }
            keys::REMOTE => drop(self.remotes.insert(pk.to_owned(), Held::read(&item)?)),
            _ => self.read_of_events(pk, sk, item)?,
        }
        Ok(())
    }

    fn read_counter(&mut self, pk: &str, counter: &str, item: &Item) -> Result<(), Error> {
        let account = keys::parse_budgets(pk).ok_or_else(|| corrupt("its key names no account"))?;
        let counter = counter.parse().map_err(|_name| corrupt("its key names no counter"))?;
        let spent = number_of(item, "spent").ok_or_else(|| corrupt("it has no amount"))?;
        self.accounts.entry(account).or_default().counters.insert(counter, spent);
        Ok(())
    }

    /// Reads what belongs to events.
    fn read_of_events(&mut self, pk: &str, sk: &str, item: Item) -> Result<(), Error> {
        let check_at = check_of(&item);
        match sk {
            keys::EVENT => {
                let _readable: Event = from_item(DOING, item)?;
                self.waits(pk, sk, check_at);
            }
            sk if keys::parse_delivery(sk).is_some() => {
                let delivery: Delivery = from_item(DOING, item)?;
                if check_at.is_none() && delivery.status == Status::Pending {
                    return Err(corrupt("it waits, and is not in the due index"));
                }
                self.waits(pk, sk, check_at);
            }
            sk if sk.starts_with("ENDPOINT#") => {
                let endpoint: Endpoint = from_item(DOING, item)?;
                if !endpoint.id.is_callback() {
                    let found = &mut self.endpoints.entry(endpoint.account.clone()).or_default().found;
                    found[0] += 1;
                    found[1] += i64::from(endpoint.wants_moves());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn waits(&mut self, pk: &str, sk: &str, check_at: Option<Timestamp>) {
        self.waiting.extend(check_at.map(|at| ((pk.to_owned(), sk.to_owned()), at)));
    }
}

fn check_of(item: &Item) -> Option<Timestamp> {
    number_of(item, CHECK_AT).map(Timestamp::from_millis)
}

impl JobRow {
    fn read(pk: &str, mut item: Item) -> Result<Self, Error> {
        let due_shard = text_of(&item, DUE_SHARD).map(str::to_owned);
        let check_at = check_of(&item);
        let moves = item.remove(MOVES).map_or_else(|| Ok(Vec::new()), |list| from_value(DOING, list))?;
        let job = job_from_item(DOING, item)?;
        if keys::job(job.id()) != pk {
            return Err(corrupt("it holds the id of another job"));
        }
        Ok(Self { job, moves, due_shard, check_at })
    }
}

impl Held {
    fn read(item: &Item) -> Result<Self, Error> {
        let holder = holder_of(item).ok_or_else(|| corrupt("it has no owner"))?;
        let expires_at = number_of(item, keys::EXPIRES_AT).ok_or_else(|| corrupt("it never expires"))?;
        Ok(Self { holder, expires_at: Timestamp::from_secs(expires_at) })
    }
}

impl Source {
    /// Reads all pages of the table, consistently, then the due index and the whole bucket. A scan is
    /// not atomic: concurrent changes may look wrong until they are read again.
    pub async fn read(&self) -> Result<LedgerSnapshot, Error> {
        let mut snapshot = LedgerSnapshot::default();
        let take = |item| {
            snapshot.take(item);
            Ok(())
        };
        self.table.scan("read the whole table", take).await?;
        let jobs = JobStore::new(self.table.clone());
        for shard in 0..DUE_SHARDS {
            let mut due = Vec::new();
            jobs.read_shard(shard, &mut due).await?;
            for due in due {
                let entry = DueEntry { shard: keys::due_shard(shard), check_at: due.check_at };
                snapshot.jobs.entry(due.job).or_default().indexed.push(entry);
            }
        }
        snapshot.objects = self.objects("").await?;
        self.describe_files(&mut snapshot).await?;
        snapshot.uploads = self.uploads().await?;
        Ok(snapshot)
    }
}

/// Whether an item is of an active job, even if unreadable.
pub(super) fn is_live(item: &Item) -> bool {
    let state = State::ALL.into_iter().find(|state| Some(state.name()) == text_of(item, "state"));
    state.map_or(item.contains_key(DUE_SHARD), |state| !state.is_terminal())
}

pub(super) fn account_of(item: &Item) -> Option<AccountId> {
    text_of(item, "account")?.parse().ok()
}

/// A ledger line, if its key matches.
pub(super) fn line(sk: &str, item: Item) -> Result<Line, Error> {
    let line: Line = from_item(DOING, item)?;
    if keys::entry(&line.entry) != sk {
        return Err(corrupt("its content does not match its key"));
    }
    Ok(line)
}

/// The charge and the refund of a job.
pub(super) fn line_keys(job: &JobId) -> [String; 2] {
    let (job, amount) = (job.clone(), domain::credit::Credits::ZERO);
    [Entry::Charge { job: job.clone(), amount }, Entry::Refund { job, amount }]
        .map(|entry| keys::entry(&entry))
}

fn digests(item: &Item, request: &JobRequest) -> Result<Vec<String>, Error> {
    let known = to_item(DOING, request)?;
    let is_whole = item.iter().all(|(name, value)| {
        [PK, SK, keys::ORDERED_BY].contains(&name.as_str()) || known.get(name) == Some(value)
    });
    if !is_whole {
        return Ok(Vec::new());
    }
    let request = JobRequest { providers: Vec::new(), ..request.clone() };
    let as_it_is = request.digest();
    Ok(vec![as_it_is, JobRequest { prefer: None, ..request }.digest()])
}

fn job_of(pk: &str) -> Result<JobId, Error> {
    keys::parse_job(pk).ok_or_else(|| corrupt("its key names no job"))
}

fn owner_of(item: &Item) -> Result<AccountId, Error> {
    owner(item).ok_or_else(|| corrupt("its key names no account"))
}

fn corrupt(why: &'static str) -> Error {
    Error::corrupt(DOING, why)
}
