//! Trouble at random, drawn from a seed.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value};
use shared::boot::Random;

use super::{Moment, Order, edit};

/// At one effect in so many the function dies or the call fails, before it lands or after, or its
/// answer is lost and it is made again; one invocation in so many is made twice at once; and of
/// the messages sent, one in so many is late, and one in so many arrives a second time.
#[derive(Debug, Clone)]
pub struct Storm {
    pub random: Random,
    pub one_effect_in: u32,
    pub one_invocation_in: u32,
    pub one_message_in: u32,
}

/// The longest that a queue may hold a message back, in seconds.
const DELAY_MAX_S: u64 = 900;

impl Storm {
    pub(super) fn order(&self) -> Option<Order> {
        let (luck, kind) = (self.random.u32() % self.one_effect_in, self.random.u32() % 5);
        (luck == 0).then_some(match kind {
            0 => Order::Crash(Moment::Before),
            1 => Order::Crash(Moment::After),
            2 => Order::Fail(Moment::Before),
            3 => Order::Fail(Moment::After),
            _ => Order::LoseAnswer,
        })
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
