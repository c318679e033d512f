//! `payment`: asks a payment processor what became of a purchase, and moves the purchase and its credits.
//!
//! What a webhook, a list of events or `reconcile` sends here says only what to ask about.

use std::convert::Infallible;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::payment::decide::Fact;
use domain::payment::purchase::Purchase;
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Processor, Reference};
use domain::time::Timestamp;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config, payments};
use shared::edge::batch::{self, Deadline, Unfinished};
use shared::edge::note_account;
use shared::payment::{Processors, Said};
use shared::store::purchases::{Applied, Purchases};
use shared::store::queue::{Message, Queue};

/// Pages of a hundred events that one list has.
const PAGES_MAX: usize = 20;
/// How often a span is halved before each try to list it: of a day, the last try lists three seconds.
const HALVINGS: [u32; 6] = [0, 3, 6, 9, 12, 15];
/// The time of an invocation is shared by these tries, and by what is sent then.
const SHARES: u32 = 7;

/// Everything `payment` may touch.
#[derive(Debug)]
pub struct App {
    pub purchases: Purchases,
    pub processors: Processors,
    pub payment: Queue,
    pub dead_letters: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let notify = config::queue(process, &mut read, "NOTIFY_QUEUE_URL");
        let app = Self {
            purchases: Purchases::new(table).announcing(notify),
            processors: payments::processors(&mut read)?,
            payment: config::queue(process, &mut read, "PAYMENT_QUEUE_URL"),
            dead_letters: config::dead_letters(process, &mut read),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, deadline| {
        run(app, message, deadline)
    })
    .await)
}

/// Why a purchase is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A webhook says so.
    Reported,
    /// A list of events says so: its webhook may be lost.
    Listed,
    /// It is due, and is due again until the processor answers.
    Due,
}

async fn run(app: &App, message: Message, deadline: Deadline) -> Result<(), Unfinished> {
    match message {
        Message::Payment { processor, about, listed } => {
            let cause = if listed { Cause::Listed } else { Cause::Reported };
            report(app, processor, about, cause).await
        }
        Message::PaymentCheck { topup } => match app.purchases.get(&topup).await? {
            Some(purchase) => ask(app, purchase, None, Cause::Due).await,
            None => Err(Unfinished::park(format!("purchase {topup} does not exist"))),
        },
        Message::PaymentList { processor } => list(app, processor, deadline).await,
        _ => Err(Unfinished::of_another_queue()),
    }
}

/// Finds the purchase that a report is about. The account at the processor may also sell other things.
async fn report(app: &App, processor: Processor, about: Reference, cause: Cause) -> Result<(), Unfinished> {
    let Reference { topup, object } = about;
    let topup = match topup {
        Some(topup) => Some(topup),
        None => match app.processors.find(processor, &object, app.clock.now()).await {
            Ok(found) => found,
            Err(trouble) if trouble.class == Class::NotFound => None,
            Err(trouble) => return Err(unanswered(processor, trouble)),
        },
    };
    let purchase = match topup {
        Some(topup) => app.purchases.get(&topup).await?,
        None => None,
    };
    match purchase.filter(|purchase| purchase.processor() == processor) {
        Some(purchase) => ask(app, purchase, Some(object), cause).await,
        None => {
            tracing::info!(processor = processor.name(), "payment.foreign");
            Ok(())
        }
    }
}

/// Asks about a purchase by its session or, while none is recorded, by the reported object.
async fn ask(app: &App, purchase: Purchase, object: Option<String>, cause: Cause) -> Result<(), Unfinished> {
    note_account(purchase.account());
    let (processor, now) = (purchase.processor(), app.clock.now());
    let own = purchase.session().map(|session| session.id.clone());
    let Some(object) = own.or(object) else { return settle(app, purchase, Vec::new(), cause, now).await };
    match app.processors.ask(&purchase, &object, now).await {
        Ok(Said { topup, mode, facts, trouble }) => {
            let mode = mode.unwrap_or(app.processors.mode());
            if topup.as_ref() != Some(purchase.id()) || mode != purchase.mode() {
                tracing::warn!(topup = %purchase.id(), mode = mode.name(), "payment.not_of_purchase");
                return settle(app, purchase, Vec::new(), cause, now).await;
            }
            let Some(trouble) = trouble else { return settle(app, purchase, facts, cause, now).await };
            // What is known stands, and is of a payment: none is due any more at a processor that lists events. The
            // message alone asks for the rest.
            apply(app, purchase, facts, cause, now).await?;
            Err(unanswered(processor, trouble))
        }
        Err(trouble) if trouble.class == Class::NotFound => {
            settle(app, purchase, Vec::new(), cause, now).await
        }
        Err(trouble) => troubled(app, purchase, trouble, cause, now).await,
    }
}

