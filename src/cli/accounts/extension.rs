//! `onhook accounts extension`: whose the extensions of a PBX are.

use super::{require_account, unknown};
use crate::{
    ami,
    audit::Act,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        out::or_dash,
        page::Page,
        view::{moment, second},
    },
    domain::id::DEFAULT_TENANT,
    fields::{self, WORD_BYTES_MAX},
    store::{
        Db,
        extensions::{self, PbxExtension},
    },
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Say whose the extensions of a PBX are: calls on them carry the user
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  onhook accounts extension set pbx1 204 ann
  onhook accounts extension list pbx1")]
pub enum Extension {
    Set(Set),
    Remove(Remove),
    List(List),
}

/// Say whose an extension is; calls that begin from now on carry it
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts extension set pbx1 204 ann")]
pub struct Set {
    #[command(flatten)]
    tenant: Tenant,
    /// The PBX
    account: String,
    /// Its number or name there
    #[arg(value_parser = word)]
    extension: String,
    /// Your id of the user
    #[arg(value_parser = word)]
    user_id: String,
}

/// Say that an extension is nobody's
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts extension remove pbx1 204")]
pub struct Remove {
    #[command(flatten)]
    tenant: Tenant,
    /// The PBX
    account: String,
    /// Its number or name there
    #[arg(value_parser = word)]
    extension: String,
}

/// List the extensions that somebody owns or that the PBX has spoken of
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts extension list pbx1")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// The PBX
    account: String,
    #[command(flatten)]
    page: Page,
}

impl Extension {
    /// Does it.
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        match self {
            Self::Set(set) => set.run(desk).await,
            Self::Remove(remove) => remove.run(desk).await,
            Self::List(list) => list.run(desk).await,
        }
    }
}

impl Set {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let Self { tenant, account, extension, user_id } = &self;
        desk.on_existing_db(async |desk, db| {
            require_pbx(desk, db, &tenant.id, account).await?;
            let mut tx = db.begin().await?;
            extensions::put_user(&mut tx, (&tenant.id, account), extension, Some(user_id)).await?;
            tx.commit().await?;
            let detail = json!({ "extension": extension, "user_id": user_id });
            desk.audit(db, &tenant.id, Act::ExtensionChanged, account, detail).await;
            Ok(())
        })
        .await?;
        let value = json!({ "account": account, "extension": extension, "user_id": user_id });
        desk.out.show(&value, || format!("{extension} of {account} is {user_id}'s"))?;
        Ok(Exit::Ok)
    }
}

impl Remove {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let Self { tenant, account, extension } = &self;
        let gone = desk
            .on_existing_db(async |desk, db| {
                require_pbx(desk, db, &tenant.id, account).await?;
                let mut tx = db.begin().await?;
                let gone = extensions::delete_user(&mut tx, (&tenant.id, account), extension).await?;
                tx.commit().await?;
                if gone > 0 {
                    let detail = json!({ "extension": extension, "user_id": null });
                    desk.audit(db, &tenant.id, Act::ExtensionChanged, account, detail).await;
                }
                Ok(gone)
            })
            .await?;
        if gone == 0 {
            let next = format!("`onhook accounts extension list {account}` shows those there are");
            return Err(Stop::not_found(format!("user of extension {extension} of {account}"), next));
        }
        let value = json!({ "account": account, "extension": extension, "removed": true });
        desk.out.show(&value, || format!("{extension} of {account} is nobody's"))?;
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, account) = (self.tenant.id.as_str(), self.account.as_str());
        let listed = desk
            .on_existing_db(async |desk, db| {
                require_pbx(desk, db, tenant, account).await?;
                let fetch = async |after: Option<&str>, limit| {
                    extensions::list_of_pbx(db, (tenant, account), after.unwrap_or_default(), limit).await
                };
                self.page.collect(|row: &PbxExtension| row.extension.clone(), fetch).await
            })
            .await?;
        listed.show(&desk.out, json_of, &["extension", "user", "phone", "since"], line_of)?;
        Ok(Exit::Ok)
    }
}

fn json_of(row: &PbxExtension) -> Value {
    json!({
        "account": row.account, "extension": row.extension, "user_id": row.user_id, "device": row.device,
        "device_at": moment(row.device_ms),
    })
}

fn line_of(row: &PbxExtension) -> Vec<String> {
    let (user, device) = (or_dash(row.user_id.as_ref()), or_dash(row.device.as_ref()));
    vec![row.extension.clone(), user, device, or_dash(row.device_ms.map(second))]
}

/// The PBX must be there, stored or configured.
async fn require_pbx(desk: &Desk, db: &Db, tenant: &str, account: &str) -> Result<()> {
    if tenant == DEFAULT_TENANT && desk.config.ami_url.is_some() && desk.config.ami_name == account {
        return Ok(());
    }
    match require_account(desk, db, tenant, account).await?.provider.as_str() {
        ami::PROVIDER => Ok(()),
        _ => Err(unknown(desk, tenant, account)),
    }
}

fn word(text: &str) -> Result<String, String> {
    fields::line("it", text, 1..=WORD_BYTES_MAX).map_err(|wrong| wrong.message)
}
