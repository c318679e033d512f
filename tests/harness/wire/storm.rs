//! Trouble at random, drawn from a seed.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value};
use shared::boot::{Clock, Random};

use super::{Moment, Order, Refusal, edit};

/// At one effect in so many the function dies or the call fails, before it lands or after, hangs, is
/// refused by the table, or its answer is lost and it is made again; one invocation in so many is
/// made twice at once; and of the messages sent, one in so many is late, and one in so many arrives a
/// second time.
#[derive(Debug, Clone)]
pub struct Storm {
    pub random: Random,
    /// Turns while a call hangs.
    pub clock: Clock,
    pub one_effect_in: u32,
    pub one_invocation_in: u32,
    pub one_message_in: u32,
}

/// Trouble seldom comes alone: so often it strikes the next call of the same function as well.
const NEXT_EFFECT_IN: u32 = 4;

/// The longest that a queue may hold a message back, in seconds.
const DELAY_MAX_S: u64 = 900;

impl Storm {
    /// What goes wrong with this call, if anything; the last one of its function may have.
    pub(super) fn order(&self, request: &HttpRequest, is_shaken: bool) -> Option<Order> {
        let one_in = if is_shaken { NEXT_EFFECT_IN } else { self.one_effect_in };
        if !self.random.u32().is_multiple_of(one_in) {
            return None;
        }
        Some(match self.random.u32() % 9 {
            0 => Order::Crash(Moment::Before),
            1 => Order::Crash(Moment::After),
            2 => Order::Fail(Moment::Before),
            3 => Order::Fail(Moment::After),
            4 => Order::Hang(Moment::Before, self.clock.clone()),
            5 => Order::Hang(Moment::After, self.clock.clone()),
            6 | 7 => self.refusal(request).map_or(Order::LoseAnswer, Order::Answer),
            _ => Order::LoseAnswer,
        })
    }

    /// A refusal by the table: of a transaction, one of its writes is throttled or meets another.
    fn refusal(&self, request: &HttpRequest) -> Option<Refusal> {
        let target = request.headers().get("x-amz-target").filter(|it| it.starts_with("DynamoDB"))?;
        if !target.ends_with(".TransactWriteItems") {
            return Some(Refusal::Throughput);
        }
        let body: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
        let mut reasons = vec!["None"; body.get("TransactItems")?.as_array()?.len()];
        let struck = usize::try_from(self.random.u32()).ok()? % reasons.len();
        let kinds = ["ThrottlingError", "TransactionConflict", "ProvisionedThroughputExceeded"];
        reasons[struck] = kinds[usize::try_from(self.random.u32()).ok()? % kinds.len()];
        Some(Refusal::Transaction(reasons))
    }

    /// Whether an invocation is made twice.
    pub(super) fn doubles(&self) -> bool {
        self.random.u32().is_multiple_of(self.one_invocation_in)
    }

    /// By how many seconds a message is late, and by how many its repeat is, if it has one.
    pub(super) fn lateness(&self) -> (u64, Option<u64>) {
        let late =
            |luck: u32| luck.is_multiple_of(self.one_message_in).then(|| self.random.u64() % DELAY_MAX_S);
        (late(self.random.u32()).unwrap_or(0), late(self.random.u32()))
    }
}

/// Holds the messages that a call sends back for longer.
pub(super) fn delay(request: &mut HttpRequest, by_s: u64) {
    if by_s == 0 {
        return; // as its queue says
    }
    let delayed = |message: &mut Map<String, Value>| {
        let told = message.get("DelaySeconds").and_then(Value::as_u64).unwrap_or(0);
        message.insert("DelaySeconds".to_owned(), (told + by_s).min(DELAY_MAX_S).into());
    };
    edit(request, |body| match body.get_mut("Entries").and_then(Value::as_array_mut) {
        Some(entries) => entries.iter_mut().filter_map(Value::as_object_mut).for_each(delayed),
        None => delayed(body),
    });
}
