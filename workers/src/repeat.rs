//! Work on rows of Postgres alone, which nobody pushes to a queue.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Pause between looks while there is something to do, and when there has been nothing for a while.
pub(crate) const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// The pause after a failure.
pub(crate) const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Does `step` again and again until `stop`: at once while it finds something to do, less and less often while it does not.
pub(crate) async fn repeat(
    what: &str,
    stop: CancellationToken,
    mut step: impl AsyncFnMut() -> Result<usize, sqlx::Error>,
) {
    let (busy, idle) = PAUSE;
    let mut pause = busy;
    while !stop.is_cancelled() {
        pause = match step().await {
            Ok(0) => (pause * 2).min(idle),
            Ok(_) => busy,
            Err(error) => {
                tracing::warn!("What is to be done about {what} waits for the database: {error}");
                AFTER_FAILURE
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
    }
}
