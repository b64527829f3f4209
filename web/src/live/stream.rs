//! The stream of one page (server-sent events): `counts` whenever they differ, `alert` for each alert that is new.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use herald_jobs::store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Snapshot;
use super::known::Known;
use crate::access::session::{self, Login};
use crate::app::App;

/// Changes that come within this time are sent as one.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often an idle stream says that it lives, so that proxies keep it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

struct Page {
    app: App,
    login: Login,
    marks: watch::Receiver<()>,
    stop: CancellationToken,
    begun: bool,
    /// What was sent last.
    known: Known,
}

/// GET /live: goes on where `Last-Event-ID` says that the page is.
pub(crate) async fn stream(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    headers: HeaderMap,
    stop: Option<Extension<CancellationToken>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let marks = app.hub.watch(login.user.id);
    let stop = stop.map(|Extension(stop)| stop).unwrap_or_default();
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(Known::read);
    let page = Page { app, login, marks, stop, begun: false, known: known.unwrap_or_default() };
    let open = Open::new();
    let events = stream::unfold(page, Page::next).flat_map(stream::iter).map(move |event| {
        let _counted_while_open = &open;
        Ok(event)
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Page {
    /// Waits until there is something to send. Ends with the session, and when the process stops.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            if self.begun && !self.wait().await {
                return None;
            }
            self.begun = true;
            match self.look().await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Some((events, self)),
                Err(error) => tracing::debug!("A live page has to wait for the database: {error}"),
            }
        }
    }

    /// Waits for a change, or until it is time to look in any case. Answers whether the stream goes on: not after its session.
    async fn wait(&mut self) -> bool {
        let refresh = self.app.settings.refresh;
        tokio::select! {
            () = self.stop.cancelled() => return false,
            changed = self.marks.changed() => {
                if changed.is_err() {
                    return false;
                }
            }
            () = tokio::time::sleep(refresh) => {}
        }
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep(DEBOUNCE) => {}
        }
        !matches!(session::lasts(&self.app, &self.login).await, Ok(false))
    }

    async fn look(&mut self) -> Result<Vec<Event>, store::Error> {
        self.marks.mark_unchanged();
        let Snapshot { badge, new_alerts } = Snapshot::read(&self.app.pool, &self.login).await?;
        let news = new_alerts.iter().rev().filter(|alert| !self.known.told.contains(&alert.id));
        let mut events: Vec<Event> =
            news.filter_map(|alert| Event::default().event("alert").json_data(alert).ok()).collect();
        if self.known.badge != Some(badge) {
            events.extend(Event::default().event("counts").retry(RETRY).json_data(badge));
        }
        self.known =
            Known { badge: Some(badge), told: new_alerts.into_iter().map(|alert| alert.id).collect() };
        // Cut in between, the page is told again of what it knows, and looks over it.
        if let Some(last) = events.pop() {
            events.push(last.id(self.known.to_string()));
        }
        Ok(events)
    }
}

/// Counts open streams.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("herald_live_pages").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("herald_live_pages").decrement(1.0);
    }
}
