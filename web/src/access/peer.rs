//! Who is at the other end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};

/// The address that a request comes from: the connection's own, or behind trusted proxies the last one in
/// `X-Forwarded-For` that is not such a proxy.
pub(crate) fn address(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let connected = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical());
    if !trusted.contains(&connected) {
        return connected;
    }
    let named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    named
        .iter()
        .rev()
        .map_while(|name| name.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !trusted.contains(address))
        .unwrap_or(connected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let (proxy, stranger) = ("10.0.0.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "1.1.1.1, 198.51.100.7".parse().unwrap());
        headers.append("x-forwarded-for", "10.0.0.1".parse().unwrap());
        let from = |peer: IpAddr| {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::new(peer, 1)));
            address(&extensions, &headers, &[proxy])
        };
        assert_eq!(from(proxy), "198.51.100.7".parse::<IpAddr>().unwrap());
        assert_eq!(from(stranger), stranger);
    }
}
