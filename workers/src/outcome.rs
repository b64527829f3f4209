use herald_jobs::group_commit::CommitError;
use herald_queue::Failure;

/// What a job's failure to commit means for the job: retry or give up.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(crate) fn failure(error: CommitError) -> Failure {
    match error {
        CommitError::Data(_) => Failure::dead(error.to_string()),
        CommitError::Outage(_) => Failure::outage(error.to_string()),
    }
}

/// A query that fails is the database's failure, not the job's.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(crate) fn outage(error: sqlx::Error) -> Failure {
    Failure::outage(format!("the database is not available: {error}"))
}
