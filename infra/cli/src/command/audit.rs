//! `genmux audit`: checks every invariant over the whole table and bucket.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use shared::operate::audit::{Options, audit};
use shared::provider::adapter;
use shared::store::audit::Source;

use super::print::say;
use super::{Audit, Local};

/// The pause before a suspected violation is read again.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &Audit, local: &Local) -> Result<ExitCode> {
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
    say!("{report}");
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