/// What becomes of a purchase whose processor does not answer. One that is due is due again, until it is given up.
async fn troubled(
    app: &App,
    purchase: Purchase,
    trouble: Trouble,
    cause: Cause,
    now: Timestamp,
) -> Result<(), Unfinished> {
    let processor = purchase.processor();
    if cause != Cause::Due {
        return Err(unanswered(processor, trouble));
    }
    log(processor, &trouble);
    if !purchase.is_given_up(now) {
        return Ok(());
    }
    if purchase.status().is_open() {
        // It may be paid for all that is known: a late answer still counts.
        app.purchases.apply(purchase, &Fact::Expired, now).await?;
        return Ok(());
    }
    Ok(app.purchases.checked(&purchase, now).await?)
}

/// Applies facts. A payment of another amount than is due fails the purchase.
async fn apply(
    app: &App,
    mut purchase: Purchase,
    facts: Vec<Fact>,
    cause: Cause,
    now: Timestamp,
) -> Result<Purchase, Unfinished> {
    let before = purchase.version();
    let is_paid = facts.iter().any(|fact| matches!(fact, Fact::Paid { .. }));
    if is_paid && purchase.payment().is_none() && purchase.processor().lists_events() {
        // First: a later refund may be reported by the list alone.
        app.purchases.begin_listing(purchase.processor(), now).await?;
    }
    for fact in facts {
        purchase = match app.purchases.apply(purchase, &fact, now).await? {
            Applied::Mismatch(purchase) => return Err(mismatch(app, purchase, now).await?),
            applied => applied.into_purchase(),
        };
    }
    if cause == Cause::Listed && purchase.version() != before {
        tracing::warn!(topup = %purchase.id(), "payment.missed");
    }
    Ok(purchase)
}

/// Applies what the processor says. An open purchase without a payment expires at its deadline.
async fn settle(
    app: &App,
    mut purchase: Purchase,
    facts: Vec<Fact>,
    cause: Cause,
    now: Timestamp,
) -> Result<(), Unfinished> {
    let before = purchase.version();
    purchase = apply(app, purchase, facts, cause, now).await?;
    if purchase.status().is_open() && now >= purchase.deadline() {
        purchase = app.purchases.apply(purchase, &Fact::Expired, now).await?.into_purchase();
    }
    if cause == Cause::Due && purchase.version() == before {
        app.purchases.checked(&purchase, now).await?;
    }
    Ok(())
}

/// Another amount was paid than is due: the purchase fails, and a person must look.
async fn mismatch(app: &App, purchase: Purchase, now: Timestamp) -> Result<Unfinished, Unfinished> {
    let id = purchase.id().clone();
    tracing::error!(topup = %id, "payment.mismatch");
    let failed = Fact::Failed { code: "amount_mismatch".to_owned() };
    if let Applied::Unchanged(purchase) = app.purchases.apply(purchase, &failed, now).await? {
        // One that stays due would be parked again and again.
        app.purchases.checked(&purchase, now).await?;
    }
    Ok(Unfinished::park(format!("the payment of purchase {id} is not what is due")))
}

/// Lists the events of a processor since the last list, and sends what each is about to the own queue. Where they are
/// too many for one list, or for its share of the time, it lists the first part of them.
async fn list(app: &App, processor: Processor, deadline: Deadline) -> Result<(), Unfinished> {
    let now = app.clock.now();
    let Some(seen) = app.purchases.listing(processor).await? else { return Ok(()) };
    if !app.processors.on().contains(&processor) {
        return Ok(app.purchases.list_later(processor, seen, now).await?);
    }
    let share = deadline.left(now) / SHARES;
    for halvings in HALVINGS {
        let (since, until) = seen.span(halvings, now);
        let found = app.processors.events(processor, (since, until), PAGES_MAX, now);
        let found = match tokio::time::timeout(share, found).await {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None)) | Err(_) => continue,
            // It is still due.
            Ok(Err(trouble)) => {
                log(processor, &trouble);
                return Ok(());
            }
        };
        let count = found.len();
        let message = |about| (Message::Payment { processor, about, listed: true }, processor.to_string());
        let messages: Vec<_> = found.into_iter().map(message).collect();
        for sent in app.payment.send_all(&messages).await {
            sent?;
        }
        app.purchases.listed(processor, seen, until, until < now, now).await?;
        let span_s = until.since(since).as_secs();
        tracing::info!(processor = processor.name(), count, span_s, "payments.listed");
        return Ok(());
    }
    Err(Unfinished::retry(format!("{processor} has too many events to list in time")))
}

/// The processor did not answer, or refuses us: the message is tried again, or moved to the dead-letter queue.
fn unanswered(processor: Processor, trouble: Trouble) -> Unfinished {
    log(processor, &trouble);
    match trouble.class.is_retryable() {
        true => Unfinished::retry(trouble),
        false => Unfinished::park(trouble),
    }
}

fn log(processor: Processor, trouble: &Trouble) {
    let (processor, class, code) = (processor.name(), trouble.class.name(), trouble.code.as_str());
    if matches!(trouble.class, Class::Unauthorized | Class::Refused) {
        tracing::error!(processor, class, code, alert = true, "processor.needs_attention");
    } else {
        tracing::warn!(processor, class, code, "processor.unanswered");
    }
}
