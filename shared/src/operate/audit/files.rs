//! Files: every succeeded job has a file, and every file has an attempt.

use std::time::Duration;

use domain::attempt::Phase;
use domain::catalog::Kind;
use domain::job::{Job, State};
use domain::media::Media;
use domain::provider::Provider;
use domain::time::Timestamp;

use super::Report;
use crate::store::audit::{AuditedJob, JobRow, LedgerSnapshot, Object, Row, Subject};
use crate::store::media::attempt_media_key;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long an upload may stay open: the bucket ends it after one day, at the midnight after that.
const UPLOAD_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);

/// What is wrong with a job's file.
pub(super) fn problems(
    row: &JobRow,
    snapshot: &LedgerSnapshot,
    media_days: Option<u32>,
    now: Timestamp,
) -> Vec<String> {
    let (job, mut problems) = (&row.job, Vec::new());
    if (job.state() == State::Succeeded) != job.media().is_some() {
        problems.push("has media and has not succeeded, or the reverse".to_owned());
    }
    let Some(media) = &job.media() else { return problems };
    if !keys_of(job, job.current_number()).contains(&media.key) {
        problems.push(format!("its media is at {}, which is not its attempt's key", media.key));
    }
    match snapshot.objects.get(&media.key) {
        Some(_) if job.deleted_at().is_some() => {
            problems.push("its media was deleted and is in the bucket".to_owned());
        }
        Some(object) => problems.extend(differences(media, object)),
        None if job.deleted_at().is_some() => {}
        None if media_days.is_some_and(|days| now > job.created_at() + DAY * days) => {}
        None => problems.push("its media is not in the bucket".to_owned()),
    }
    problems
}

fn differences(media: &Media, object: &Object) -> Vec<String> {
    let mut problems = Vec::new();
    if object.bytes != media.bytes {
        problems.push(format!("its media has {} bytes, and its file {}", media.bytes, object.bytes));
    }
    // A multipart upload has no SHA-256.
    if object.sha256.as_ref().is_some_and(|sha256| *sha256 != media.sha256) {
        problems.push("its file's recorded SHA-256 differs".to_owned());
    }
    if object.content.as_ref().is_some_and(|sha256| *sha256 != media.sha256) {
        problems.push("its file's content differs".to_owned());
    }
    problems
}

/// Every file is an attempt's, and no upload is left open.
pub(super) fn check(
    snapshot: &LedgerSnapshot,
    delivers: fn(Provider) -> bool,
    now: Timestamp,
    report: &mut Report,
) {
    report.objects = snapshot.objects.len();
    report.object_bytes = snapshot.objects.values().map(|object| object.bytes).sum();
    for key in snapshot.objects.keys() {
        let job = job_of(key, snapshot);
        if job.is_some_and(|audited| may_have(audited, key, delivers)) {
            continue;
        }
        let subject = match job.and_then(AuditedJob::row) {
            Some(row) => Subject::Job(row.job.id().clone()),
            None => Subject::Object(key.clone()),
        };
        report.violation(subject, format!("the object {key} belongs to no settled job"));
    }
    for (key, begun) in snapshot.uploads.iter().filter(|(_, begun)| now > **begun + UPLOAD_MAX) {
        let text = format!("an upload of {key} is open since {begun}");
        report.violation(Subject::Upload(key.clone()), text);
    }
}

fn job_of<'a>(key: &str, snapshot: &'a LedgerSnapshot) -> Option<&'a AuditedJob> {
    let id = key.split('/').nth(2)?.parse().ok()?;
    snapshot.jobs.get(&id)
}

/// Whether a file at this key may be one of the job's.
fn may_have(audited: &AuditedJob, key: &str, delivers: fn(Provider) -> bool) -> bool {
    let job = match &audited.row {
        Row::Read(row) => &row.job,
        Row::Unreadable { .. } => return true,
        Row::Missing => return false,
    };
    let is_settled = job.state().is_terminal() || job.state() == State::Settling;
    job.attempts().iter().any(|attempt| {
        // An image that came with the create answer is stored before its job knows of it.
        let may_come = delivers(attempt.provider) || attempt.phase == Phase::Finished;
        (is_settled || may_come) && keys_of(job, attempt.number).iter().any(|known| known == key)
    })
}

/// Where an attempt's file may be.
fn keys_of(job: &Job, attempt: u8) -> [String; 2] {
    [Kind::Video, Kind::Image].map(|kind| attempt_media_key(job.account(), job.id(), attempt, kind))
}
