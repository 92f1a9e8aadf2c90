//! `onhook accounts health`: whether the callbacks of an account arrive, and what to change if they do not.

use crate::{
    ami,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        out::{Out, Tone},
    },
    domain::id::DEFAULT_TENANT,
    health::{AccountHealth, CallbackFigures, EndingFigures, Finding, Weight, Window, report},
    store::accounts,
};
use anyhow::Result;
use clap::Args;

/// Show whether the callbacks of an account arrive; exit code 5 if something should be changed
///
/// The figures are counted a little more than a minute after the fact, by a running server. Every finding says what to
/// change, word for word.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts health AC00000000000000000000000000000001
  onhook accounts health AC00000000000000000000000000000001 --window 7d --json")]
pub struct Health {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// How far back, from 1h to 30d
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    window: Window,
}

impl Health {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (self.tenant.id.as_str(), self.sid.as_str());
        let of_environment = desk.config.twilio.account().is_some_and(|(id, _)| id == sid) && tenant == DEFAULT_TENANT;
        let public_url = desk.config.public_url.clone();
        let report = desk
            .on_existing_db(async |desk, db| {
                let stored = accounts::find(db, tenant, sid).await?;
                if !of_environment && stored.is_none() {
                    return Err(super::unknown(desk, tenant, sid));
                }
                if stored.is_some_and(|row| row.provider == ami::PROVIDER) {
                    let next = format!("`onhook ami doctor {sid}` looks at it");
                    return Err(Stop::not_found(format!("callback of {sid}: it is a PBX"), next));
                }
                Ok(report(db, (tenant, sid), &self.window, desk.now_ms(), public_url.as_ref()).await?)
            })
            .await?;
        desk.out.show(&report, || text(&desk.out, &report))?;
        Ok(if report.asks_for_action() { Exit::Findings } else { Exit::Ok })
    }
}

fn text(out: &Out, report: &AccountHealth) -> String {
    let mut parts = vec![format!("{} since {}", report.account, report.since)];
    if !report.callbacks.is_empty() {
        let header = ["callbacks to", "received", "repeated", "late", "last"];
        parts.push(out.table(&header, report.callbacks.iter().map(callback)));
    }
    if !report.endings.is_empty() {
        let header = ["legs", "called back", "not called back", "elsewhere", "reconciled", "unheard", "gaps", "silent"];
        parts.push(out.table(&header, report.endings.iter().map(ending)));
    }
    parts.extend(report.findings.iter().map(|finding| sentence(out, finding)));
    if let Some(at) = &report.behind_since {
        let said = "is not counted yet; a running gateway counts it";
        parts.push(format!("{} what came since {at} {said}", out.paint(Tone::Bad, "!")));
    } else if report.findings.is_empty() {
        parts.push(format!("{} all is as it should be", out.paint(Tone::Good, "✓")));
    }
    parts.join("\n\n")
}

fn callback(c: &CallbackFigures) -> Vec<String> {
    let numbers = [c.received, c.repeated, c.late].map(|n| n.to_string());
    [c.url.clone()].into_iter().chain(numbers).chain([c.last_received_at.clone()]).collect()
}

fn ending(e: &EndingFigures) -> Vec<String> {
    let numbers = [e.called_back, e.not_called_back, e.elsewhere, e.reconciled, e.unheard, e.gaps, e.silent];
    [e.direction.clone()].into_iter().chain(numbers.map(|n| n.to_string())).collect()
}

fn sentence(out: &Out, finding: &Finding) -> String {
    let mark = match finding.weight {
        Weight::Action => out.paint(Tone::Bad, "✗"),
        Weight::Note => out.paint(Tone::Faint, "·"),
    };
    format!("{mark} {}: {}\n  fix: {}", finding.kind, finding.what, finding.fix)
}
