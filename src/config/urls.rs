//! The addresses of the database and of a PBX. Both may hold a password, which is never shown.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::kind::{Kind, REDACTED, quoted};
use crate::ami::address::{self, Address};

/// Where everything is kept. Displayed and debugged with the password masked.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file of this machine.
    Sqlite {
        /// The file; it need not exist yet.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// The whole URL as it was written, password included.
        url: SecretString,
    },
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite://{}", path.display()),
            Self::Postgres { url } => f.write_str(&masked(url.expose_secret())),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// A PBX and the account to log in with. Debugged without the secret.
#[derive(Clone, Debug)]
pub struct AmiUrl {
    /// Where it is.
    pub address: Address,
    /// The manager user.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
}

/// Where everything is kept.
pub(super) struct Database;

impl Kind for Database {
    type Value = DatabaseUrl;

    fn allowed(&self) -> String {
        "sqlite://path, or postgres://user:password@host/database".to_owned()
    }

    fn read(&self, text: &str) -> Result<DatabaseUrl, String> {
        match text.split_once("://") {
            Some(("sqlite", path)) => read_sqlite(path),
            Some(("postgres" | "postgresql", _)) => read_postgres(text),
            _ if text.contains(":memory:") => Err(NO_MEMORY.to_owned()),
            Some(_) => Err("it is neither an SQLite nor a PostgreSQL URL".to_owned()),
            None => Err("it is not a URL".to_owned()),
        }
    }

    fn show(&self, value: &DatabaseUrl, _text: &str) -> String {
        value.to_string()
    }

    /// A refused URL may be broken just where its password is, so only what surely is none is shown.
    fn quote(&self, text: &str) -> String {
        match text.split_once("://") {
            Some(("sqlite", _)) => quoted(text),
            Some((scheme, _)) if is_word(scheme) => format!("{scheme}://{REDACTED}"),
            _ if text.contains(['@', '=']) => REDACTED.to_owned(),
            _ => quoted(text),
        }
    }
}

/// A PBX.
pub(super) struct AmiAddress;

impl Kind for AmiAddress {
    type Value = AmiUrl;

    fn allowed(&self) -> String {
        "ami://user:secret@host:5038 or amis://user:secret@host:5039; the port may be left out".to_owned()
    }

    fn read(&self, text: &str) -> Result<AmiUrl, String> {
        let url = Url::parse(text).map_err(|error| format!("{error}; {ENCODE_HINT}"))?;
        let address = Address::of_url(&url)?;
        let user = credential(url.username()).filter(|user| address::check_user(user).is_ok());
        let secret = url.password().and_then(credential).map(SecretString::from);
        let secret = secret.filter(|secret| address::check_secret(secret).is_ok());
        Ok(AmiUrl {
            address,
            user: user.ok_or("it has no user that could be sent")?,
            secret: secret.ok_or("it has no secret that could be sent")?,
        })
    }

    fn show(&self, value: &AmiUrl, _text: &str) -> String {
        value.address.to_string().replacen("://", &format!("://{}:***@", value.user), 1)
    }

    fn quote(&self, _text: &str) -> String {
        REDACTED.to_owned()
    }
}

/// The name of a PBX.
pub(super) struct PbxName;

impl Kind for PbxName {
    type Value = String;

    fn allowed(&self) -> String {
        address::NAME_ALLOWED.to_owned()
    }

    fn read(&self, text: &str) -> Result<String, String> {
        match address::check_name(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(address::NAME_ALLOWED) => Err("it is not such a name".to_owned()),
            Err(allowed) => Err(format!("it is not {allowed}")),
        }
    }
}

/// Certificates in PEM.
pub(super) struct Certificates;

impl Kind for Certificates {
    type Value = String;

    fn allowed(&self) -> String {
        address::CERTIFICATES_ALLOWED.to_owned()
    }

    fn read(&self, text: &str) -> Result<String, String> {
        address::certificates(text).map(|_| text.to_owned())
    }

    fn show(&self, value: &String, _text: &str) -> String {
        let count = address::certificates(value).map_or(0, |read| read.len());
        format!("{count} {}", if count == 1 { "certificate" } else { "certificates" })
    }

    /// Somebody may have put the wrong file here: a key.
    fn quote(&self, _text: &str) -> String {
        REDACTED.to_owned()
    }
}

fn read_sqlite(path: &str) -> Result<DatabaseUrl, String> {
    if path.contains(":memory:") {
        return Err(NO_MEMORY.to_owned());
    }
    if path.contains('?') {
        return Err("it has parameters, and onhook sets those itself".to_owned());
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| "its path is not UTF-8")?;
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return Err("its path is not that of a file".to_owned());
    }
    Ok(DatabaseUrl::Sqlite { path: PathBuf::from(path.as_ref()) })
}

fn read_postgres(text: &str) -> Result<DatabaseUrl, String> {
    match Url::parse(text) {
        Ok(url) if url.fragment().is_some() => Err(format!("it has a fragment; {ENCODE_HINT}")),
        Ok(_) => Ok(DatabaseUrl::Postgres { url: SecretString::from(text) }),
        Err(error) => Err(format!("{error}; {ENCODE_HINT}")),
    }
}

/// A URL that can be parsed, with its password masked, also where libpq's `?password=` holds it.
fn masked(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return REDACTED.to_owned() };
    // A URL without a host cannot hold a password either: nothing is lost if it cannot be set.
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return REDACTED.to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if pairs.iter().any(|(name, _)| name == "password") {
        let shown = pairs.iter().map(|(name, value)| (name, if name == "password" { "***" } else { value }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.to_string()
}

/// A user or secret as it is sent. A line break in it would begin another header of the manager protocol.
fn credential(encoded: &str) -> Option<String> {
    let text = percent_decode_str(encoded).decode_utf8().ok()?;
    let can_be_sent = !text.is_empty() && !text.chars().any(char::is_control);
    can_be_sent.then(|| text.into_owned())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

const NO_MEMORY: &str =
    "a database in memory forgets every call at the next start, and each connection would see another one";
const ENCODE_HINT: &str = "special characters in a password are written percent-encoded";
