//! A caller's own jobs. A job of another account is as one that does not exist.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::{AccountId, JobId};
use domain::job::{Job, State};
use domain::media::Media;
use domain::request::JobRequest;
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::jobs::JobStore;
use crate::store::media::MediaStore;

/// Validity of a media link.
const LINK_VALID_FOR: Duration = Duration::from_secs(3_600);

/// A presigned link to a job's media.
#[derive(Debug, Clone)]
pub struct Link {
    pub url: String,
    pub expires_at: Timestamp,
    /// URLs of other forms of the file, by name.
    pub variants: BTreeMap<String, String>,
}

/// A job of this account.
pub async fn job(jobs: &JobStore, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error> {
    Ok(jobs.get(id).await?.filter(|job| job.account() == account))
}

/// The same, with its request.
pub async fn job_with_request(
    jobs: &JobStore,
    account: &AccountId,
    id: &JobId,
) -> Result<Option<(Job, JobRequest)>, Error> {
    Ok(jobs.get_with_request(id).await?.filter(|(job, _)| job.account() == account))
}

/// A job's media, unless it was deleted.
pub fn file(job: &Job) -> Option<&Media> {
    job.media().filter(|_| job.state() == State::Succeeded && job.deleted_at().is_none())
}

/// A fresh link to a job's media, if it has any.
pub async fn link(media: &MediaStore, job: &Job, now: Timestamp) -> Result<Option<Link>, Error> {
    let Some(file) = file(job) else { return Ok(None) };
    let url = media.link(file, now, LINK_VALID_FOR).await?;
    Ok(Some(Link { url, expires_at: now + LINK_VALID_FOR, variants: BTreeMap::new() }))
}
