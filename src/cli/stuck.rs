//! `onhook stuck`: live calls without a sign of life, and why.

use super::{
    desk::{Desk, Tenant},
    exit::Exit,
    keys::require_tenant,
    out::or_dash,
    page::Page,
    sweep::threshold,
    view::{self, moment},
};
use crate::{
    domain::time::{Millis, SECOND},
    explain::live::{Silent, Terms, span},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// List live calls without a sign of life: why, and what comes next
///
/// Works directly in the configured database, beside a running server. It asks nobody and changes nothing; `onhook sweep`
/// does.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook stuck
  onhook stuck --threshold 30m --exit-code

Exit codes: 0 ok, 5 with --exit-code: there are some")]
pub struct Stuck {
    #[command(flatten)]
    tenant: Tenant,
    /// No sign of life for so long, such as 30m, up to 7d [default: those that count as stuck by the settings]
    #[arg(long, value_name = "TIME", value_parser = threshold)]
    threshold: Option<Millis>,
    /// Exit with 5 if there are any
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    page: Page,
}

impl Stuck {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let terms = terms(&desk);
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                require_tenant(db, tenant).await?;
                let fetch = async |after: Option<&str>, limit| {
                    terms.list_silent(db, tenant, self.threshold, after.unwrap_or_default(), limit).await
                };
                self.page.collect(|silent| silent.row.id.clone(), fetch).await
            })
            .await?;
        let json = |Silent { row, next }: &Silent| {
            let mut call = view::call(row, &terms.limits, terms.now_ms);
            if let Some(fields) = call.as_object_mut() {
                fields.insert("silent_seconds".to_owned(), json!(next.silent_seconds));
                fields.insert("give_up_at".to_owned(), json!(moment(next.give_up_at_ms)));
                fields.insert("why".to_owned(), json!(next.why));
            }
            call
        };
        let line = |Silent { row, next }: &Silent| {
            let silent = span(next.silent_seconds * SECOND);
            let stuck = or_dash(next.stuck);
            vec![silent, stuck, row.status.clone(), row.provider_id.clone(), row.id.clone(), next.why.clone()]
        };
        listed.show(&desk.out, json, &["silent for", "stuck", "status", "call", "id", "why"], line)?;
        Ok(if self.exit_code && !listed.rows.is_empty() { Exit::Findings } else { Exit::Ok })
    }
}

/// By which rules live calls are looked at now.
pub fn terms(desk: &Desk) -> Terms {
    let sweep = &desk.config.sweep;
    Terms { limits: sweep.limits(), sweeps: sweep.interval_ms.is_some(), now_ms: desk.now_ms() }
}
