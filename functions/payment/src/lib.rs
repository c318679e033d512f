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
use shared::edge::batch::{self, Unfinished};
use shared::edge::note_account;
use shared::payment::{Processors, Said};
use shared::store::purchases::{Applied, Purchases};
use shared::store::queue::{Message, Queue};

/// Pages of a hundred events that one run lists, and how often a span with more is halved.
const PAGES_MAX: usize = 50;
const HALVINGS_MAX: u32 = 8;

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
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, _| run(app, message)).await)
}

async fn run(app: &App, message: Message) -> Result<(), Unfinished> {
    match message {
        Message::Payment { processor, about, listed } => report(app, processor, about, listed).await,
        Message::PaymentCheck { topup } => match app.purchases.get(&topup).await? {
            Some(purchase) => ask(app, purchase, None, false).await,
            None => Err(Unfinished::park(format!("purchase {topup} does not exist"))),
        },
        Message::PaymentList { processor } => list(app, processor).await,
        _ => Err(Unfinished::of_another_queue()),
    }
}

/// Finds the purchase that a report is about. The account at the processor may also sell other things.
async fn report(app: &App, processor: Processor, about: Reference, listed: bool) -> Result<(), Unfinished> {
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
        Some(purchase) => ask(app, purchase, Some(object), listed).await,
        None => {
            tracing::info!(processor = processor.name(), "payment.foreign");
            Ok(())
        }
    }
}

/// Asks about a purchase by its session or, while none is recorded, by the reported object.
async fn ask(app: &App, purchase: Purchase, object: Option<String>, listed: bool) -> Result<(), Unfinished> {
    note_account(purchase.account());
    let now = app.clock.now();
    let own = purchase.session().map(|session| session.id.clone());
    let Some(object) = own.or(object) else { return settle(app, purchase, Vec::new(), listed, now).await };
    let processor = purchase.processor();
    match app.processors.ask(&purchase, &object, now).await {
        Ok(said) => {
            let mode = said.mode.unwrap_or(app.processors.mode());
            if said.topup.as_ref() != Some(purchase.id()) || mode != purchase.mode() {
                tracing::warn!(topup = %purchase.id(), mode = mode.name(), "payment.not_of_purchase");
                return Ok(());
            }
            let Said { facts, .. } = said;
            settle(app, purchase, facts, listed, now).await
        }
        Err(trouble) if trouble.class == Class::NotFound => {
            settle(app, purchase, Vec::new(), listed, now).await
        }
        Err(trouble) => Err(unanswered(processor, trouble)),
    }
}

/// Applies what the processor says. An open purchase without a payment expires at its deadline.
async fn settle(
    app: &App,
    mut purchase: Purchase,
    facts: Vec<Fact>,
    listed: bool,
    now: Timestamp,
) -> Result<(), Unfinished> {
    let before = purchase.version();
    let is_paid = facts.iter().any(|fact| matches!(fact, Fact::Paid { .. }));
    if is_paid && purchase.payment().is_none() && purchase.processor().lists_events() {
        // First: a later refund may be reported by the list alone.
        app.purchases.begin_listing(purchase.processor(), now).await?;
    }
    for fact in facts {
        purchase = match app.purchases.apply(purchase, &fact, now).await? {
            Applied::Mismatch(purchase) => {
                tracing::error!(topup = %purchase.id(), "payment.mismatch");
                let id = purchase.id();
                return Err(Unfinished::park(format!("the payment of purchase {id} is not what is due")));
            }
            applied => applied.into_purchase(),
        };
    }
    if purchase.status().is_open() && now >= purchase.deadline() {
        purchase = app.purchases.apply(purchase, &Fact::Expired, now).await?.into_purchase();
    }
    if purchase.version() == before {
        return Ok(app.purchases.checked(&purchase, now).await?);
    }
    if listed {
        // Its webhook was lost.
        tracing::warn!(topup = %purchase.id(), "payment.missed");
    }
    Ok(())
}

/// Lists the events of a processor since the last list, and sends what each is about to the own queue.
async fn list(app: &App, processor: Processor) -> Result<(), Unfinished> {
    let now = app.clock.now();
    let Some(seen) = app.purchases.listing(processor).await? else { return Ok(()) };
    let since = seen.since();
    let mut span = now.since(since);
    for _ in 0..HALVINGS_MAX {
        let until = since + span;
        let found = app.processors.events(processor, (since, until), PAGES_MAX, now).await;
        let Some(found) = found.map_err(|trouble| unanswered(processor, trouble))? else {
            span /= 2;
            continue;
        };
        let count = found.len();
        let message = |about| (Message::Payment { processor, about, listed: true }, processor.to_string());
        let messages: Vec<_> = found.into_iter().map(message).collect();
        for sent in app.payment.send_all(&messages).await {
            sent?;
        }
        app.purchases.listed(processor, seen, until, until < now, now).await?;
        tracing::info!(processor = processor.name(), count, span_s = span.as_secs(), "payments.listed");
        return Ok(());
    }
    Err(Unfinished::retry(format!("{processor} has too many events to list")))
}

/// The processor did not answer, or refuses us. The message is tried again, and `reconcile` asks again after that.
fn unanswered(processor: Processor, trouble: Trouble) -> Unfinished {
    let class = trouble.class.name();
    if matches!(trouble.class, Class::Unauthorized | Class::Refused) {
        let processor = processor.name();
        tracing::error!(processor, class, code = trouble.code, alert = true, "processor.needs_attention");
    }
    match trouble.class.is_retryable() {
        true => Unfinished::retry(trouble),
        false => Unfinished::park(trouble),
    }
}
