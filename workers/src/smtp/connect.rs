use std::{io, sync::Arc};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{Fault, FaultKind, Server, wire::Socket};

/// Connects to the first of the host's addresses that answers.
pub(super) async fn tcp(server: &Server) -> Result<TcpStream, Fault> {
    let Server { host, port, .. } = server;
    let limit = server.timeouts.connect;
    let addresses = match timeout(limit, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            let sentence = format!("The mail server's name {host} could not be looked up: {error}.");
            return Err(Fault::new(FaultKind::NameNotFound, sentence));
        }
        Err(_) => {
            let sentence = format!("Looking up the mail server's name {host} took longer than {limit:?}.");
            return Err(Fault::new(FaultKind::Unreachable, sentence));
        }
    };
    let mut reason = "its name has no address".to_owned();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Otherwise the end of a message waits for the acknowledgement of what went before, 40 ms or more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => reason = format!("no answer within {limit:?}"),
        }
    }
    let sentence = format!("The mail server {host}, port {port}, cannot be reached: {reason}.");
    Err(Fault::new(FaultKind::Unreachable, sentence))
}

/// Wraps a connection in TLS and checks that the certificate is the host's.
pub(super) async fn tls(server: &Server, socket: Box<dyn Socket>) -> Result<Box<dyn Socket>, Fault> {
    let host = &server.host;
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        let sentence = format!("The mail server's name {host:?} cannot stand in a certificate.");
        Fault::new(FaultKind::Settings, sentence)
    })?;
    let connector = TlsConnector::from(Arc::new(config(server)?));
    let limit = server.timeouts.connect;
    let error = match timeout(limit, connector.connect(name, socket)).await {
        Ok(Ok(stream)) => return Ok(Box::new(stream)),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")),
    };
    // rustls reports what it finds wrong, a certificate above all, as invalid data; the rest is the network's.
    let kind = match error.kind() {
        io::ErrorKind::InvalidData => FaultKind::Tls,
        _ => FaultKind::Unreachable,
    };
    Err(Fault::new(kind, format!("No secure connection to {host} could be made: {error}.")))
}

fn config(server: &Server) -> Result<ClientConfig, Fault> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = &server.trusted {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| untrustworthy(&error))?;
            roots.add(certificate).map_err(|error| untrustworthy(&error))?;
        }
        if roots.len() == before {
            return Err(untrustworthy(&"it holds no certificate"));
        }
    }
    ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
        .map_err(|error| Fault::new(FaultKind::Settings, format!("TLS cannot be set up: {error}.")))
}

fn untrustworthy(error: &dyn std::fmt::Display) -> Fault {
    let sentence = format!("The trusted certificates cannot be read: {error}.");
    Fault::new(FaultKind::Settings, sentence)
}
