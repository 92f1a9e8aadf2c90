//! Which PBX a command speaks with: one that is named with all it takes, the configuration's, or a stored one.

use crate::{
    ami::{self, address::Address},
    app,
    cli::{
        accounts::secret,
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        tokens,
    },
    config::DatabaseUrl,
    directory::pbx::{Line, PbxFields},
    domain::id::DEFAULT_TENANT,
    fields::Wrongs,
    store::{Db, pbx},
};
use anyhow::Result;
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which one.
#[derive(Args, Debug)]
pub(super) struct Which {
    #[command(flatten)]
    pub tenant: Tenant,
    /// The PBX, by its name [default: the only one there is]
    #[arg(value_name = "ACCOUNT", conflicts_with = "url")]
    pub account: Option<String>,
    /// One that need not be known here: ami://host:5038, or amis://host:5039 with TLS
    #[arg(long, value_name = "URL", requires = "user")]
    pub url: Option<String>,
    /// The user of its manager.conf
    #[arg(long, value_name = "NAME", requires = "url")]
    pub user: Option<String>,
    /// A file that holds the secret of --user [default: standard input, asked for on a terminal]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub secret_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that its TLS is checked with [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// A PBX that can be spoken with.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Its name; of one that is not known here its address.
    pub name: String,
    /// How it is reached.
    pub line: Line,
}

impl Which {
    /// All that are meant: one, or without a name all of the tenant.
    pub(super) async fn find(&self, desk: &mut Desk) -> Result<Vec<Known>> {
        if let Some(url) = self.url.clone() {
            let secret = secret::read(&desk.out, self.secret_file.as_deref(), "secret: ")?;
            let ca_pem = self.ca_file.as_deref().map(read_ca).transpose()?;
            let fields =
                PbxFields { url: Some(url), user: self.user.clone(), secret: Some(secret), ca_pem, region: None };
            let line = read(fields)?;
            return Ok(vec![Known { name: line.address.to_string(), line }]);
        }
        let mut known = all(desk, &self.tenant.id).await?;
        if let Some(account) = &self.account {
            known.retain(|known| known.name == *account);
        }
        if known.is_empty() {
            let what = match &self.account {
                Some(account) => format!("PBX {account} of tenant {} that is connected to", self.tenant.id),
                None => "PBX that is connected to".to_owned(),
            };
            let next = "`onhook accounts list` shows the accounts; `onhook accounts add --provider asterisk …` adds one; \
                        --url names one that is not known here";
            return Err(Stop::not_found(what, next));
        }
        Ok(known)
    }

    /// The one that is meant.
    pub(super) async fn find_one(&self, desk: &mut Desk) -> Result<Known> {
        let mut known = self.find(desk).await?;
        if known.len() > 1 {
            let names: Vec<String> = known.iter().map(|known| known.name.clone()).collect();
            let what = format!("there are {} PBXs", names.len());
            return Err(Stop::with(Exit::Usage, what, format!("name one of: {}", names.join(", "))));
        }
        known.pop().ok_or_else(|| Stop::not_found("PBX", "`onhook accounts list` shows those there are"))
    }
}

/// The fields of the command line, read.
fn read(fields: PbxFields) -> Result<Line> {
    let mut wrongs = Wrongs::default();
    let settings = fields.read(None, &mut wrongs);
    let said = |wrongs: Vec<crate::fields::Wrong>| {
        let what: Vec<String> =
            wrongs.iter().map(|wrong| format!("--{} {}", option_of(&wrong.field), wrong.message)).collect();
        Stop::with(Exit::Usage, what.join("; "), "--help shows an example")
    };
    let line = wrongs.settle(settings).map_err(said)?.line;
    line.ok_or_else(|| Stop::with(Exit::Usage, "--url is missing", "--help shows an example"))
}

/// How the command line calls a field.
pub(in crate::cli) fn option_of(field: &str) -> &str {
    match field {
        "ca_pem" => "ca-file",
        "secret" => "secret-file",
        field => field,
    }
}

/// The text of a file with certificates.
pub(in crate::cli) fn read_ca(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| tokens::unreadable(path, &error))
}

/// Every PBX of a tenant that is connected to: the configuration's, and those that are stored.
pub(super) async fn all(desk: &mut Desk, tenant: &str) -> Result<Vec<Known>> {
    let configured = desk.config.ami_url.clone().filter(|_| tenant == DEFAULT_TENANT).map(|url| Known {
        name: desk.config.ami_name.clone(),
        line: Line { address: url.address, user: url.user, secret: url.secret, ca_pem: desk.config.ami_ca.clone() },
    });
    let is_missing = matches!(&desk.config.database_url, DatabaseUrl::Sqlite { path } if !path.exists());
    let mut known: Vec<Known> = configured.into_iter().collect();
    if is_missing {
        return Ok(known);
    }
    match desk.on_existing_db(async |desk, db| stored(desk, db, tenant).await).await {
        Ok(stored) => {
            let unknown = stored.into_iter().filter(|stored| !known.iter().any(|known| known.name == stored.name));
            let unknown: Vec<Known> = unknown.collect();
            known.extend(unknown);
        }
        Err(error) if known.is_empty() => return Err(error),
        Err(error) => desk.out.note(format!("warning: stored PBXs are left out: failed to {error}")),
    }
    Ok(known)
}

async fn stored(desk: &mut Desk, db: &Db, tenant: &str) -> Result<Vec<Known>> {
    let clock = desk.clock.clone();
    let directory = app::directory(&desk.config, db.clone(), clock, &mut desk.rng)?;
    let mut known = Vec::new();
    for account in directory.accounts_of(tenant).await.iter().filter(|account| account.provider == ami::PROVIDER) {
        let address = account.api_base.as_ref().and_then(|base| Address::of_url(base).ok());
        let Some((address, key)) = address.zip(account.api_keys.first().cloned()) else { continue };
        let ca_pem = pbx::find_setting(db, tenant, &account.id).await?.and_then(|setting| setting.ca_pem);
        known.push(Known {
            name: account.id.clone(),
            line: Line { address, user: key.sid, secret: key.secret, ca_pem },
        });
    }
    Ok(known)
}
