//! What a function starts from: its environment, the AWS configuration, clock and chance.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures_util::try_join;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::signal::unix::{SignalKind, signal};

use super::{Clock, Env, Random, StartError, own_catalog, secrets, telemetry};
use crate::store::{DynamoDb, S3, Sqs};
use crate::trace::{Exporter, Tracer};

/// How long a call of AWS may take to connect, one try of it, and all its tries. Without these,
/// a call on a connection that was cut silently waits until the function is killed.
pub const AWS_CONNECT: Duration = Duration::from_millis(3_100);
pub const AWS_TRY: Duration = Duration::from_secs(3);
pub const AWS_CALL: Duration = Duration::from_secs(10);
/// The same for the bucket, where one try may carry a part of a file.
pub const S3_TRY: Duration = Duration::from_secs(30);
pub const S3_CALL: Duration = Duration::from_secs(75);

/// The time-outs of every AWS client; those of the bucket are longer.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(AWS_CONNECT)
        .operation_attempt_timeout(AWS_TRY)
        .operation_timeout(AWS_CALL)
        .build()
}

/// A started process. A function's `App` is made from it; the local stack makes one for
/// each function, with the environment that the template gives it.
#[derive(Debug, Clone)]
pub struct Process {
    pub env: Env,
    pub aws: SdkConfig,
    pub clock: Clock,
    pub random: Random,
}

impl Process {
    /// Starts telemetry and loads the AWS configuration: credentials, region and endpoints
    /// from where the SDK always reads them. Then [`Process::with_secrets`].
    pub async fn start(function: &'static str) -> Result<Self, StartError> {
        Self::load(function).await?.with_secrets().await
    }

    /// The same with the owner's own catalogue. The client of the bucket is a sixth of a binary: what needs neither
    /// is smaller without it.
    pub async fn start_with_catalog(function: &'static str) -> Result<Self, StartError> {
        Self::load(function).await?.with_references().await
    }

