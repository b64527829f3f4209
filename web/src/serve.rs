//! Serves until told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long answers that are under way may take once it is time to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Answers requests until `stop`: then live streams end at once, what is under way is finished, and after ten seconds it is cut.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let router = router.layer(Extension(stop.clone()));
    let stopping = stop.clone();
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = too_long => {
            tracing::warn!("Some answers took too long to finish and were cut");
            Ok(())
        }
    }
}
