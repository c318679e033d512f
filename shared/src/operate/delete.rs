//! Deletes the files of an ended job. The job and its money stay.

use domain::decide::Event;
use domain::job::Job;
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::jobs::JobStore;
use crate::store::media::MediaStore;

/// The result of a deletion.
#[derive(Debug)]
pub enum Deleted {
    /// Now or before.
    Done(Job),
    /// The job has not ended: it may still get a file.
    Live(Job),
}

/// Deletes the files of a job that was just read. A repeat deletes what an earlier call left behind.
pub async fn delete(jobs: &JobStore, media: &MediaStore, job: Job, now: Timestamp) -> Result<Deleted, Error> {
    let job = jobs.advance_from(job, &Event::Deleted, now).await?.into_job();
    if job.deleted_at().is_none() {
        return Ok(Deleted::Live(job));
    }
    if let Some(file) = job.media() {
        media.delete(file).await?;
    }
    Ok(Deleted::Done(job))
}
