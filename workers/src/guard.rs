//! Keeps requests to addresses that somebody typed in away from the inside of the house.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long all of a request may take: less than the lease of what it sends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client that follows no redirects, waits for an answer as long as `patience` and, unless `private` is allowed, connects to public
/// addresses only.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn client(private: bool, patience: Duration) -> Result<Client, reqwest::Error> {
    // Whoever was first has chosen; reqwest takes what stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("herald/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(patience)
        .no_proxy();
    if private { builder.build() } else { builder.dns_resolver(PublicOnly).build() }
}

/// Refuses an address that may not be asked. A name is looked at when it is resolved.
///
/// # Errors
/// Says which address that is.
pub(crate) fn refuse_private(url: &Url, private: bool) -> Result<(), String> {
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(_)) | None => return Ok(()),
    };
    if private || is_public(address) { Ok(()) } else { Err(format!("{address} is a private address")) }
}

/// Resolves names to public addresses, or not at all.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(inside) = found.iter().find(|address| !is_public(address.ip())) {
                let error: Box<dyn Error + Send + Sync> =
                    format!("{} is the private address {}", name.as_str(), inside.ip()).into();
                return Err(error);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is of the public internet (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    // "This network", carrier-grade NAT, IETF assignments, benchmarks, reserved.
    let reserved = a == 0
        || a == 100 && (b & 0xc0) == 64
        || (a, b, c) == (192, 0, 0)
        || a == 198 && (b & 0xfe) == 18
        || a >= 240;
    !special && !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast, without documentation, NAT64's and 6to4's ways to IPv4 addresses.
    (first & 0xe000) == 0x2000 && !(first == 0x2001 && second == 0x0db8) && first != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("198.18.0.1", false),
            ("2a00:1450:4001::1", true),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("2002:a00:1::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_looked_at_however_it_is_written() {
        for (url, refused) in [
            ("http://127.0.0.1/x", true),
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://[::1]:80/", true),
            ("http://8.8.8.8/", false),
            ("http://sms.example.com/", false),
        ] {
            assert_eq!(refuse_private(&url.parse().unwrap(), false).is_err(), refused, "{url}");
            assert_eq!(refuse_private(&url.parse().unwrap(), true), Ok(()));
        }
    }
}
