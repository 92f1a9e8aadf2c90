//! Writing leads, one or many.

use super::{show, unknown};
use crate::{
    audit::Act,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        import::{Table, left_out},
        keys::require_tenant,
    },
    leads::{self, LeadText},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Create a lead or replace it
///
/// On an existing lead --status counts as written by hand: `new` makes it uncontacted until somebody speaks with it
/// again. Left out, the status stays; a name, phone or date that is left out is removed.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook leads put lead-42 --name 'Ann Example' --phone '+1 415 555 0101'")]
pub struct Put {
    #[command(flatten)]
    tenant: Tenant,
    /// Your own id of the lead
    id: String,
    /// Name for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Phone number, with its country code unless phone_region is set
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// Your word for its state; `new` leaves it to the contacts
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// When you last contacted it otherwise, RFC 3339
    #[arg(long, value_name = "TIME")]
    last_contacted_at: Option<String>,
}

/// Delete a lead; its calls keep its id
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook leads delete lead-42")]
pub struct Delete {
    #[command(flatten)]
    tenant: Tenant,
    /// Your own id of the lead
    id: String,
}

/// Import many leads
///
/// Columns: id (required), name, phone, status, last_contacted_at. What a row leaves out stays as it is. Importing the
/// same table again is safe.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook leads import leads.csv
  psql crm -c '\\copy (SELECT id, name, phone FROM leads) TO STDOUT WITH CSV HEADER' | onhook leads import -")]
pub struct Import {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    table: Table,
}

impl Put {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let text = LeadText {
            id: Some(self.id),
            name: self.name,
            phone: self.phone,
            status: self.status,
            last_contacted_at: self.last_contacted_at,
        };
        let tenant = &self.tenant.id;
        let write = text.read(tenant, desk.config.phone_region.as_deref(), desk.now_ms()).map_err(|wrongs| {
            let wrongs: Vec<String> = wrongs.iter().map(ToString::to_string).collect();
            Stop::with(Exit::Usage, wrongs.join("; "), "")
        })?;
        let (_, lead) = desk
            .on_db(async |_, db| {
                require_tenant(db, tenant).await?;
                Ok(leads::put(db, &write).await?)
            })
            .await?;
        show(desk, &lead)?;
        Ok(Exit::Ok)
    }
}

impl Delete {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, id, now_ms) = (&self.tenant.id, &self.id, desk.now_ms());
        let deleted = desk.on_existing_db(async |desk, db| {
            let deleted = leads::delete(db, tenant, id, now_ms).await?;
            if deleted {
                desk.audit(db, tenant, Act::LeadDeleted, id, json!({})).await;
            }
            Ok(deleted)
        });
        if !deleted.await? {
            return Err(unknown(tenant, id));
        }
        desk.out.show(&json!({ "id": id, "deleted": true }), || format!("deleted lead {id}"))?;
        Ok(Exit::Ok)
    }
}

impl Import {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (format, bytes) = self.table.read(desk.config.limits.import_bytes_max)?;
        let (tenant, now_ms) = (&self.tenant.id, desk.now_ms());
        let region = desk.config.phone_region.clone();
        let imported = desk
            .on_db(async |_, db| {
                require_tenant(db, tenant).await?;
                Ok(leads::import(db, tenant, region.as_deref(), now_ms, (format, &bytes)).await?)
            })
            .await?;
        let imported = imported.map_err(|bad| Stop::with(Exit::Failed, format!("failed to {bad}"), ""))?;
        let leads::Imported { created, updated, failed, .. } = imported;
        desk.out.show(&imported, || format!("{created} leads created, {updated} updated, {failed} rows left out"))?;
        Ok(left_out(&desk.out, failed, &imported.errors))
    }
}
