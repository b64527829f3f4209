//! Waits for an answer.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use herald_jobs::authorisation::Status;
use herald_jobs::store::answers::Answers;
use herald_producers::{MessageId, Producer};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::commands::{TRY_AGAIN, print_json};
use crate::config::Config;
use crate::wiring::Wiring;

/// How often it is looked anyway: who tells may be on the other side of a proxy that does not pass it on.
const LOOK: Duration = Duration::from_secs(2);

/// `herald wait`
#[derive(Args)]
#[command(
    after_help = "The exit code is 0 when it was answered or approved, 1 when it was refused, withdrawn, cancelled or expired, 75 when the \
time was over first."
)]
pub struct Wait {
    /// A message, or an authorisation.
    id: Uuid,
    /// Seconds to wait at most; without it, for ever.
    #[arg(long)]
    timeout: Option<u64>,
}

impl Wait {
    /// Waits until a message is answered or an authorisation decided, and prints how.
    ///
    /// # Errors
    /// There is no such message or authorisation, or the database cannot be reached.
    pub async fn run(self, config: Config) -> Result<ExitCode> {
        // Two of its connections listen.
        let wiring = Wiring::new(config.with_running_servers()?, "wait", 4)?;
        let producer = wiring.producer();
        let deadline = self.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        // Who listens first misses nothing.
        let mut answers = Answers::listen(&wiring.pool).await?;
        loop {
            let (ended, shown) = look(&producer, self.id).await?;
            if let Some(code) = ended {
                print_json(&shown)?;
                return Ok(ExitCode::from(code));
            }
            let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                eprintln!(
                    "herald: {} was not answered within {} s",
                    self.id,
                    self.timeout.unwrap_or_default()
                );
                return Ok(ExitCode::from(TRY_AGAIN));
            }
            // Told, not told in time, or not able to be told: it is looked.
            let told = tokio::time::timeout(left.min(LOOK), async {
                while answers.next().await?.is_some_and(|id| id != self.id) {}
                Ok::<(), anyhow::Error>(())
            });
            if let Ok(told) = told.await {
                told?;
            }
        }
    }
}

/// The exit code where it has ended, and how it stands.
async fn look(producer: &Producer, id: Uuid) -> Result<(Option<u8>, Value)> {
    if let Some(it) = producer.authorisation(id).await? {
        let ended = match it.status {
            Status::Pending => None,
            Status::Approved => Some(0),
            _ => Some(1),
        };
        return Ok((ended, serde_json::to_value(it)?));
    }
    let it = producer.standing(MessageId(id)).await?;
    let it = it.with_context(|| format!("there is no message or authorisation {id}"))?;
    let ended = match it.status.as_str() {
        "accepted" | "pending" => None,
        "acted" => Some(0),
        _ => Some(1),
    };
    let shown = json!({
        "id": id, "status": it.status, "reply_value": it.reply_value, "answered_by": it.acted_by,
        "answered_via": it.acted_via, "answered_at": it.acted_at, "reason": it.closed_reason.or(it.reason),
    });
    Ok((ended, shown))
}
