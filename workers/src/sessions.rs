//! Open SMTP sessions, used again while they last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::smtp::{Fault, Server, Session};

/// From how long a pause on a session is asked whether it still stands.
const REVALIDATE: Duration = Duration::from_secs(5);
/// How long a session may rest; many servers close it after a minute.
const REST: Duration = Duration::from_secs(50);

/// The sessions of one lane. There are never more than deliveries under way.
#[derive(Default)]
pub struct Sessions {
    resting: Mutex<Vec<(Server, Session)>>,
}

/// A session and whether it has carried mail before.
pub struct Lent {
    /// To send by.
    pub session: Session,
    /// The server may have closed it meanwhile.
    pub reused: bool,
}

impl Sessions {
    /// A session with `server`: one that rests, or a new one.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn get(&self, server: &Server) -> Result<Lent, Fault> {
        while let Some((same, mut session)) = self.take(server) {
            let stands = same && session.idle_for() < REST;
            if stands && (session.idle_for() < REVALIDATE || session.revalidate().await) {
                return Ok(Lent { session, reused: true });
            }
            tokio::spawn(session.quit());
        }
        Ok(Lent { session: Session::open(server).await?, reused: false })
    }

    /// The session that rested last, and whether it is one with `server`.
    fn take(&self, server: &Server) -> Option<(bool, Session)> {
        let (of, session) = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some((of == *server, session))
    }

    /// Gives a session back.
    pub fn put(&self, server: &Server, session: Session) {
        if session.is_usable() {
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).push((server.clone(), session));
        }
    }

    /// Ends all sessions that rest.
    pub async fn quit(&self) {
        let resting = std::mem::take(&mut *self.resting.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(resting.into_iter().map(|(_, session)| session.quit())).await;
    }
}
