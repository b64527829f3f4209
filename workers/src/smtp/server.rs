use std::time::Duration;

pub use herald_jobs::registry::mail::Security;
use herald_jobs::secret::Secret;

/// A mail server and how to talk to it. Two equal values may share their sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or IP address. With TLS, the name that the certificate must carry.
    pub host: String,
    /// TCP port: usually 25, 587 (STARTTLS) or 465 (TLS).
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Certificates in PEM that are trusted besides Mozilla's, for a server with a certificate of one's own.
    pub trusted: Option<String>,
    /// User name and password for AUTH PLAIN or LOGIN. With [`Security::None`] they cross the network readable.
    pub credentials: Option<(String, Secret)>,
    /// The name given in EHLO; by default the name of this machine.
    pub helo: Option<String>,
    /// How long each step may take.
    pub timeouts: Timeouts,
}

/// How long the steps of a conversation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up the name, connecting to one address, and the TLS handshake: each of them.
    pub connect: Duration,
    /// One command and its reply, or the writing of one part of a message.
    pub command: Duration,
    /// The reply to the final dot. A server may take long there, and giving up early makes an outcome unknown.
    pub after_dot: Duration,
}

impl Default for Timeouts {
    /// 15 seconds to connect; 5 minutes for a command and 10 after the dot, as RFC 5321 section 4.5.3.2 asks.
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(15),
            command: Duration::from_secs(300),
            after_dot: Duration::from_secs(600),
        }
    }
}
