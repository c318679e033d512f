//! What a test orders for one effect, and how it is played.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use futures_util::future::BoxFuture;
use shared::boot::Clock;
use shared::boot::process::AWS_CALL;
use tokio::sync::Notify;

use super::{Moment, Refusal, Wire, lag};

/// What is to happen at one effect.
#[derive(Clone)]
pub(super) enum Order {
    /// The function that makes the call dies there.
    Crash(Moment),
    /// The call waits until this has run to its end: another is faster.
    Overtake(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>),
    /// The call is answered with an error, the function lives on.
    Fail(Moment),
    /// The call lands, its answer is lost, and the SDK makes it again.
    LoseAnswer,
    /// There is no answer until the client's time for the call is over.
    Hang(Moment, Clock),
    /// The call does not land; this is the answer.
    Answer(Refusal),
}

/// Sends a request as ordered.
pub(super) async fn play(
    order: Option<Order>,
    inner: SharedHttpConnector,
    wire: Wire,
    request: HttpRequest,
    asked: Option<String>,
    crash: &Notify,
) -> Result<HttpResponse, ConnectorError> {
    let lands = match &order {
        Some(Order::Crash(moment) | Order::Fail(moment) | Order::Hang(moment, _)) => *moment == Moment::After,
        Some(Order::LoseAnswer) => true,
        None | Some(Order::Overtake(_) | Order::Answer(_)) => false,
    };
    let Some(order) = order else {
        let answered = wire.metered(inner, request).await?;
        return match asked {
            Some(asked) => lag::remember(&wire, asked, answered).await,
            None => Ok(answered),
        };
    };
    if let Order::Overtake(other) = order {
        other().await;
        return inner.call(request).await;
    }
    if lands {
        let _landed = inner.call(request).await;
    }
    match order {
        Order::Crash(_) => {
            crash.notify_one();
            std::future::pending().await
        }
        Order::Hang(_, clock) => {
            clock.advance(AWS_CALL);
            Err(ConnectorError::other("no answer in time".into(), None))
        }
        Order::Answer(refusal) => Ok(refusal.response()),
        Order::LoseAnswer => Err(ConnectorError::io("lost by the test".into())),
        Order::Fail(_) | Order::Overtake(_) => Err(ConnectorError::other("cut by the test".into(), None)),
    }
}
