//! Which certificates are taken, and what is said of the others.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

/// A certificate for `name`, signed by an authority of our own or by itself, and the PEM of who signed it.
fn certificate(name: &str, by_itself: bool) -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (certificate, signer) = if by_itself {
        // What `openssl req -x509` makes: an authority that signs nobody but itself.
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).unwrap();
        let pem = certificate.pem();
        (certificate, pem)
    } else {
        let its_key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&its_key).unwrap().pem();
        (own.signed_by(&key, &Issuer::new(authority, its_key)).unwrap(), pem)
    };
    (acceptor(certificate.der().clone(), &key), signer)
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn taken(acceptor: TlsAcceptor, ca_pem: String) {
    let peer = Peer::new(Some(acceptor)).await;
    let mut it = start(Target { ca_pem: Some(ca_pem), ..peer.target() }, quick(), Room::default());
    let mut line = peer.in_sync().await;
    it.listed().await;
    // Long enough for several TLS records, both ways.
    let long = "x".repeat(60_000);
    line.say(&format!("Event: Long\r\nAppData: {long}\r\n\r\n")).await;
    let told = it.next().await;
    assert!(matches!(&told, Told::Message(m, _) if m.get("AppData") == Some(&long)), "{told:?}");
    it.stop.cancel();
    assert!(line.until("Logoff").await);
}

async fn refused(acceptor: Option<TlsAcceptor>, ca_pem: Option<String>) -> String {
    let peer = Peer::new(acceptor).await;
    let mut it = start(Target { tls: true, ca_pem, ..peer.target() }, quick(), Room::default());
    let accepting = async {
        if let Some(mut line) = peer.try_accept().await {
            line.try_say("Asterisk Call Manager/5.0.4\r\n").await;
            line.read().await;
        }
        std::future::pending::<()>().await;
    };
    let down = tokio::select! { down = it.down() => down, () = accepting => unreachable!() };
    assert_eq!(down.kind, DownKind::Tls, "{}", down.detail);
    down.detail
}

#[tokio::test]
async fn a_certificate_signed_by_the_given_authority_is_taken() {
    let (acceptor, ca) = certificate("127.0.0.1", false);
    taken(acceptor, ca).await;
}

#[tokio::test]
async fn the_pbxs_own_certificate_is_taken_as_it_is() {
    let (acceptor, itself) = certificate("pbx.example", true);
    taken(acceptor, itself).await;
}

#[tokio::test]
async fn other_certificates_are_not_and_it_says_what_to_do() {
    let (acceptor, _) = certificate("127.0.0.1", false);
    let (_, other) = certificate("127.0.0.1", false);
    let said = refused(Some(acceptor), Some(other.clone())).await;
    assert!(said.contains("signed by nobody we trust") || said.contains("BadSignature"), "{said}");
    let (acceptor, ca) = certificate("pbx.example", false);
    let said = refused(Some(acceptor), Some(ca)).await;
    assert!(said.contains("its certificate is not for \"127.0.0.1\""), "{said}");
    let (acceptor, _) = certificate("127.0.0.1", true);
    let said = refused(Some(acceptor), Some(other)).await;
    assert!(said.contains("give the certificate itself as PEM"), "{said}");
}

#[tokio::test]
async fn who_speaks_no_tls_or_gives_no_certificate_is_told_so() {
    let (_, ca) = certificate("127.0.0.1", false);
    let said = refused(None, Some(ca)).await;
    assert!(said.contains("it does not speak TLS there"), "{said}");
    for bad in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let said = refused(None, Some(bad.to_owned())).await;
        assert!(said.starts_with("speak TLS: its CA "), "{said}");
    }
}
