//! `onhook do-not-call`: numbers that no run dials.

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    import::{Table, left_out},
    keys::require_tenant,
    out::or_dash,
    page::Page,
    view::second,
};
use crate::{
    audit::Act,
    domain::{phone::mask, time::rfc3339},
    fields,
    runs::do_not_call::{self as room, DoNotCallText, Imported},
    store::do_not_call::{self, DoNotCallRow},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Numbers that no run dials, directly in the configured database (works beside a running server)
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook do-not-call add +14155550101 --reason 'asked not to be called'")]
pub enum DoNotCall {
    Add(Add),
    Remove(Remove),
    List(List),
    Import(Import),
}

/// Put a number on the list, or give it another reason
///
/// It counts from the next job that is handed out; a call that is under way goes on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook do-not-call add +14155550101
  onhook do-not-call add +14155550101 --reason 'asked not to be called'")]
pub struct Add {
    #[command(flatten)]
    tenant: Tenant,
    /// The number, with its country code unless phone_region is set
    number: String,
    /// Why, up to 500 bytes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Take a number off the list
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook do-not-call remove +14155550101")]
pub struct Remove {
    #[command(flatten)]
    tenant: Tenant,
    /// The number, with its country code unless phone_region is set
    number: String,
}

/// List the numbers
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook do-not-call list --json")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    page: Page,
}

/// Put many numbers on the list
///
/// Columns: number (required), reason. Importing the same table again is safe.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook do-not-call import numbers.csv
  psql crm -c '\\copy (SELECT number FROM optout) TO STDOUT WITH CSV HEADER' | onhook do-not-call import -")]
pub struct Import {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    table: Table,
}

impl DoNotCall {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Add(add) => add.run(&mut desk).await,
            Self::Remove(remove) => remove.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Import(import) => import.run(&mut desk).await,
        }
    }
}

impl Add {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let text = DoNotCallText { number: Some(self.number), reason: self.reason };
        let number = text.read(desk.config.phone_region.as_deref()).map_err(|wrongs| {
            let wrongs: Vec<String> = wrongs.iter().map(ToString::to_string).collect();
            Stop::with(Exit::Usage, wrongs.join("; "), "write the number with its country code, such as +14155550101")
        })?;
        let (tenant, clock) = (&self.tenant.id, desk.clock.clone());
        let (new, row) = desk
            .on_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                let put = room::put(db, &*clock, tenant, &number).await?;
                desk.audit(db, tenant, Act::DoNotCallAdded, &mask(&number.e164), json!({})).await;
                Ok(put)
            })
            .await?;
        let what = if new { "is on the list now" } else { "was on the list" };
        desk.out.show(&view(&row), || format!("{} {what}", row.phone_e164))?;
        Ok(Exit::Ok)
    }
}

impl Remove {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let e164 = fields::phone("number", &self.number, desk.config.phone_region.as_deref());
        let e164 = e164.map_err(|wrong| Stop::with(Exit::Usage, wrong.to_string(), ""))?;
        let tenant = &self.tenant.id;
        let removed = desk
            .on_existing_db(async |desk, db| {
                let removed = room::remove(db, tenant, &e164).await?;
                if removed {
                    desk.audit(db, tenant, Act::DoNotCallRemoved, &mask(&e164), json!({})).await;
                }
                Ok(removed)
            })
            .await?;
        if !removed {
            let next = "`onhook do-not-call list` shows the numbers there are";
            return Err(Stop::not_found(format!("number {e164} on the do-not-call list of tenant {tenant}"), next));
        }
        desk.out.show(&json!({ "number": e164, "removed": true }), || format!("{e164} is off the list"))?;
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch = async |after: Option<&str>, limit| {
                    do_not_call::list(db, tenant, after.unwrap_or_default(), limit).await
                };
                self.page.collect(|row| row.phone_e164.clone(), fetch).await
            })
            .await?;
        let line =
            |row: &DoNotCallRow| vec![row.phone_e164.clone(), or_dash(row.reason.as_ref()), second(row.created_ms)];
        listed.show(&desk.out, view, &["number", "reason", "since"], line)?;
        Ok(Exit::Ok)
    }
}

impl Import {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (format, bytes) = self.table.read(desk.config.limits.import_bytes_max)?;
        let (tenant, clock) = (&self.tenant.id, desk.clock.clone());
        let region = desk.config.phone_region.clone();
        let imported = desk
            .on_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                let imported = room::import(db, &*clock, (tenant, region.as_deref()), (format, &bytes)).await?;
                if let Ok(Imported { created, existing, failed, .. }) = &imported {
                    let detail = json!({ "created": created, "existing": existing, "failed": failed });
                    desk.audit(db, tenant, Act::DoNotCallImported, "import", detail).await;
                }
                Ok(imported)
            })
            .await?;
        let imported = imported.map_err(|bad| Stop::with(Exit::Failed, format!("failed to {bad}"), ""))?;
        let Imported { created, existing, failed, .. } = imported;
        desk.out.show(&imported, || {
            format!("{created} numbers are new on the list, {existing} were on it, {failed} rows left out")
        })?;
        Ok(left_out(&desk.out, failed, &imported.errors))
    }
}

/// A number as the REST API shows it.
fn view(row: &DoNotCallRow) -> Value {
    json!({ "number": row.phone_e164, "reason": row.reason, "created_at": rfc3339(row.created_ms) })
}
