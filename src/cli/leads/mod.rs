//! `onhook leads`: the people the calls are about.

mod forget;
mod write;

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    out::or_dash,
    page::Page,
    view::{self, second},
};
use crate::{
    fields,
    store::leads::{self, LeadFilter, LeadRead},
};
use anyhow::Result;
use clap::{Args, Subcommand};

/// Look at and write leads, directly in the configured database (works beside a running server)
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook leads show lead-42")]
pub enum Leads {
    List(List),
    Show(Show),
    Put(write::Put),
    Delete(write::Delete),
    Import(write::Import),
    Forget(forget::Forget),
}

/// List leads by id
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook leads list --status contacted
  onhook leads list --phone '+1 415 555 0101' --json")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// Only leads with this status, contacts included
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only leads with this number
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Show one lead
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook leads show lead-42")]
pub struct Show {
    #[command(flatten)]
    tenant: Tenant,
    /// Your own id of the lead
    id: String,
}

impl Leads {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::List(list) => list.run(&mut desk).await,
            Self::Show(show) => show.run(&mut desk).await,
            Self::Put(put) => put.run(&mut desk).await,
            Self::Delete(delete) => delete.run(&mut desk).await,
            Self::Import(import) => import.run(&mut desk).await,
            Self::Forget(forget) => forget.run(&mut desk).await,
        }
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let region = desk.config.phone_region.clone();
        let phone_e164 = self.phone.map(|text| fields::phone("--phone", &text, region.as_deref())).transpose();
        let phone_e164 = phone_e164.map_err(|wrong| Stop::with(Exit::Usage, wrong.to_string(), ""))?;
        let filter = LeadFilter { status: self.status, phone_e164 };
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch = async |after: Option<&str>, limit| {
                    leads::list(db, tenant, &filter, after.unwrap_or_default(), limit).await
                };
                self.page.collect(|lead| lead.row.id.clone(), fetch).await
            })
            .await?;
        let line = |lead: &LeadRead| {
            let (name, phone) = (or_dash(lead.row.name.as_ref()), or_dash(lead.row.phone.as_ref()));
            let last = or_dash(lead.last_contacted_ms().map(second));
            vec![lead.row.id.clone(), name, phone, lead.status(), lead.contact_count.to_string(), last]
        };
        listed.show(&desk.out, view::lead, &["id", "name", "phone", "status", "contacts", "last contacted"], line)?;
        Ok(Exit::Ok)
    }
}

impl Show {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, id) = (&self.tenant.id, &self.id);
        let lead = desk.on_existing_db(async |_, db| Ok(leads::find(db, tenant, id).await?)).await?;
        let lead = lead.ok_or_else(|| unknown(tenant, id))?;
        show(desk, &lead)?;
        Ok(Exit::Ok)
    }
}

fn show(desk: &Desk, lead: &LeadRead) -> Result<()> {
    desk.out.show(&view::lead(lead), || {
        desk.out.sheet(&[
            ("id", lead.row.id.clone()),
            ("name", or_dash(lead.row.name.as_ref())),
            ("phone", or_dash(lead.row.phone.as_ref())),
            ("status", lead.status()),
            ("contacts", lead.contact_count.to_string()),
            ("last contacted", or_dash(lead.last_contacted_ms().map(second))),
        ])
    })
}

fn unknown(tenant: &str, id: &str) -> anyhow::Error {
    Stop::not_found(format!("lead {id} of tenant {tenant}"), "`onhook leads list` shows the leads there are")
}
