//! `onhook audit`: who decided what, by which rule, on which evidence.

use super::{
    desk::{Desk, Tenant},
    exit::Exit,
    keys::require_tenant,
    page::Page,
    view::second,
};
use crate::{
    domain::time::{parse_rfc3339, rfc3339},
    store::audit::{self, AuditFilter, AuditRow},
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

/// List decisions, newest first: calls that were ended without the provider's word, and why
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook audit --subject call_01KA3…
  onhook audit --action call.given_up --since 2026-11-19T00:00:00Z")]
pub struct Audit {
    #[command(flatten)]
    tenant: Tenant,
    /// Only those about this call, account, lead or key
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Only those of this kind, such as call.given_up
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only those made at or after this moment, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Only those made before this moment, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    #[command(flatten)]
    page: Page,
}

impl Audit {
    /// Lists them.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        self.page.require(|cursor| cursor.starts_with("audit_"))?;
        let tenant = &self.tenant.id;
        let (subject, action) = (self.subject, self.action);
        let filter = AuditFilter { subject, action, since_ms: self.since, until_ms: self.until };
        let listed = desk
            .on_existing_db(async |_, db| {
                require_tenant(db, tenant).await?;
                let fetch = async |before: Option<&str>, limit| audit::list(db, tenant, &filter, before, limit).await;
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let line = |row: &AuditRow| {
            let (actor, action, subject) = (row.actor.clone(), row.action.clone(), row.subject.clone());
            vec![second(row.at_ms), actor, action, subject, row.detail.clone()]
        };
        listed.show(&desk.out, view, &["at", "actor", "action", "subject", "detail"], line)?;
        Ok(Exit::Ok)
    }
}

fn view(row: &AuditRow) -> Value {
    json!({
        "id": row.id, "at": rfc3339(row.at_ms), "actor": row.actor, "action": row.action, "subject": row.subject,
        "detail": serde_json::from_str::<Value>(&row.detail).unwrap_or_else(|_| row.detail.clone().into()),
    })
}

/// A moment, such as `2026-11-19T00:00:00Z`.
pub fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| "write it as RFC 3339, such as 2026-11-19T00:00:00Z".to_owned())
}
