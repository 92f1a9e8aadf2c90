//! `onhook sweep`: looks after live calls now, and shows first what that would do.

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::{Out, or_dash},
};
use crate::{
    app::{self, Fuses},
    clock::Stopwatch,
    domain::time::{DAY, Millis},
    ingest::{Ingest, Parts},
    store::Db,
    sweep::{Change, Chosen, Report, Request, Skipped, SweepError, Sweeper},
    telemetry::Metrics,
};
use anyhow::{Context, Result};
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    pin::pin,
    sync::Arc,
    time::Duration,
};

/// Ask the providers about live calls whose next webhook is overdue, and repair what was lost
///
/// Works directly in the configured database, beside a running server. On a terminal it shows first what would change,
/// and asks; elsewhere say --yes or --dry-run. What the provider says is done; what nobody can say is given up only past the
/// configured limits. Calls that are not reached stay due.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook sweep
  onhook sweep --dry-run --threshold 30m
  onhook sweep --dry-run --exit-code --json
  onhook sweep --yes --threshold 1h

Exit codes: 0 done, 2 nobody could be asked whether it may, 5 with --dry-run --exit-code: something would change,
6 nobody could say anything of any call")]
pub struct Sweep {
    #[command(flatten)]
    tenant: Tenant,
    /// Only say what would be done; the provider is asked all the same
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Live calls without a sign of life for so long, such as 30m, up to 7d [default: those that are due]
    #[arg(long, value_name = "TIME", value_parser = threshold)]
    threshold: Option<Millis>,
    /// Do not ask before something is changed
    #[arg(long)]
    yes: bool,
    /// With --dry-run: exit with 5 if something would change
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
}

impl Sweep {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && !desk.out.is_json();
        if !self.dry_run && !self.yes && !can_ask {
            let next = "say --yes, or --dry-run to see what would change";
            return Err(Stop::with(Exit::Usage, "a sweep changes calls, and nobody can be asked whether it may", next));
        }
        let report = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, &self.tenant.id).await?;
                let out = desk.out;
                with_sweeper(desk, db, async |sweeper| self.sweep(&out, sweeper).await).await
            })
            .await?;
        match report {
            Some(report) => {
                show(&desk.out, &report)?;
                let nobody_could_say = report.skipped_count > 0 && report.skipped_count == report.looked;
                Ok(match self.exit_code && !report.changed.is_empty() {
                    true => Exit::Findings,
                    false if nobody_could_say => Exit::Unavailable,
                    false => Exit::Ok,
                })
            }
            None => Ok(Exit::Ok),
        }
    }

    /// What it came to; `None`: it was shown what it would, and nothing was to be done.
    async fn sweep(&self, out: &Out, sweeper: &Sweeper) -> Result<Option<Report>> {
        if self.dry_run || self.yes {
            return watched(sweeper, self.request(self.dry_run)).await.map(Some);
        }
        let would = watched(sweeper, self.request(true)).await?;
        show(out, &would)?;
        if would.changed.is_empty() {
            return Ok(None);
        }
        if !confirmed("Do this? [y/N] ")? {
            out.note("nothing was changed");
            return Ok(None);
        }
        watched(sweeper, self.request(false)).await.map(Some)
    }

    fn request(&self, dry_run: bool) -> Request {
        let chosen = self.threshold.map_or(Chosen::Due, Chosen::Silent);
        Request { tenant: Some(self.tenant.id.clone()), chosen, dry_run, actor: ACTOR.to_owned() }
    }
}

/// Lends a sweeper with a writer of our own, which has written everything when it ends.
pub(super) async fn with_sweeper<T>(
    desk: &mut Desk,
    db: &Db,
    work: impl AsyncFnOnce(&Sweeper) -> Result<T>,
) -> Result<T> {
    let directory = Arc::new(app::directory(&desk.config, db.clone(), desk.clock.clone(), &mut desk.rng)?);
    let metrics = Metrics::new();
    let (ingest, writer) = Ingest::new(Parts {
        db: db.clone(),
        clock: desk.clock.clone(),
        rng: StdRng::from_rng(&mut desk.rng),
        rules: app::rules(&desk.config),
        metrics: metrics.clone(),
    });
    let writing = tokio::spawn(writer.run());
    let fuses = Fuses { db: db.clone(), clock: desk.clock.clone(), directory, ingest, metrics };
    // Whoever serves listens to the PBXs; here it is only looked who that is.
    let pbxs = app::pbxs(&desk.config, fuses.clone(), &mut desk.rng);
    let sweeper = app::sweeper(&desk.config, fuses, pbxs, &mut desk.rng)?;
    let done = work(&sweeper).await;
    // The writer ends when the last door is closed.
    drop(sweeper);
    writing.await?;
    done
}

/// Sweeps; on a terminal it shows how long that takes.
async fn watched(sweeper: &Sweeper, request: Request) -> Result<Report> {
    let mut swept = pin!(sweeper.sweep(request));
    let (since, terminal) = (Stopwatch::start(), io::stderr().is_terminal());
    let swept = loop {
        tokio::select! {
            swept = &mut swept => break swept,
            () = tokio::time::sleep(SHOWN_EVERY), if terminal => {
                // Nothing can be done about a standard error that is closed.
                let _ = write!(io::stderr(), "\rasking the provider: {:.0} s", since.seconds());
            }
        }
    };
    if terminal && since.seconds() > SHOWN_EVERY.as_secs_f64() {
        let _ = writeln!(io::stderr());
    }
    swept.map_err(|error| match error {
        SweepError::Store(error) => error.into(),
        SweepError::Busy => Stop::with(Exit::Unavailable, format!("failed to {error}"), "try again"),
    })
}

/// Asks on a terminal.
pub(super) fn confirmed(question: &str) -> Result<bool> {
    let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("read the answer")?;
    Ok(["y", "yes"].contains(&line.trim().to_lowercase().as_str()))
}

fn show(out: &Out, report: &Report) -> Result<()> {
    out.show(report, || {
        let change = |change: &Change| {
            let Change { provider_id, from, to, resolution, why, .. } = change;
            vec![provider_id.clone(), from.to_string(), to.to_string(), or_dash(*resolution), why.clone()]
        };
        let skipped = |skipped: &Skipped| {
            let status = skipped.status.to_string();
            vec![skipped.provider_id.clone(), status.clone(), status, "-".to_owned(), skipped.why.clone()]
        };
        let rows: Vec<_> = report.changed.iter().map(change).chain(report.skipped.iter().map(skipped)).collect();
        let would = if report.dry_run { "would be " } else { "" };
        let counts = format!(
            "looked at {}: {} alive, {} {would}repaired, {} {would}given up, {} left because nobody could say",
            report.looked, report.alive, report.repaired, report.given_up, report.skipped_count
        );
        match rows.is_empty() {
            true => counts,
            false => format!("{}\n{counts}", out.table(&["call", "from", "to", "known by", "why"], rows)),
        }
    })
}

/// A threshold as it is written on the command line.
pub fn threshold(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is not a time such as 30m or 1h30m, up to 7d");
    let span = humantime::parse_duration(text).map_err(|_| wrong())?;
    Millis::try_from(span.as_millis()).ok().filter(|ms| *ms <= THRESHOLD_MAX_MS).ok_or_else(wrong)
}

/// The actor of what is done by this command line.
const ACTOR: &str = "cli";
const THRESHOLD_MAX_MS: Millis = 7 * DAY;
const SHOWN_EVERY: Duration = Duration::from_secs(1);
