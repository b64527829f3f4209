//! Ports for servers that must be told one.

use std::net::TcpListener;

use uuid::Uuid;

/// A port that nobody has. It is none of those that the system gives away by itself, or that private servers choose from, so that
/// nobody gets it by chance before the server comes to take it.
pub(crate) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| Uuid::now_v7().as_u128() % 8_000 + 12_000);
    let mut ports = ports.by_ref().filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
