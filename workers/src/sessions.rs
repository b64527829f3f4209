//! Open SMTP sessions, used again while they last.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::smtp::{Fault, Server, Session};

/// From how long a pause on a session is asked whether it still stands.
const REVALIDATE: Duration = Duration::from_secs(5);
/// How long a session may rest; many servers close it after a minute.
const REST: Duration = Duration::from_secs(50);

/// The sessions of one lane, never more than there are places.
pub struct Sessions {
    places: Arc<Semaphore>,
    resting: Mutex<Vec<(Server, Session)>>,
    /// Held while somebody finds out whether the server can be used at all: the last that could not, when, and why.
    trying: tokio::sync::Mutex<Option<(Server, Instant, Fault)>>,
    most: usize,
}

/// A session, its place, and whether it has carried mail before.
pub struct Lent {
    /// To send by.
    pub session: Session,
    /// The server may have closed it meanwhile.
    pub reused: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Sessions {
    /// At most `most` sessions at once.
    pub fn new(most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most));
        Self { places, resting: Mutex::default(), trying: tokio::sync::Mutex::default(), most }
    }

    /// Whether the server can be used, as far as is known: while no session is open, one is opened. Who waited while another
    /// found out takes that answer.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn ready(&self, server: &Server) -> Result<(), Fault> {
        let asked = Instant::now();
        let mut failed = self.trying.lock().await;
        if self.places.available_permits() < self.most || self.rests(server) {
            return Ok(());
        }
        if let Some((_, _, fault)) = failed.as_ref().filter(|(of, at, _)| of == server && *at > asked) {
            return Err(fault.clone());
        }
        match self.get(server).await {
            Ok(lent) => self.put(server, lent),
            Err(fault) => {
                *failed = Some((server.clone(), Instant::now(), fault.clone()));
                return Err(fault);
            }
        }
        Ok(())
    }

    /// A session with `server`, as soon as there is a place: one that rests, or a new one.
    ///
    /// # Errors
    /// The server cannot be used.
    pub async fn get(&self, server: &Server) -> Result<Lent, Fault> {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        while let Some((same, mut session)) = self.take(server) {
            let stands = same && session.idle_for() < REST;
            if stands && (session.idle_for() < REVALIDATE || session.revalidate().await) {
                return Ok(Lent { session, reused: true, _place: place });
            }
            tokio::spawn(session.quit());
        }
        Ok(Lent { session: Session::open(server).await?, reused: false, _place: place })
    }

    /// Whether a session with this server rests that was in use a moment ago.
    fn rests(&self, server: &Server) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.iter().any(|(of, session)| of == server && session.idle_for() < REVALIDATE)
    }

    /// The session that rested last, and whether it is one with `server`.
    fn take(&self, server: &Server) -> Option<(bool, Session)> {
        let (of, session) = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some((of == *server, session))
    }

    /// Gives a session back, and its place.
    pub fn put(&self, server: &Server, lent: Lent) {
        if lent.session.is_usable() {
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).push((server.clone(), lent.session));
        }
    }

    /// Ends all sessions that rest.
    pub async fn quit(&self) {
        let resting = std::mem::take(&mut *self.resting.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(resting.into_iter().map(|(_, session)| session.quit())).await;
    }
}
