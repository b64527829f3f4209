use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use herald_jobs::clock::Clock;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::{
    behaviour::{Behaviour, Phase, Play, Told},
    conversation::converse,
    mailbox::Mailbox,
};

/// How long to wait when a connection cannot be accepted, as when no file handle is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a catcher is started with.
#[derive(Clone)]
pub struct Settings {
    /// The name that it greets with.
    pub name: String,
    /// User name and password that clients must sign in with. Without them any sign-in is taken, and none is needed.
    pub credentials: Option<(String, String)>,
    /// Mails to keep; older ones are forgotten.
    pub keep_mails: usize,
    /// Entries of the log of attempts to keep.
    pub keep_attempts: usize,
    /// Bytes of one message.
    pub max_size: usize,
    /// Tells when a mail came.
    pub clock: Clock,
    /// The start of the random numbers behind [`When::Probability`](super::When::Probability).
    pub seed: u64,
}

impl Settings {
    /// No sign-in, messages up to 32 MiB, the last 1,000 mails and 100,000 attempts.
    pub fn new(clock: Clock) -> Self {
        Settings {
            name: "catcher.localhost".to_owned(),
            credentials: None,
            keep_mails: 1_000,
            keep_attempts: 100_000,
            max_size: 32 * 1024 * 1024,
            clock,
            seed: 0,
        }
    }
}

/// What went over all connections since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
}

/// A running mail catcher. It ends, with all its connections, when it is dropped.
pub struct Catcher {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: tokio::sync::Mutex<Option<Listening>>,
}

/// What all conversations share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) mailbox: Mailbox,
    pub(super) counters: Counters,
    play: Mutex<Play>,
    /// Sent to when the behaviour is set.
    anew: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

struct Listening {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Catcher {
    /// Starts to listen. With port 0 a free one is chosen.
    pub async fn start(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mailbox: Mailbox::new(settings.keep_mails, settings.keep_attempts),
            counters: Counters::default(),
            play: Mutex::new(Play::new(settings.seed)),
            anew: watch::Sender::new(()),
            settings,
        });
        let listening = tokio::sync::Mutex::new(Some(Listening::start(listener, &shared)));
        Ok(Catcher { address, shared, listening })
    }

    /// Where it listens; the same for its whole life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was caught.
    pub fn mailbox(&self) -> &Mailbox {
        &self.shared.mailbox
    }

    /// How clients are treated at present.
    pub fn behaviour(&self) -> Behaviour {
        self.shared.behaviour()
    }

    /// Treats clients in this way from now on. Who is being kept waiting waits no longer.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        let mut play = self.shared.play();
        play.set(behaviour);
        self.shared.anew.send_replace(());
    }

    /// What went over all connections since the start.
    pub fn traffic(&self) -> Traffic {
        let Counters { connections, received, sent } = &self.shared.counters;
        let [connections, received, sent] =
            [connections, received, sent].map(|it| it.load(Ordering::Relaxed));
        Traffic { connections, received, sent }
    }

    /// Is down: breaks all connections off and accepts no more. What was caught stays.
    pub async fn go_down(&self) {
        if let Some(Listening { stop, task }) = self.listening.lock().await.take() {
            drop(stop);
            // It ends by itself, and has nothing to tell.
            let _ = task.await;
        }
    }

    /// Is up again, at the same address. Fails when another program has taken the port meanwhile.
    pub async fn come_up(&self) -> io::Result<()> {
        let mut listening = self.listening.lock().await;
        if listening.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *listening = Some(Listening::start(listener, &self.shared));
        }
        Ok(())
    }
}

impl Listening {
    fn start(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, Arc::clone(shared), stop.clone()));
        Listening { stop: stop.drop_guard(), task }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = conversations.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                    let shared = Arc::clone(&shared);
                    conversations.spawn(async move { converse(stream, &shared).await });
                }
                Err(error) => {
                    warn!("The mail catcher could not accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    conversations.shutdown().await;
}

impl Shared {
    pub(super) fn behaviour(&self) -> Behaviour {
        self.play().behaviour().clone()
    }

    /// What is to happen at a phase, and what hears when that was set anew.
    pub(super) fn told(&self, phase: Phase) -> (Told, watch::Receiver<()>) {
        let mut play = self.play();
        (play.told(phase), self.anew.subscribe())
    }

    /// The sizes of a message at which something is to happen.
    pub(super) fn body_marks(&self) -> Vec<usize> {
        let mark = |phase| if let Phase::Body { after } = phase { Some(after) } else { None };
        self.play().behaviour().rules.iter().filter_map(|rule| mark(rule.at)).collect()
    }

    fn play(&self) -> MutexGuard<'_, Play> {
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
