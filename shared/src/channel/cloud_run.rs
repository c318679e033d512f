//! Functions and services of Google Cloud that are not public: a webhook with an ID token, which is good for that
//! URL alone.

use domain::endpoint::Endpoint;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use url::Url;

use super::client::{Channels, Envelope};
use super::{google, webhook};
use crate::outside::service_account::Grant;

/// By <https://cloud.google.com/run/docs/authenticating/service-to-service>. Answers are those of a webhook.
pub(super) async fn request(
    channels: &Channels,
    url: Url,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let token = google::token(channels, Grant::Audience(url.as_str()), now).await?;
    let post = channels.http().post(url).bearer_auth(token.expose());
    Ok(webhook::request(post, endpoint, envelope, channels.master(), now))
}
