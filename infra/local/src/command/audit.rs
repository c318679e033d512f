//! `genmux audit`: every invariant, over the whole table and bucket.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use shared::store::audit::Books;

use super::Target;
use crate::audit::check;

pub(super) async fn run(target: &Target) -> Result<ExitCode> {
    let opened = target.open().await?;
    let books = Books::read(&opened.table(), &opened.process.s3(), opened.bucket()?).await?;
    let mut remote_jobs = BTreeMap::new();
    if let Some((stack, _)) = &opened.stack {
        for (provider, simulator) in &stack.simulators {
            remote_jobs.insert(*provider, simulator.remote_jobs()?);
        }
    }
    let report = check(&books, &remote_jobs);
    println!("{report}");
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
