//! What an operator's command works on: local data, running or not, or a deployed table.

use anyhow::{Context, Result};
use aws_config::BehaviorVersion;
use shared::boot::{Clock, Env, Process, Random};
use shared::store::Table;

use super::Target;
use super::local::{Folder, running};
use crate::stack::{self, Stack};

/// An opened target. Local storage that nobody ran is up for as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) process: Process,
    pub(super) stack: Option<(Stack, Folder)>,
}

impl Target {
    pub(super) async fn open(&self) -> Result<Opened> {
        if let Some(table) = &self.table {
            let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
            let bucket = self.bucket.clone().unwrap_or_default();
            let endpoints = Env::from_process();
            let names = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3"];
            let endpoint = |name: &str| (name.to_owned(), endpoints.get(name).unwrap_or_default().to_owned());
            let named = [("TABLE".to_owned(), table.clone()), ("MEDIA_BUCKET".to_owned(), bucket)];
            let env = Env::from_pairs(names.map(endpoint).into_iter().chain(named));
            let process = Process { env, aws, clock: Clock::System, random: Random::System };
            return Ok(Opened { process, stack: None });
        }
        match Folder::take(&self.data)? {
            Some(folder) => {
                let stack = folder.start(0, true).await?;
                Ok(Opened { process: stack.operator.clone(), stack: Some((stack, folder)) })
            }
            None => {
                let env = Env::from_pairs(running(&self.data)?.env);
                let aws = stack::aws(None).await;
                let process = Process { env, aws, clock: Clock::System, random: Random::System };
                Ok(Opened { process, stack: None })
            }
        }
    }
}

impl Opened {
    pub(super) fn table(&self) -> Table {
        Table::new(self.process.dynamodb(), self.process.env.get("TABLE").unwrap_or_default())
    }

    pub(super) fn bucket(&self) -> Result<&str> {
        self.process.env.get("MEDIA_BUCKET").context("a deployed table is audited with its --bucket")
    }
}
