//! What platforms publish for those who verify their webhooks, and where subscriptions are confirmed.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Channel, Channels, Refusal, Taken, Took, text};
use crate::frame::wire::Inbound;

/// Where the certificates are, below the hosts of SNS and PayPal.
const OF_SNS: &str = "/SimpleNotificationService-simulated.pem";
const OF_PAYPAL: &str = "/v1/notifications/certs/CERT-simulated";

#[derive(Debug)]
pub(super) struct Platforms;

impl Channel for Platforms {
    fn name(&self) -> &'static str {
        "platforms"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.is(&Method::GET) && ["/", OF_SNS, OF_PAYPAL].contains(&call.path())
    }

    fn take(&self, _: &Channels, call: &Inbound) -> Took {
        let pem = match call.path() {
            OF_SNS => include_str!("../../../../shared/signatures/fixtures/sns/certificate.pem"),
            OF_PAYPAL => include_str!("../../../../shared/signatures/fixtures/paypal/certificate.pem"),
            _ => return confirmed(call),
        };
        Ok((None, text(200, pem)))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        text(if refusal == Refusal::Gone { 404 } else { 503 }, "")
    }
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html>, without a signature.
fn confirmed(call: &Inbound) -> Took {
    let query = call.parts.uri.query().unwrap_or_default().as_bytes();
    let fields: BTreeMap<_, _> = url::form_urlencoded::parse(query).into_owned().collect();
    let field = |name: &str| fields.get(name).filter(|text| !text.is_empty()).cloned();
    let named = (field("TopicArn"), field("Token"));
    let (Some(to), Some(token)) = named else { return Err(text(400, "InvalidParameter").into()) };
    if field("Action").as_deref() != Some("ConfirmSubscription") {
        return Err(text(400, "InvalidAction").into());
    }
    let xml = format!(
        "<ConfirmSubscriptionResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
         <ConfirmSubscriptionResult><SubscriptionArn>{to}:simulated</SubscriptionArn>\
         </ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"
    );
    let taken = Taken { channel: "platforms", to, text: token, body: Value::Null };
    Ok((Some(taken), (StatusCode::OK, [(CONTENT_TYPE, "text/xml")], xml).into_response()))
}
