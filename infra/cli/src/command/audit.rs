//! `genmux audit`: checks every invariant over the whole table and bucket.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use shared::operate::audit::{Options, audit};
use shared::provider::adapter;
use shared::store::audit::Source;

use super::print::Output;
use super::{Audit, Local};

/// The pause before a suspected violation is read again.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &Audit, local: &Local) -> Result<Output> {
    let opened = args.target.open(local).await?;
    let source = Source {
        table: opened.table(),
        s3: opened.process.s3(),
        bucket: opened.bucket()?.to_owned(),
        deep: args.deep,
    };
    let media_days = match args.media_days {
        Some(days) => Some(days).filter(|days| *days > 0),
        None => source.media_days().await.context("set them with --media-days")?,
    };
    let remote_jobs = opened.remote_jobs()?;
    let delivers = |provider| adapter(provider).capabilities().delivers;
    let options = Options { media_days, pause: PAUSE, delivers };
    let report = audit(&source, &remote_jobs, options, || opened.process.clock.now()).await?;
    let json = json!({
        "jobs": report.jobs,
        "accounts": report.accounts.len(),
        "files": report.objects,
        "bytes": report.object_bytes,
        "cost_micro_usd": report.cost,
        "violations": report.violations.iter().map(|violation| &violation.text).collect::<Vec<_>>(),
    });
    Ok(Output { failed: !report.violations.is_empty(), ..Output::new(&report, json) })
}
