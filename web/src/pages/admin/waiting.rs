//! What a worker was asked to do is waited for a little, so that the page shows how it ended.

use std::time::{Duration, Instant};

use crate::error::PageError;

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until it has ended, as `look` says, or patience has. Answers whether it has.
pub(super) async fn wait<F>(patience: Duration, look: impl Fn() -> F + Send) -> Result<bool, PageError>
where
    F: Future<Output = Result<bool, PageError>> + Send,
{
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if look().await? {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(false)
}
