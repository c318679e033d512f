//! The target of an operator command: a local data folder, running or not, or a deployed table.

use anyhow::{Context, Result};
use aws_config::BehaviorVersion;
use shared::boot::{Clock, Env, Process, Random};
use shared::operate::audit::RemoteJobs;
use shared::store::Table;

#[cfg(feature = "local")]
use super::local::Storage;
use super::{Local, Queues, Target};

/// The stack name of the local stack: the prefix of its queues.
pub(super) const LOCAL_STACK: &str = "genmux";

/// An opened target. If no local stack was running, its storage runs until this is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) process: Process,
    #[cfg(feature = "local")]
    storage: Option<Storage>,
}

impl Target {
    pub(super) async fn open(&self, local: &Local) -> Result<Opened> {
        match &self.table {
            Some(table) => Ok(Opened::deployed(table, self.bucket.as_deref().unwrap_or_default()).await),
            None => Opened::local(local).await,
        }
    }
}

impl Queues {
    /// Opens the queues; also returns the name of their stack.
    pub(super) async fn open(&self, local: &Local) -> Result<(Opened, &str)> {
        match &self.stack {
            Some(stack) => Ok((Opened::deployed("", "").await, stack)),
            None => Ok((Opened::local(local).await?, LOCAL_STACK)),
        }
    }
}

impl Opened {
    async fn deployed(table: &str, bucket: &str) -> Self {
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let endpoints = Env::from_process();
        let names = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"];
        let endpoint = |name| (name, endpoints.get(name).unwrap_or_default());
        let named = [("TABLE", table), ("MEDIA_BUCKET", bucket)];
        let env = Env::from_pairs(names.map(endpoint).into_iter().chain(named));
        let process = Process { env, aws, clock: Clock::System, random: Random::System };
        Self {
            process,
            #[cfg(feature = "local")]
            storage: None,
        }
    }

    #[cfg(feature = "local")]
    async fn local(local: &Local) -> Result<Self> {
        let (process, storage) = Storage::open(local).await?;
        Ok(Self { process, storage })
    }

    /// Without the local stack there is no data folder.
    #[cfg(not(feature = "local"))]
    async fn local(_: &Local) -> Result<Self> {
        anyhow::bail!("this build has no local stack: name a deployed one with --table or --stack")
    }

    /// The remote jobs of the local simulators, if they are not those of a running stack.
    pub(super) fn remote_jobs(&self) -> Result<RemoteJobs> {
        #[cfg(feature = "local")]
        if let Some(storage) = &self.storage {
            return storage.stack.remote_jobs();
        }
        Ok(RemoteJobs::new())
    }

    pub(super) fn table(&self) -> Table {
        Table::new(self.process.dynamodb(), self.process.env.get("TABLE").unwrap_or_default())
    }

    pub(super) fn bucket(&self) -> Result<&str> {
        self.process.env.get("MEDIA_BUCKET").context("a deployed table needs --bucket")
    }
}
