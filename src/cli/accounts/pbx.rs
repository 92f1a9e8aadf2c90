//! PBXs among the accounts: added and changed only if they let the user log in, unless somebody knows better.

use super::{access, exists, list, secret, token};
use crate::{
    ami::{self, address},
    audit::Act,
    cli::{
        ami::{option_of, read_ca},
        desk::Desk,
        exit::{Exit, Stop},
        keys::require_tenant,
    },
    directory::{
        change,
        pbx::{Line, PbxFields, PbxSettings, Tried, try_login},
    },
    fields::{Wrong, Wrongs},
    store::{
        Db, StoreError,
        accounts::{self, Access, AccountRow},
        pbx::{self, PbxSettingRow},
    },
};
use anyhow::Result;
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use std::path::PathBuf;

/// How a PBX is reached.
#[derive(Args, Debug, Default)]
pub(super) struct Reach {
    /// Of a PBX: where it is, ami://host:5038 or amis://host:5039 with TLS
    #[arg(long, value_name = "URL", requires = "user")]
    pub url: Option<String>,
    /// Of a PBX: the user of its manager.conf
    #[arg(long, value_name = "NAME", requires = "url")]
    pub user: Option<String>,
    /// Of a PBX: a file that holds the secret of --user [default: standard input, asked for on a terminal]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Of a PBX: a file with the certificates (PEM) that its TLS is checked with [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
    /// Of a PBX: the country of numbers that it dials without a country code [default: ONHOOK_PHONE_REGION]
    #[arg(long, value_name = "US")]
    pub region: Option<String>,
}

impl Reach {
    /// Whether anything of a PBX is said.
    pub(super) const fn is_given(&self) -> bool {
        self.url.is_some() || self.secret_file.is_some() || self.region.is_some()
    }

    fn read(self, desk: &Desk) -> Result<PbxSettings> {
        let secret = match &self.url {
            Some(_) => Some(secret::read(&desk.out, self.secret_file.as_deref(), "secret: ")?),
            None => None,
        };
        let ca_pem = self.ca_file.as_deref().map(read_ca).transpose()?;
        let fields = PbxFields { url: self.url, user: self.user, secret, ca_pem, region: self.region };
        let mut wrongs = Wrongs::default();
        let settings = fields.read(None, &mut wrongs);
        wrongs.settle(settings).map_err(|wrongs| usage(&wrongs))
    }
}

fn usage(wrongs: &[Wrong]) -> anyhow::Error {
    let what: Vec<String> =
        wrongs.iter().map(|wrong| format!("--{} {}", option_of(&wrong.field), wrong.message)).collect();
    Stop::with(Exit::Usage, what.join("; "), "`onhook accounts add --help` shows an example")
}

/// Adds a PBX.
pub(super) async fn add(desk: &mut Desk, tenant: String, id: String, reach: Reach, no_check: bool) -> Result<Exit> {
    if let Err(allowed) = address::check_name(&id) {
        return Err(Stop::with(Exit::Usage, format!("--id {id:?} is not {allowed}"), "name the PBX, such as pbx1"));
    }
    if desk.config.ami_url.is_some() && desk.config.ami_name == id {
        let next = "ONHOOK_AMI_URL is a PBX of that name already; take another, or change ONHOOK_AMI_NAME";
        return Err(Stop::with(Exit::Failed, format!("the name {id} is taken by the configuration"), next));
    }
    let settings = reach.read(desk)?;
    check(desk, &settings, no_check).await?;
    let now_ms = desk.now_ms();
    let row = AccountRow {
        id,
        tenant,
        provider: ami::PROVIDER.to_owned(),
        verify: None,
        verify_until_ms: None,
        created_ms: now_ms,
        parent: None,
        api_base: settings.line.as_ref().map(|line| line.address.to_string()),
        api_key: settings.line.as_ref().map(|line| line.user.clone()),
    };
    desk.on_db(async |desk, db| {
        require_tenant(db, &row.tenant).await?;
        let access = seal(desk, &row.tenant, &row.id, settings.line.as_ref())?;
        let setting = setting_row(&row, &settings, now_ms);
        let mut tx = db.begin().await?;
        match change::add_pbx(&mut tx, &row, &access, &setting).await {
            Err(StoreError::Exists(_)) => {
                drop(tx);
                Err(exists(&row, accounts::find(db, &row.tenant, &row.id).await?.is_some()))
            }
            added => {
                added.and(tx.commit().await)?;
                let detail = json!({ "provider": row.provider, "url": row.api_base });
                desk.audit(db, &row.tenant, Act::AccountAdded, &row.id, detail).await;
                Ok(())
            }
        }
    })
    .await?;
    let shown = list::Shown { row, configured: false, stored: true };
    let row = &shown.row;
    desk.out.show(&shown.json(), || match &row.api_base {
        Some(url) => format!("added PBX {} to tenant {}; running servers connect to {url} within 60 seconds", row.id, row.tenant),
        None => format!(
            "added PBX {} to tenant {}; it pushes to /webhooks/ami?pbx={} with a key of the scope ingest (`onhook keys create`)",
            row.id, row.tenant, row.id
        ),
    })?;
    Ok(Exit::Ok)
}

