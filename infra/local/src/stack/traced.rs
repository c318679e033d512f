//! The wire under the AWS SDK, with the X-Ray header of the invocation that calls.
//!
//! In Lambda, the SDK copies it from the environment of the process. Here all functions share one.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::host::current_trace;

#[derive(Debug, Clone)]
pub(super) struct Traced(pub(super) SharedHttpClient);

impl HttpClient for Traced {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct Connector(SharedHttpConnector);

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        if let Some(trace) = current_trace() {
            request.headers_mut().insert("x-amzn-trace-id", trace);
        }
        self.0.call(request)
    }
}
