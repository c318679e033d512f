//! The AWS SDK, as a process of the stack uses it.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::{REGION, traced};
use crate::aws::s3::CREDENTIAL;

/// The connect timeout of the local storage.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// The SDK's configuration for the storage in this process.
pub async fn aws(wire: Option<SharedHttpClient>) -> SdkConfig {
    let credentials = Credentials::from_keys(CREDENTIAL, CREDENTIAL, None);
    let mut config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(credentials)
        // The local table serves calls one by one: a call that waits is not a broken connection.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).build());
    let quick = wire.is_some();
    let wire = wire.unwrap_or_else(|| aws_smithy_http_client::Builder::new().build_http());
    config = config.http_client(traced::Traced(wire));
    if quick {
        // Tests inject faults: retries need not wait a second.
        let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        config = config.retry_config(retry);
    }
    config.load().await
}
