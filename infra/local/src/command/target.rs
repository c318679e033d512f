//! The target of an operator command: a local data folder, running or not, or a deployed table.

use std::path::Path;

use anyhow::{Context, Result};
use aws_config::BehaviorVersion;
use shared::boot::{Clock, Env, Process, Random};
use shared::store::Table;

use super::local::{Folder, Start, running};
use super::{Local, Queues, Target};
use crate::stack::{self, Stack};

/// The stack name of the local stack: the prefix of its queues.
pub(super) const LOCAL_STACK: &str = "genmux";

/// An opened target. If no local stack was running, its storage runs until this is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) process: Process,
    pub(super) stack: Option<(Stack, Folder)>,
}

impl Target {
    pub(super) async fn open(&self, local: &Local) -> Result<Opened> {
        match &self.table {
            Some(table) => Ok(Opened::deployed(table, self.bucket.as_deref().unwrap_or_default()).await),
            None => Opened::local(&local.data).await,
        }
    }
}

impl Queues {
    /// Opens the queues; also returns the name of their stack.
    pub(super) async fn open(&self, local: &Local) -> Result<(Opened, &str)> {
        match &self.stack {
            Some(stack) => Ok((Opened::deployed("", "").await, stack)),
            None => Ok((Opened::local(&local.data).await?, LOCAL_STACK)),
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
        Self { process, stack: None }
    }

    async fn local(data: &Path) -> Result<Self> {
        match Folder::open(data)? {
            Some(folder) => {
                let stack = folder.start(Start::for_operator()).await?;
                Ok(Self { process: stack.operator.clone(), stack: Some((stack, folder)) })
            }
            None => {
                let env = Env::from_pairs(running(data)?.env);
                let aws = stack::aws(None).await;
                let process = Process { env, aws, clock: Clock::System, random: Random::System };
                Ok(Self { process, stack: None })
            }
        }
    }

    pub(super) fn table(&self) -> Table {
        Table::new(self.process.dynamodb(), self.process.env.get("TABLE").unwrap_or_default())
    }

    pub(super) fn bucket(&self) -> Result<&str> {
        self.process.env.get("MEDIA_BUCKET").context("a deployed table needs --bucket")
    }
}
