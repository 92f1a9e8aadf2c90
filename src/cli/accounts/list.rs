//! `onhook accounts list`: the stored accounts, and that of the configuration.

use crate::{
    ami,
    cli::{
        desk::{Desk, Tenant},
        exit::Exit,
        out::or_dash,
        page::Page,
        view::{moment, second},
    },
    domain::{id::DEFAULT_TENANT, time::rfc3339},
    store::{
        Db, StoreError,
        accounts::{self, AccountRow},
    },
};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// List the accounts
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts list")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    page: Page,
}

/// An account as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// It; of one that is not stored what the configuration says.
    pub row: AccountRow,
    /// Whether it is that of TWILIO_ACCOUNT_SID.
    pub configured: bool,
    /// Whether the database has it.
    pub stored: bool,
}

impl Shown {
    pub(super) fn json(&self) -> serde_json::Value {
        let row = &self.row;
        json!({
            "id": row.id, "tenant": row.tenant, "provider": row.provider, "verify": row.verify,
            "verify_until": moment(row.verify_until_ms), "parent": row.parent, "api_base": row.api_base,
            "api_key": row.api_key, "configured": self.configured,
            "created_at": self.stored.then(|| rfc3339(row.created_ms)),
        })
    }

    fn line(&self) -> Vec<String> {
        let row = &self.row;
        let (until, created) = (row.verify_until_ms.map(second), self.stored.then(|| second(row.created_ms)));
        let (parent, verify) = (or_dash(row.parent.as_ref()), or_dash(row.verify.as_ref()));
        vec![row.id.clone(), row.provider.clone(), parent, verify, or_dash(until), or_dash(created)]
    }
}

impl List {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = self.tenant.id.as_str();
        let configured = desk.config.twilio.account_sid.clone().filter(|_| tenant == DEFAULT_TENANT);
        let pbx = desk.config.ami_url.as_ref().filter(|_| tenant == DEFAULT_TENANT).map(|url| AccountRow {
            id: desk.config.ami_name.clone(),
            tenant: tenant.to_owned(),
            provider: ami::PROVIDER.to_owned(),
            verify: None,
            verify_until_ms: None,
            created_ms: 0,
            parent: None,
            api_base: Some(url.address.to_string()),
            api_key: Some(url.user.clone()),
        });
        let twilio = configured.map(|id| AccountRow {
            id,
            tenant: tenant.to_owned(),
            provider: "twilio".to_owned(),
            verify: Some(desk.config.verify.as_str().to_owned()),
            verify_until_ms: None,
            created_ms: 0,
            parent: None,
            api_base: None,
            api_key: desk.config.twilio.api_key.clone(),
        });
        let of_configuration: Vec<AccountRow> = twilio.into_iter().chain(pbx).collect();
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch = async |after: Option<&str>, limit| {
                    page(db, tenant, &of_configuration, after.unwrap_or_default(), limit).await
                };
                self.page.collect(|shown| shown.row.id.clone(), fetch).await
            })
            .await?;
        listed.show(
            &desk.out,
            Shown::json,
            &["id", "provider", "parent", "verify", "until", "created"],
            Shown::line,
        )?;
        for row in of_configuration.iter().filter(|_| !desk.out.is_json()) {
            if !listed.rows.iter().any(|shown| shown.stored && shown.row.id == row.id) {
                let by = if row.provider == ami::PROVIDER { "ONHOOK_AMI_URL" } else { "TWILIO_ACCOUNT_SID" };
                desk.out.note(format!("configured by {by}, not stored: {}", row.id));
            }
        }
        Ok(Exit::Ok)
    }
}

/// A page by id, with the configured accounts at their places.
async fn page(
    db: &Db,
    tenant: &str,
    configured: &[AccountRow],
    after: &str,
    limit: i64,
) -> Result<Vec<Shown>, StoreError> {
    let is_configured = |row: &AccountRow| configured.iter().any(|configured| configured.id == row.id);
    let rows = accounts::list(db, tenant, after, limit).await?;
    let shown = rows.into_iter().map(|row| Shown { configured: is_configured(&row), row, stored: true });
    let mut shown: Vec<Shown> = shown.collect();
    for row in configured.iter().filter(|row| row.id.as_str() > after) {
        // Where it is beyond this page, the page is cut before it, and the next one has it.
        if accounts::find(db, tenant, &row.id).await?.is_none() {
            shown.push(Shown { row: row.clone(), configured: true, stored: false });
        }
    }
    shown.sort_by(|a, b| a.row.id.cmp(&b.row.id));
    shown.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(shown)
}
