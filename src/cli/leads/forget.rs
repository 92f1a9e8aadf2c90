//! Forgetting a person.

use super::unknown;
use crate::{
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
    },
    leads::{self, Forgotten},
};
use anyhow::{Context, Result};
use clap::Args;
use rand::RngExt;
use std::io::{self, BufRead, IsTerminal, Read};

/// Forget a person: erase name, number, recordings and raw deliveries; keep what was counted
///
/// Erased are the name and the number of the lead, and the numbers, recordings and raw deliveries of its calls and of all calls
/// with its number. Calls, times, talk seconds, contacts, activity, status and your own id of the lead stay. It cannot be undone.
/// It asks first on a terminal; elsewhere it needs --yes. One that was cut off is taken up by the next one. Exit code 3:
/// there is no such lead.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook leads forget lead-42 --dry-run
  onhook leads forget lead-42 --yes --json")]
pub struct Forget {
    #[command(flatten)]
    tenant: Tenant,
    /// Your own id of the lead
    id: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would be erased
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl Forget {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let asks = !self.yes && !self.dry_run;
        if asks && !io::stdin().is_terminal() {
            let what = format!("nobody can be asked whether lead {} is to be forgotten", self.id);
            return Err(Stop::with(Exit::Usage, what, "give --yes, or --dry-run to see what would be erased"));
        }
        let (tenant, id) = (self.tenant.id.clone(), self.id.clone());
        let forgotten = desk
            .on_existing_db(async |desk, db| {
                let mut how = leads::Forget {
                    dry_run: true,
                    sees_unknown: true,
                    actor: "cli".to_owned(),
                    now_ms: desk.now_ms(),
                    randomness: desk.rng.random(),
                };
                if asks {
                    let would = leads::forget(db, &tenant, &id, &how).await?.ok_or_else(|| unknown(&tenant, &id))?;
                    desk.out.note(text(&would));
                    confirm(desk, &id)?;
                }
                how.dry_run = self.dry_run;
                leads::forget(db, &tenant, &id, &how).await?.ok_or_else(|| unknown(&tenant, &id))
            })
            .await?;
        desk.out.show(&forgotten, || text(&forgotten))?;
        Ok(Exit::Ok)
    }
}

/// Asks; anything but a yes stops.
fn confirm(desk: &Desk, id: &str) -> Result<()> {
    desk.out.note(format!("Forget lead {id} for good? This cannot be undone. Write yes to go on:"));
    let mut line = String::new();
    io::BufReader::new(io::stdin().take(ANSWER_BYTES_MAX)).read_line(&mut line).context("read the answer")?;
    if line.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Stop::with(Exit::Failed, "nothing was erased", "write yes, or give --yes"))
}

fn text(done: &Forgotten) -> String {
    let (erased, kept) = (&done.erased, &done.kept);
    let would = if done.dry_run { "would be erased" } else { "erased" };
    let mut lines = vec![
        format!(
            "lead {}: {would}: name and number of {} leads, details of {} calls and {} signals, {} raw deliveries, \
             {} refused and {} unapplied ones, {} notices, {} announcements, {} remembered answers",
            done.lead_id,
            erased.leads,
            erased.calls,
            erased.signals,
            erased.deliveries,
            erased.refused_deliveries,
            erased.unapplied_deliveries,
            erased.notices,
            erased.announcements,
            erased.remembered_answers,
        ),
        format!(
            "kept: times and results of {} calls, {} contacts, the lead's id and status",
            kept.calls, kept.contacts
        ),
    ];
    if erased.jobs > 0 {
        lines.push(format!("{} jobs of runs lost whom they called; those that waited are cancelled", erased.jobs));
    }
    if kept.placing_jobs > 0 {
        lines
            .push(format!("{} jobs are being placed: forget the lead once more when they are over", kept.placing_jobs));
    }
    if kept.live_calls > 0 {
        lines.push(format!("{} calls are under way: forget the lead once more when they are over", kept.live_calls));
    }
    if kept.other_leads > 0 {
        lines.push(format!("{} other leads have the same number: forget each by its id", kept.other_leads));
    }
    lines.push("Backups are not touched (docs/retention.md)".to_owned());
    lines.join("\n")
}

/// More is no answer.
const ANSWER_BYTES_MAX: u64 = 100;
