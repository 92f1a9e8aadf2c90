//! What people write about a PBX: its name, where it is, who we are there, and whose certificates it may show.
//!
//! The configuration, REST and the command line read it here, so that all three take and refuse the same.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use url::Url;

/// Where a PBX is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its manager port.
    pub port: u16,
}

impl Address {
    /// What may be written, completing "allowed: …".
    pub const ALLOWED: &'static str = "ami://host:5038, or amis://host:5039 with TLS; the port may be left out";

    /// Reads an address without a user and a secret. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("it is longer than {URL_BYTES_MAX} bytes"));
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user or a secret; those are fields of their own".to_owned());
        }
        Self::of_url(&url)
    }

    /// Reads the address out of a URL, which may hold a user and a secret.
    pub fn of_url(url: &Url) -> Result<Self, String> {
        let (tls, default_port) = match url.scheme() {
            "ami" => (false, 5038),
            "amis" => (true, 5039),
            _ => return Err("it is not an AMI URL".to_owned()),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("it has a path, a query or a fragment".to_owned());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.contains('%') {
            return Err("its host holds characters that no host has".to_owned());
        }
        Ok(Self { tls, host: host.to_owned(), port: url.port().unwrap_or(default_port) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amis" } else { "ami" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// The name of a PBX. It must not look like an account of Twilio: nobody checks who may have a name that only pushes.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let is_sid =
        name.strip_prefix("AC").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    match plain && (1..=NAME_BYTES_MAX).contains(&name.len()) {
        false => Err(NAME_ALLOWED),
        true if is_sid => Err("a name that is not that of a Twilio account"),
        true => Ok(()),
    }
}

/// What a name of a PBX may be.
pub const NAME_ALLOWED: &str = "1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`";

/// The user of `manager.conf`: it stands between brackets there, so no `]` and no spaces around it.
pub fn check_user(user: &str) -> Result<(), &'static str> {
    let fits = (1..=USER_BYTES_MAX).contains(&user.len()) && user.trim() == user;
    let plain = !user.chars().any(|c| c.is_control() || matches!(c, '[' | ']' | ';'));
    if fits && plain { Ok(()) } else { Err("the name of a user of manager.conf, at most 80 bytes on one line") }
}

/// A secret as it is sent. A line break in it would begin another header; one of Asterisk's lines holds 1,024 bytes.
pub fn check_secret(secret: &SecretString) -> Result<(), &'static str> {
    let text = secret.expose_secret();
    let fits = (1..=SECRET_BYTES_MAX).contains(&text.len()) && text.trim() == text;
    let plain = !text.chars().any(char::is_control);
    if fits && plain { Ok(()) } else { Err("1 to 512 bytes on one line, without spaces around it") }
}

/// The certificates of a PEM text; at least one.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(format!("it is longer than {PEM_BYTES_MAX} bytes"));
    }
    if pem.contains("PRIVATE KEY-----") {
        return Err("it holds a private key; give the certificate of the CA only".to_owned());
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = read.map_err(|_| "one of its certificates cannot be read".to_owned())?;
    let mut store = rustls::RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|_| "one of its certificates cannot be read".to_owned())?;
    }
    if certificates.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(certificates) }
}

/// What certificates may be written as.
pub const CERTIFICATES_ALLOWED: &str =
    "certificates in PEM (-----BEGIN CERTIFICATE-----), at most 64 KiB, without keys";

const URL_BYTES_MAX: usize = 300;
const NAME_BYTES_MAX: usize = 64;
const USER_BYTES_MAX: usize = 80;
const SECRET_BYTES_MAX: usize = 512;
const PEM_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for (text, shown) in [
            ("ami://pbx.example.com", "ami://pbx.example.com:5038"),
            ("amis://pbx.example.com/", "amis://pbx.example.com:5039"),
            ("amis://[::1]:1234", "amis://[::1]:1234"),
            ("ami://10.0.0.7:15038", "ami://10.0.0.7:15038"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(Address::parse(shown).unwrap(), address);
        }
        assert_eq!(Address::parse("amis://[::1]").unwrap().host, "::1");
        for text in [
            "",
            "pbx.example.com:5038",
            "http://pbx.example.com",
            "ami://",
            "ami:///x",
            "ami://pbx/path",
            "ami://pbx?x=1",
            "ami://onhook:secret@pbx",
            "ami://onhook@pbx",
            "ami://pbx:99999",
            "ami://pb%0ax",
            &format!("ami://{}", "x".repeat(300)),
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_users_and_secrets_can_be_sent_and_stored() {
        for name in ["pbx", "PBX-1", "site.a_2", &"x".repeat(64), "AC12"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let sid = format!("AC{:032x}", 1);
        for name in ["", "a b", "a/b", "é", "a\n", &"x".repeat(65), &sid] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert_eq!(check_user("onhook"), Ok(()));
        for user in ["", " onhook", "on]hook", "a\r\nAction: x", &"x".repeat(81)] {
            assert!(check_user(user).is_err(), "{user:?}");
        }
        assert_eq!(check_secret(&"p;ss wörd".into()), Ok(()));
        for secret in ["", "a\r\nb", " a", &"x".repeat(513)] {
            assert!(check_secret(&secret.to_owned().into()).is_err(), "{secret:?}");
        }
    }

    #[test]
    fn certificates_are_read_and_keys_are_not_taken() {
        assert_eq!(certificates(include_str!("address/ca.pem")).map(|read| read.len()), Ok(1));
        for (pem, why) in [
            ("", "no certificate"),
            ("hello", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
            ("-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n", "cannot be read"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        ] {
            assert!(certificates(pem).unwrap_err().contains(why), "{pem}");
        }
        assert!(certificates(&" ".repeat(70_000)).unwrap_err().contains("longer"));
    }
}
