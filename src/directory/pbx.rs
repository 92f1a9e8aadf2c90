//! What is set for a PBX, and whether it takes our user and secret: it is logged in to before it is added or changed, so
//! that nobody stores what cannot work, and nobody claims a PBX that is not his.
//!
//! Any host may be named: a PBX stands in a private network, and that is the normal case. So that a gateway is no tool to
//! look around there, nothing is sent before the banner of Asterisk has come, and the answer says no more than a word of why.

use super::ApiKey;
use crate::{
    ami::{
        address::{self, Address},
        client::{Client, Down, DownKind, Parts, Patience, Room, Target, Told, Up},
    },
    clock::SharedClock,
    domain::words,
    fields::{Wrong, Wrongs},
};
use rand::rngs::StdRng;
use secrecy::SecretString;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a PBX is reached.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it is.
    pub address: Address,
    /// The user of `manager.conf`.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
    /// Certificates (PEM) to check its TLS with, in place of the system's.
    pub ca_pem: Option<String>,
}

/// What is set for a PBX. Without a line it only pushes.
#[derive(Clone, Debug)]
pub struct PbxSettings {
    /// How it is reached.
    pub line: Option<Line>,
    /// The country of numbers that are dialed without a country code.
    pub region: Option<String>,
}

/// The fields of it as people write them.
#[derive(Debug, Default)]
pub struct PbxFields {
    /// `ami://host:5038` or `amis://host:5039`.
    pub url: Option<String>,
    /// The user of `manager.conf`.
    pub user: Option<String>,
    /// Its secret.
    pub secret: Option<SecretString>,
    /// Certificates in PEM.
    pub ca_pem: Option<String>,
    /// A country, such as `US`.
    pub region: Option<String>,
}

impl PbxFields {
    /// Reads them. `stored` is what the PBX has: its secret stays if none is given, but only for that address and user, so
    /// that nobody has it sent to a host of his own.
    pub fn read(self, stored: Option<&Line>, wrongs: &mut Wrongs) -> Option<PbxSettings> {
        let region = wrongs.take(self.region.map(|text| region(&text)).transpose());
        let Some(url) = self.url else {
            let set =
                [("user", self.user.is_some()), ("secret", self.secret.is_some()), ("ca_pem", self.ca_pem.is_some())];
            for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
                let why = "is of no use without url; leave both out for a PBX that only pushes";
                wrongs.take::<()>(Err(Wrong::new(field, why)));
            }
            return Some(PbxSettings { line: None, region: region? });
        };
        let address = Address::parse(&url)
            .map_err(|why| Wrong::new("url", format!("cannot be read: {why}; allowed: {}", Address::ALLOWED)));
        let address = wrongs.take(address);
        let user = wrongs.take(user(self.user));
        let kept = stored.filter(|line| Some(&line.address) == address.as_ref() && Some(&line.user) == user.as_ref());
        let secret =
            wrongs.take(secret(self.secret.or_else(|| kept.map(|line| line.secret.clone())), stored.is_some()));
        let ca_pem = wrongs.take(self.ca_pem.map(|pem| certificates(pem, address.as_ref())).transpose());
        let line = Line { address: address?, user: user?, secret: secret?, ca_pem: ca_pem? };
        Some(PbxSettings { line: Some(line), region: region? })
    }
}

impl Line {
    /// The same with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: SecretString) -> Self {
        Self { secret, ..self.clone() }
    }

    /// User and secret as they are stored.
    pub fn key(&self) -> ApiKey {
        ApiKey { sid: self.user.clone(), secret: self.secret.clone() }
    }

    /// As the client needs it.
    pub fn target(&self) -> Target {
        let Self { address: Address { tls, host, port }, user, secret, ca_pem } = self.clone();
        Target { host, port, tls, user, secret, ca_pem }
    }
}

fn user(text: Option<String>) -> Result<String, Wrong> {
    let text = text.ok_or_else(|| Wrong::new("user", "is missing: the user of manager.conf to log in as"))?;
    address::check_user(&text).map_err(|allowed| Wrong::new("user", format!("is not {allowed}")))?;
    Ok(text)
}

fn secret(text: Option<SecretString>, is_stored: bool) -> Result<SecretString, Wrong> {
    let missing = match is_stored {
        true => "is missing: the stored one stays only as long as url and user do",
        false => "is missing: that of the user in manager.conf",
    };
    let text = text.ok_or_else(|| Wrong::new("secret", missing))?;
    check_secret(&text)?;
    Ok(text)
}

/// Whether it can be sent. The value is never in the message.
pub fn check_secret(secret: &SecretString) -> Result<(), Wrong> {
    address::check_secret(secret).map_err(|allowed| Wrong::new("secret", format!("is not {allowed}")))
}

fn certificates(pem: String, address: Option<&Address>) -> Result<String, Wrong> {
    if address.is_some_and(|address| !address.tls) {
        return Err(Wrong::new("ca_pem", "is for amis:// only: nothing is encrypted to ami://"));
    }
    let allowed = address::CERTIFICATES_ALLOWED;
    match address::certificates(&pem) {
        Ok(_) => Ok(pem),
        Err(why) => Err(Wrong::new("ca_pem", format!("cannot be taken: {why}; allowed: {allowed}"))),
    }
}

fn region(text: &str) -> Result<String, Wrong> {
    match text.parse::<phonenumber::country::Id>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::new("region", "is not a country in two capital letters, such as US or DE")),
    }
}

/// What a login came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was accepted.
    Good(Box<Up>),
    /// It cannot work as it is; says which field is to blame.
    Wrong {
        /// The field.
        field: Field,
        /// Why; completes "failed to …".
        why: String,
    },
    /// The PBX could not be asked; completes "failed to …".
    Unavailable(String),
}

