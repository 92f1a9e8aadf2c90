//! `onhook check`: prints what `crate::check` finds.

use super::{
    desk::Desk,
    exit::Exit,
    out::{Out, Tone},
};
use crate::{
    app,
    check::{Difference, Finding, Report, check},
};
use anyhow::Result;
use clap::Args;

/// Fold every call anew from its stored signals and report what differs; exit code 5 if anything does
///
/// It also lists leads that should be contacted and are not, and deliveries that could not be applied. It changes
/// nothing, works on the configured database directly, and may run beside a running server.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook check || echo 'something is wrong'")]
pub struct Check {}

impl Check {
    /// Checks the whole database.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let rules = app::rules(&desk.config);
        let report = desk.on_existing_db(async |_, db| Ok(check(db, &rules).await?)).await?;
        desk.out.show(&report, || text(&desk.out, &report))?;
        Ok(if report.is_clean() { Exit::Ok } else { Exit::Findings })
    }
}

fn text(out: &Out, report: &Report) -> String {
    let mut lines: Vec<String> =
        report.findings.iter().map(|f| format!("{} {}", out.paint(Tone::Bad, "✗"), sentence(f))).collect();
    if report.left_out > 0 {
        lines.push(format!("  … and {} more", report.left_out));
    }
    let Report { calls, conversations, pruned, quarantine, .. } = report;
    let looked = format!("folded {calls} calls anew and judged {conversations} conversations");
    let pruned = if *pruned > 0 {
        format!(
            "; {pruned} ended calls were not folded anew, because their signals were kept long enough and are gone \
             (keep.deliveries)"
        )
    } else {
        String::new()
    };
    lines.push(match report.findings.len() as u64 + report.left_out {
        0 => format!("{} {looked}: all is as it should be{pruned}", out.paint(Tone::Good, "✓")),
        found => format!("{looked}: {found} findings{pruned}"),
    });
    if quarantine.known_rows > 0 {
        let rows = quarantine.known_rows;
        lines.push(format!("{rows} refused deliveries of known accounts are kept: `onhook quarantine list`"));
    }
    lines.join("\n")
}

fn sentence(finding: &Finding) -> String {
    match finding {
        Finding::RowDiffers { tenant, call_id, provider_id, differences } => {
            format!(
                "call {call_id} ({provider_id}, tenant {tenant}) is not what its signals say: {}",
                list(differences)
            )
        }
        Finding::NoSignals { tenant, call_id, provider_id } => {
            format!("call {call_id} ({provider_id}, tenant {tenant}) has no signals, although they were never pruned")
        }
        Finding::Unreadable { tenant, call_id, why } => {
            format!("call {call_id} (tenant {tenant}) cannot be read: {why}")
        }
        Finding::ContactMissing { tenant, conversation, lead_id } => format!(
            "lead {lead_id} (tenant {tenant}) should be contacted by the conversation {conversation}, and is not \
             (if contact.* was changed since, that is why)"
        ),
        Finding::ContactWrong { tenant, conversation, lead_id, differences } => {
            format!("the contact of lead {lead_id} (tenant {tenant}) by {conversation} is wrong: {}", list(differences))
        }
        Finding::Unapplied { tenant, delivery_id, provider_id, reason, attempts } => format!(
            "delivery {delivery_id} of call {provider_id} (tenant {tenant}) could not be applied in {attempts} attempts: {reason}"
        ),
    }
}

fn list(differences: &[Difference]) -> String {
    let one = |d: &Difference| match d.field.as_str() {
        // Whole registers are no reading matter; `--json` has them.
        "registers" => "registers differ".to_owned(),
        field => format!("{field} is {}, should be {}", d.stored, d.expected),
    };
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}
