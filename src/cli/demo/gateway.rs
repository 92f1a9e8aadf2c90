//! The gateway of the demonstration: on a temporary database, with a Twilio account of its own, and deaf to the
//! settings of this machine.

use super::twilio::Twilio;
use crate::{
    app::App,
    cli::{
        desk::system_rng,
        exit::{Exit, Stop},
    },
    clock::SystemClock,
    config::{Config, Sources},
    telemetry::{self, LogFormat},
};
use anyhow::{Context, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::{Rng, SeedableRng, rngs::StdRng};
use secrecy::{ExposeSecret, SecretString};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A gateway that is built, with what is needed to speak to it.
pub struct Gateway {
    /// The gateway.
    pub app: App,
    /// Its first key.
    pub key: String,
    /// The token that webhooks are signed with.
    pub token: SecretString,
    /// Whom it asks about its calls.
    pub twilio: Twilio,
    /// Where its database is; removed with the value.
    pub folder: Folder,
}

impl Gateway {
    /// Builds it. With `ami_url` it listens to the PBX there.
    pub async fn build(ami_url: Option<&str>) -> Result<Self> {
        let mut rng = system_rng();
        let folder = Folder::make(&mut rng)?;
        let token = SecretString::from(format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()));
        let twilio = Twilio::start(&token)?;
        let database = folder.0.join("demo.db");
        let flags = [
            ("database_url", format!("sqlite://{}", encoded(&database))),
            ("listen", "127.0.0.1:0".to_owned()),
            ("twilio.account_sid", ACCOUNT_SID.to_owned()),
            ("twilio.auth_token", token.expose_secret().to_owned()),
            ("twilio.api_base", twilio.base().to_owned()),
            // What is lost is missed at once: nobody watches for a minute.
            ("sweep.interval", "1s".to_owned()),
            ("sweep.check_after.ringing", "3s".to_owned()),
            ("sweep.check_after.answered", "3s".to_owned()),
            ("log", "error".to_owned()),
        ];
        let pbx = ami_url.map(|url| [("ami_url", url.to_owned()), ("ami_name", "pbx1".to_owned())]);
        let flags = flags.into_iter().chain(pbx.into_iter().flatten());
        let flags = flags.map(|(key, value)| (key.to_owned(), value)).collect();
        let config = Config::load(Sources { flags, ..Sources::default() })?.config;
        telemetry::init_tracing(&config.log, LogFormat::Text)?;
        let app = App::build(config, Arc::new(SystemClock), StdRng::from_rng(&mut rng)).await?;
        let key = app.first_key().map(|key| key.expose_secret().to_owned());
        let key = key.ok_or_else(|| Stop::with(Exit::Failed, "the new database has a key already", ""))?;
        Ok(Self { app, key, token, twilio, folder })
    }
}

/// A folder that is removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    fn make(rng: &mut StdRng) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("onhook-demo-{:016x}", rng.next_u64()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a temporary folder is the system's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as a database URL writes it.
fn encoded(path: &Path) -> String {
    utf8_percent_encode(&path.to_string_lossy(), PATH).to_string()
}

const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
/// A made-up account.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000de0";