/// Says how a PBX is reached; without `--url` it only pushes from now on.
pub(super) async fn set_access(
    desk: &mut Desk,
    db: &Db,
    row: &AccountRow,
    reach: Reach,
    no_check: bool,
) -> Result<AccountRow> {
    let settings = reach.read(desk)?;
    check(desk, &settings, no_check).await?;
    let access = seal(desk, &row.tenant, &row.id, settings.line.as_ref())?;
    let setting = setting_row(row, &settings, desk.now_ms());
    let mut tx = db.begin().await?;
    change::set_pbx(&mut tx, &row.tenant, &row.id, &access, &setting).await?;
    tx.commit().await?;
    changed(desk, db, row, &access).await;
    Ok(AccountRow { api_base: access.api_base, api_key: access.api_key, ..row.clone() })
}

/// Gives a PBX a new secret.
pub(super) async fn rotate(
    desk: &mut Desk,
    db: &Db,
    row: &AccountRow,
    file: Option<PathBuf>,
    no_check: bool,
) -> Result<()> {
    let address = row.api_base.as_deref().and_then(|base| address::Address::parse(base).ok());
    let Some((address, user)) = address.zip(row.api_key.clone()) else {
        let next = "it comes with a key of the scope ingest; `onhook keys create` makes one";
        return Err(Stop::with(Exit::Failed, format!("{} is not connected to: it only pushes", row.id), next));
    };
    let secret = secret::read(&desk.out, file.as_deref(), &format!("new secret of {user}: "))?;
    crate::directory::pbx::check_secret(&secret).map_err(|wrong| usage(&[wrong]))?;
    let ca_pem = pbx::find_setting(db, &row.tenant, &row.id).await?.and_then(|setting| setting.ca_pem);
    let settings = PbxSettings { line: Some(Line { address, user, secret, ca_pem }), region: None };
    check(desk, &settings, no_check).await?;
    let access = seal(desk, &row.tenant, &row.id, settings.line.as_ref())?;
    let mut tx = db.begin().await?;
    accounts::set_access(&mut tx, &row.tenant, &row.id, &access).await?;
    tx.commit().await?;
    changed(desk, db, row, &access).await;
    Ok(())
}

async fn changed(desk: &mut Desk, db: &Db, row: &AccountRow, access: &Access) {
    let detail = json!({ "url": access.api_base, "user": access.api_key });
    desk.audit(db, &row.tenant, Act::AccountAccessChanged, &row.id, detail).await;
}

/// The PBX must let the user log in.
async fn check(desk: &mut Desk, settings: &PbxSettings, no_check: bool) -> Result<()> {
    let Some(line) = settings.line.as_ref().filter(|_| !no_check) else { return Ok(()) };
    let rng = StdRng::from_rng(&mut desk.rng);
    let next = "nothing was changed; `onhook ami doctor --url …` says what to do; --no-check stores it all the same";
    match try_login(line, desk.clock.clone(), rng).await {
        Tried::Good(_) => Ok(()),
        Tried::Wrong { field, why } => {
            let what = format!("--{} is not right: failed to {why}", option_of(field.as_str()));
            Err(Stop::with(Exit::Failed, what, next))
        }
        Tried::Unavailable(why) => Err(Stop::with(Exit::Unavailable, format!("failed to {why}"), next)),
    }
}

fn seal(desk: &mut Desk, tenant: &str, id: &str, line: Option<&Line>) -> Result<Access> {
    let Some(line) = line else { return Ok(Access::default()) };
    // Only a secret needs the key that seals.
    token::sealer(desk)?;
    access::seal(desk, tenant, id, Some(line.address.to_string()), Some(&line.key()))
}

fn setting_row(row: &AccountRow, settings: &PbxSettings, now_ms: i64) -> PbxSettingRow {
    PbxSettingRow {
        tenant: row.tenant.clone(),
        account: row.id.clone(),
        ca_pem: settings.line.as_ref().and_then(|line| line.ca_pem.clone()),
        region: settings.region.clone(),
        updated_ms: now_ms,
    }
}
