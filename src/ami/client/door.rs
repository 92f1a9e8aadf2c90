//! Connecting: TCP with the options that notice a dead link, and TLS.

use super::{DownKind, Patience, Target, pinned::Pinned};
use crate::ami::session::Failure;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use socket2::{SockRef, TcpKeepalive};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where connections come from.
pub struct Door {
    /// Where to.
    pub target: Target,
    patience: Patience,
    /// None: no TLS is spoken.
    tls: Option<Result<TlsConnector, Failure>>,
}

/// The kernel asks a silent other side for a sign of life after so long, then at this interval.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// See [`KEEPALIVE`].
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// What we wrote must have arrived after so long.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

impl Door {
    /// A door to that target. What is wrong with its certificates is told when it is opened.
    pub fn new(target: Target, patience: Patience) -> Self {
        let tls = target.tls.then(|| connector(target.ca_pem.as_deref()));
        Self { target, patience, tls }
    }

    /// Connects.
    pub async fn open(&self) -> Result<Box<dyn Stream>, Failure> {
        let to = format!("{}:{}", self.target.host, self.target.port);
        match tokio::time::timeout(self.patience.connect, self.connect(&to)).await {
            Ok(opened) => opened,
            Err(_) => {
                let seconds = self.patience.connect.as_secs_f32();
                Err(Failure::new(DownKind::Unreachable, format!("connect to {to}: nothing answered in {seconds} s")))
            }
        }
    }

    async fn connect(&self, to: &str) -> Result<Box<dyn Stream>, Failure> {
        let host = self.target.host.trim_start_matches('[').trim_end_matches(']');
        let unreachable = |e: std::io::Error| Failure::new(DownKind::Unreachable, format!("connect to {to}: {e}"));
        let tcp = TcpStream::connect((host, self.target.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        watched(&tcp).map_err(unreachable)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let tls = tls.as_ref().map_err(Clone::clone)?;
        let untrusted = |why: String| Failure::new(DownKind::Tls, format!("speak TLS with {to}: {why}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|e| untrusted(e.to_string()))?;
        let stream = tls.connect(name, tcp).await.map_err(|e| untrusted(tls_trouble(&e, host)))?;
        Ok(Box::new(stream))
    }
}

/// Has the kernel notice a link that is dead.
fn watched(tcp: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_EVERY))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

fn connector(ca_pem: Option<&str>) -> Result<TlsConnector, Failure> {
    let given: Vec<CertificateDer<'static>> = match ca_pem {
        Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|e| bad_ca(&format!("its CA is no PEM: {e}")))?,
        None => Vec::new(),
    };
    let mut roots = RootCertStore::empty();
    match ca_pem {
        // One that cannot sign others may still be the PBX's own.
        Some(_) => roots.add_parsable_certificates(given.iter().cloned()),
        None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    };
    if roots.is_empty() {
        let why =
            if ca_pem.is_some() { "its CA holds no certificate" } else { "this system has no certificate authorities" };
        return Err(bad_ca(why));
    }
    let provider = Arc::new(ring::default_provider());
    let others = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| bad_ca(&e.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad_ca(&e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { given, others }))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn bad_ca(why: &str) -> Failure {
    Failure::new(DownKind::Tls, format!("speak TLS: {why}; give the certificate of the CA (or the PBX's own) as PEM"))
}

/// What to mend: the words of TLS help few.
fn tls_trouble(e: &std::io::Error, host: &str) -> String {
    let error = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match error {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is signed by nobody we trust; give its CA, or the certificate itself, as PEM".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!(
            "its certificate is not for {host:?}; it needs that as a subjectAltName, or give the certificate itself as PEM"
        ),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its certificate has expired".to_owned(),
        // Its own, with which it may sign others: what `openssl req -x509` makes.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(why))) => {
            format!(
                "its certificate is not taken ({why}); if it is signed by itself, give the certificate itself as PEM"
            )
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS there; port 5038 is usually without (ami://)".to_owned()
        }
        Some(other) => other.to_string(),
        None => e.to_string(),
    }
}
