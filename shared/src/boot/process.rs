//! What a function starts from: its environment, the AWS configuration, clock and chance.

use aws_config::{BehaviorVersion, SdkConfig};
use tokio::signal::unix::{SignalKind, signal};

use super::{Clock, Env, Random, StartError, secrets, telemetry};
use crate::store::{DynamoDb, S3, Sqs};

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
        let env = Env::from_process();
        telemetry::init(function, &env);
        end_at_sigterm();
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Self { env, aws, clock: Clock::System, random: Random::System }.with_secrets().await
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
        let config = aws_sdk_s3::config::Builder::from(&self.aws);
        let endpoint = self.env.get("AWS_ENDPOINT_URL_S3").map(str::to_owned);
        S3::from_conf(match endpoint {
            Some(url) => config.endpoint_url(url).force_path_style(true).build(),
            None => config.build(),
        })
    }
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
