//! `onhook backfill`: calls that nobody told us of, looked for at the provider.

use super::{
    accounts::account_sid,
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::{Out, or_dash},
    sweep::{confirmed, with_sweeper},
};
use crate::sweep::{self, AccountBackfill, Backfill, BackfillError, BackfillReport, Found, Sweeper};
use anyhow::Result;
use clap::Args;
use std::io::{self, IsTerminal};

/// Ask the provider which calls there were, and write those that nobody told us of
///
/// Known calls that lack the ending they have at the provider get it. Works directly in the configured database, beside a
/// running server. It shows what it found and asks before it writes; `--yes` where nobody can be asked. Doing it again is safe: it finds nothing.
/// Exit code 3 if the tenant has no such account, 6 if an account could not be asked.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook backfill --since 24h --dry-run
  onhook backfill --since 24h
  onhook backfill --since 2026-11-01T00:00:00Z --account AC00000000000000000000000000000001 --yes")]
pub struct BackfillCalls {
    #[command(flatten)]
    tenant: Tenant,
    /// Calls that started from then on: a duration ago, such as 24h, or RFC 3339; at most 400 days ago
    #[arg(long, value_name = "WHEN")]
    since: String,
    /// … and before then, written likewise [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "AC…", value_parser = account_sid)]
    account: Option<String>,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl BackfillCalls {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let wanted = self.read(desk.now_ms())?;
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && !desk.out.is_json();
        if !self.dry_run && !self.yes && !can_ask {
            let next = "say --yes, or --dry-run to see what would be written";
            return Err(Stop::with(
                Exit::Usage,
                "a backfill writes calls, and nobody can be asked whether it may",
                next,
            ));
        }
        let asks = !self.dry_run && !self.yes;
        let report = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, &wanted.tenant).await?;
                let out = desk.out;
                with_sweeper(desk, db, async |sweeper| {
                    if asks {
                        let found = backfill(sweeper, Backfill { dry_run: true, ..wanted.clone() }).await?;
                        let is_nothing = found.accounts.iter().all(|of| of.found_count + of.ended_count == 0);
                        if is_nothing {
                            return Ok(found);
                        }
                        out.note(text(&out, &found));
                        if !confirmed("Write them? [y/N] ")? {
                            return Ok(found);
                        }
                    }
                    backfill(sweeper, wanted.clone()).await
                })
                .await
            })
            .await?;
        desk.out.show(&report, || text(&desk.out, &report))?;
        Ok(if report.accounts.iter().any(|of| of.trouble.is_some()) { Exit::Unavailable } else { Exit::Ok })
    }

    fn read(&self, now_ms: i64) -> Result<Backfill> {
        let moment = |flag: &str, text: &str| {
            let next = "such as --since 24h, or --since 2026-11-20T10:11:08Z";
            sweep::moment(text, now_ms).map_err(|why| Stop::with(Exit::Usage, format!("{flag} {why}"), next))
        };
        let since_ms = moment("--since", &self.since)?;
        let until_ms = self.until.as_deref().map(|text| moment("--until", text)).transpose()?;
        if until_ms.is_some_and(|until| until <= since_ms) {
            return Err(Stop::with(Exit::Usage, "--until is not after --since", "give a later --until, or none"));
        }
        let (tenant, account) = (self.tenant.id.clone(), self.account.clone());
        Ok(Backfill { tenant, account, since_ms, until_ms, dry_run: self.dry_run, actor: "cli".to_owned() })
    }
}

async fn backfill(sweeper: &Sweeper, wanted: Backfill) -> Result<BackfillReport> {
    let tenant = wanted.tenant.clone();
    sweeper.backfill(wanted).await.map_err(|error| match error {
        BackfillError::UnknownAccount(id) => Stop::not_found(
            format!("Twilio account {id} of the tenant {tenant}"),
            "`onhook accounts list` shows those there are",
        ),
        BackfillError::Store(error) => error.into(),
        error @ (BackfillError::Accounts(_) | BackfillError::Busy) => {
            Stop::with(Exit::Unavailable, format!("failed to {error}"), "try again later")
        }
    })
}

fn text(out: &Out, report: &BackfillReport) -> String {
    let row = |account: &str, what: &str, call: &Found| {
        let Found { provider_id, status, direction, started_at } = call.clone();
        vec![account.to_owned(), provider_id, what.to_owned(), status, or_dash(direction), or_dash(started_at)]
    };
    let calls = report.accounts.iter().flat_map(|of| {
        let found = of.found.iter().map(|call| row(&of.account, "not known", call));
        found.chain(of.ended.iter().map(|call| row(&of.account, "ending not known", call)))
    });
    let mut calls = calls.peekable();
    let mut lines = Vec::new();
    if calls.peek().is_some() {
        lines.push(out.table(&["account", "call", "was", "status", "direction", "started"], calls));
    }
    lines.extend(report.accounts.iter().map(|of| sentence(of, report.dry_run)));
    if report.accounts.is_empty() {
        lines.push("the tenant has no Twilio account".to_owned());
    }
    lines.join("\n")
}

fn sentence(of: &AccountBackfill, dry_run: bool) -> String {
    let AccountBackfill { account, listed, known, found_count, ended_count, submitted, .. } = of;
    let written = if dry_run { "nothing written".to_owned() } else { format!("{submitted} written") };
    let mut text = format!(
        "{account}: {listed} listed, {known} known, {found_count} not known, {ended_count} without their ending; {written}"
    );
    if let Some(cut_at) = &of.cut_at {
        text.push_str(&format!("\n{account}: there are more before {cut_at}; go on with --until {cut_at}"));
    }
    if let Some(trouble) = &of.trouble {
        text.push_str(&format!("\n{account}: {trouble}"));
    }
    text
}