words! {
    /// A field of a PBX that a login shows to be wrong.
    pub enum Field {
        /// Where it is.
        Url = "url",
        /// User or secret.
        Secret = "secret",
        /// Whose certificates are trusted.
        Certificates = "ca_pem",
    }
}

/// Logs in and off again.
pub async fn try_login(line: &Line, clock: SharedClock, rng: StdRng) -> Tried {
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let parts = Parts { target: line.target(), patience: PATIENCE, room: ROOM, clock, rng, stop: stop.clone() };
    let (client, mut told) = Client::start(parts);
    let first = tokio::time::timeout(TRY_WITHIN, told.recv()).await;
    stop.cancel();
    let _ = tokio::time::timeout(LOG_OFF_WITHIN, client.ended()).await;
    match first {
        Ok(Some(Told::Up(up))) => Tried::Good(Box::new(up)),
        Ok(Some(Told::Down(down))) => judge(down),
        Ok(_) => Tried::Unavailable("log in to the PBX: the connection ended".to_owned()),
        Err(_) => Tried::Unavailable(format!("log in to the PBX within {} s", TRY_WITHIN.as_secs())),
    }
}

fn judge(down: Down) -> Tried {
    let Down { kind, detail: why, .. } = down;
    match kind {
        DownKind::Refused => Tried::Wrong { field: Field::Secret, why },
        DownKind::Tls => Tried::Wrong { field: Field::Certificates, why },
        DownKind::Garbage => Tried::Wrong { field: Field::Url, why },
        DownKind::Unreachable | DownKind::Closed | DownKind::Silent | DownKind::Behind | DownKind::Stopped => {
            Tried::Unavailable(why)
        }
    }
}

/// Somebody waits for the answer.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(5),
    list: Duration::from_secs(5),
    ping_every: Duration::from_secs(10),
    pong: Duration::from_secs(5),
    boot: Duration::from_secs(5),
    retry: Duration::from_secs(60),
    retry_longest: Duration::from_secs(60),
    refused_longest: Duration::from_secs(60),
    idle: Duration::from_secs(10),
};
/// It hears events for a moment, and nobody takes them out.
const ROOM: Room = Room { messages: 10_000, bytes: 16 * 1024 * 1024 };
const TRY_WITHIN: Duration = Duration::from_secs(15);
const LOG_OFF_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(url: &str, user: &str, secret: Option<&str>) -> PbxFields {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PbxFields { url: text(url), user: text(user), secret: secret.map(Into::into), ..PbxFields::default() }
    }

    fn read(fields: PbxFields, stored: Option<&Line>) -> Result<PbxSettings, Vec<String>> {
        let mut wrongs = Wrongs::default();
        let read = fields.read(stored, &mut wrongs);
        wrongs.settle(read).map_err(|wrongs| wrongs.into_iter().map(|wrong| wrong.field).collect())
    }

    #[test]
    fn a_pbx_is_connected_to_or_only_pushes() {
        let line = read(fields("amis://pbx", "onhook", Some("s")), None).unwrap().line.unwrap();
        let target = line.target();
        assert_eq!((target.host.as_str(), target.port, target.tls), ("pbx", 5039, true));
        assert_eq!((target.user.as_str(), line.key().sid.as_str()), ("onhook", "onhook"));
        let pushes = read(PbxFields { region: Some("DE".into()), ..PbxFields::default() }, None).unwrap();
        assert_eq!((pushes.line.is_none(), pushes.region.as_deref()), (true, Some("DE")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, wrong) in [
            (fields("", "onhook", Some("s")), vec!["user", "secret"]),
            (fields("ami://pbx", "", None), vec!["user", "secret"]),
            (fields("http://pbx", "on]hook", Some("a\nb")), vec!["url", "user", "secret"]),
            (PbxFields { ca_pem: Some("x".into()), ..fields("ami://pbx", "u", Some("s")) }, vec!["ca_pem"]),
            (PbxFields { ca_pem: Some("x".into()), ..fields("amis://pbx", "u", Some("s")) }, vec!["ca_pem"]),
            (PbxFields { ca_pem: Some("x".into()), ..PbxFields::default() }, vec!["ca_pem"]),
            (PbxFields { region: Some("Germany".into()), ..PbxFields::default() }, vec!["region"]),
        ] {
            let shown = format!("{given:?}");
            assert_eq!(read(given, None).map(drop), Err(wrong.into_iter().map(str::to_owned).collect()), "{shown}");
        }
    }

    #[test]
    fn the_stored_secret_stays_with_its_address_and_user() {
        let stored = read(fields("ami://pbx", "onhook", Some("s")), None).unwrap().line.unwrap();
        assert!(read(fields("ami://pbx:5038", "onhook", None), Some(&stored)).is_ok());
        for (url, user) in [
            ("ami://elsewhere", "onhook"),
            ("ami://pbx", "other"),
            ("ami://pbx:99", "onhook"),
            ("amis://pbx:5038", "onhook"),
        ] {
            assert_eq!(
                read(fields(url, user, None), Some(&stored)).map(drop),
                Err(vec!["secret".to_owned()]),
                "{url} {user}"
            );
        }
    }

    #[test]
    fn a_failed_login_blames_the_field_that_can_be_mended() {
        let of = |kind| judge(Down { kind, detail: "x".into(), heard_ms: None, retry_ms: 0 });
        for (kind, field) in
            [(DownKind::Refused, Field::Secret), (DownKind::Tls, Field::Certificates), (DownKind::Garbage, Field::Url)]
        {
            assert_eq!(of(kind), Tried::Wrong { field, why: "x".into() });
        }
        assert_eq!(of(DownKind::Unreachable), Tried::Unavailable("x".into()));
    }
}