    async fn load(function: &'static str) -> Result<Self, StartError> {
        let env = Env::from_process();
        telemetry::init(function, &env);
        end_at_sigterm();
        let defaults = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts());
        let aws = defaults.http_client(aws_http(&env)?).load().await;
        Ok(Self { env, aws, clock: Clock::System, random: Random::System })
    }

    /// Reads what the environment refers to into it: secrets, and the owner's own catalogue.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    pub async fn with_references(self) -> Result<Self, StartError> {
        let catalog = own_catalog::read(&self.env, || self.s3());
        let (started, catalog) = try_join!(self.clone().with_secrets(), catalog)?;
        let env = started.env;
        let env = if let Some(text) = catalog { env.with(own_catalog::VARIABLE, text) } else { env };
        Ok(Self { env, ..self })
    }

    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`: the collector of traces, if there is one.
    ///
    /// # Errors
    ///
    /// If one of them cannot be used.
    pub fn tracer(&self) -> Result<Tracer, StartError> {
        let headers = self.env.get("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let endpoint = self.env.get("OTEL_EXPORTER_OTLP_ENDPOINT");
        let exporter = endpoint.map(|endpoint| Exporter::new(endpoint, headers)).transpose()?;
        let clock = self.clock.clone();
        Ok(Tracer::new(exporter, move || clock.now()))
    }

    /// Reads the secrets that `SECRETS` refers to, if any, into the environment: what is a
    /// variable in a secret is one for the function.
    pub async fn with_secrets(self) -> Result<Self, StartError> {
        if self.env.get("SECRETS").is_none() {
            return Ok(self);
        }
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.aws);
        let endpoint = self.env.get("AWS_ENDPOINT_URL_SECRETS_MANAGER").map(str::to_owned);
        let client = aws_sdk_secretsmanager::Client::from_conf(match endpoint {
            Some(url) => config.endpoint_url(url).build(),
            None => config.build(),
        });
        Ok(Self { env: secrets::overlay(self.env, &client).await?, ..self })
    }

    pub fn dynamodb(&self) -> DynamoDb {
        let config = aws_sdk_dynamodb::config::Builder::from(&self.aws);
        let endpoint = self.env.get("AWS_ENDPOINT_URL_DYNAMODB").map(str::to_owned);
        DynamoDb::from_conf(match endpoint {
            Some(url) => config.endpoint_url(url).build(),
            None => config.build(),
        })
    }

    pub fn sqs(&self) -> Sqs {
        let config = aws_sdk_sqs::config::Builder::from(&self.aws);
        let endpoint = self.env.get("AWS_ENDPOINT_URL_SQS").map(str::to_owned);
        Sqs::from_conf(match endpoint {
            Some(url) => config.endpoint_url(url).build(),
            None => config.build(),
        })
    }

    /// An endpoint of our own choosing has no bucket subdomains, so it is addressed by path.
    pub fn s3(&self) -> S3 {
        let longer = self.aws.timeout_config().map(|timeouts| {
            let mut longer = timeouts.to_builder();
            longer.set_operation_attempt_timeout(timeouts.operation_attempt_timeout().map(|_| S3_TRY));
            longer.set_operation_timeout(timeouts.operation_timeout().map(|_| S3_CALL));
            longer.build()
        });
        let mut config = aws_sdk_s3::config::Builder::from(&self.aws);
        config.set_timeout_config(longer);
        let endpoint = self.env.get("AWS_ENDPOINT_URL_S3").map(str::to_owned);
        S3::from_conf(match endpoint {
            Some(url) => config.endpoint_url(url).force_path_style(true).build(),
            None => config.build(),
        })
    }
}

/// Amazon's own roots of TLS, which all services of AWS are under.
const AWS_ROOTS: &[u8] = include_bytes!("aws_roots.pem");

/// One HTTP client for all services of AWS. It trusts only Amazon's roots, or those in the file that `AWS_CA_BUNDLE`
/// names: reading all that the system trusts is most of the start of a process.
fn aws_http(env: &Env) -> Result<SharedHttpClient, StartError> {
    let roots = match env.get("AWS_CA_BUNDLE") {
        Some(path) => bundle(path).map_err(StartError::CaBundle)?,
        None => AWS_ROOTS.to_vec(),
    };
    let store = TrustStore::empty().with_pem_certificate(roots);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| StartError::CaBundle(error.into()))?;
    let provider = tls::Provider::Rustls(CryptoMode::AwsLc);
    Ok(Builder::new().tls_provider(provider).tls_context(context).build_https())
}

/// The certificates in a file. The AWS client panics at its first use where one is not usable.
fn bundle(path: &str) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let pem = std::fs::read(path)?;
    if usable(&pem)? == 0 {
        return Err("it has no certificate".into());
    }
    Ok(pem)
}

/// How many roots these are, all of which must be usable.
fn usable(pem: &[u8]) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        roots.add(root?)?;
    }
    Ok(roots.len())
}

/// Nothing is kept in memory that must be saved, so the end is one line and an exit code. The
/// platform asks between invocations, and only where an extension is there as well.
fn end_at_sigterm() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::spawn(async move {
        terminate.recv().await;
        tracing::info!("process.stopped");
        std::process::exit(0)
    });
}

#[cfg(test)]
mod tests {
    use super::{AWS_ROOTS, aws_http, usable};
    use crate::boot::Env;

    #[test]
    fn each_root_of_amazon_is_usable() {
        assert_eq!(usable(AWS_ROOTS).unwrap(), 5);
        assert!(aws_http(&Env::default()).is_ok());
    }

    #[test]
    fn a_bundle_that_cannot_be_used_stops_the_start() {
        let with = |path: &str| aws_http(&Env::from_pairs([("AWS_CA_BUNDLE", path)]));
        assert!(with("src/boot/aws_roots.pem").is_ok());
        for path in ["/none/bundle.pem", "Cargo.toml"] {
            let text = format!("{:?}", with(path).unwrap_err());
            assert!(
                text.starts_with("AWS_CA_BUNDLE must name a PEM file of certificates: "),
                "{path}: {text}"
            );
        }
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(usable(broken).is_err() && usable(&[AWS_ROOTS, broken].concat()).is_err());
        assert_eq!(usable(b"").unwrap(), 0);
    }
}
