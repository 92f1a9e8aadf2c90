//! `onhook stats`: what the calls of a time came to.

use super::{
    audit::time,
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::or_dash,
};
use crate::report::{self, Figures};
use anyhow::Result;
use clap::Args;

/// Say what the calls of a time came to: the last day, unless something else is asked for
///
/// What lives and what is stuck is of this moment. The rest is of the calls that were created in the time.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook stats
  onhook stats --since 2026-11-01T00:00:00Z --until 2026-11-08T00:00:00Z")]
pub struct Stats {
    #[command(flatten)]
    tenant: Tenant,
    /// Calls created at or after this moment, RFC 3339; at most 31 days [default: a day before --until]
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Calls created before this moment, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
}

impl Stats {
    /// Adds it up.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let now_ms = desk.now_ms();
        let span_ms = report::span(self.since, self.until, now_ms)
            .map_err(|why| Stop::with(Exit::Usage, why, "give --since and --until, or neither for the last day"))?;
        let figures = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                Ok(report::stats(db, tenant, span_ms, &desk.config.sweep.limits(), now_ms).await?)
            })
            .await?;
        let rows = || {
            let sheet = lines(&figures).into_iter().map(|(name, value)| vec![name, value]);
            desk.out.table(&["figure", "value"], sheet)
        };
        desk.out.show(&figures, || format!("{} to {}\n{}", figures.since, figures.until, rows()))?;
        Ok(Exit::Ok)
    }
}

/// The figures in the order in which people read them. Two lists of the same names can be laid side by side.
pub fn lines(figures: &Figures) -> Vec<(String, String)> {
    let mut lines = vec![("calls".to_owned(), figures.calls.to_string())];
    let mut add = |name: String, value: String| lines.push((name, value));
    for (status, calls) in &figures.calls_by_status {
        add(format!("  {status}"), calls.to_string());
    }
    for direction in &figures.failure_rate {
        let outcomes: Vec<String> = direction.outcomes.iter().map(|(word, calls)| format!("{word} {calls}")).collect();
        let failed = percent(direction.rate);
        let text = format!("{} ({}; {failed} failed)", direction.calls, outcomes.join(", "));
        add(format!("  {}", direction.direction), text);
    }
    add("answer rate".into(), percent(figures.answer_rate));
    add("talk time".into(), duration(figures.talk_seconds));
    add("leads contacted".into(), figures.leads_contacted.to_string());
    let seconds = figures.time_to_end_seconds;
    for (name, value) in [("median", seconds.p50), ("95 of 100", seconds.p95), ("longest", seconds.max)] {
        add(format!("time to end, {name}"), or_dash(value.map(duration)));
    }
    for (resolution, calls) in &figures.resolutions {
        add(format!("ending known by {resolution}"), calls.to_string());
    }
    let sweeps = figures.sweeps;
    let figures_of_sweeps = [
        ("looked at", sweeps.looked),
        ("alive", sweeps.alive),
        ("repaired", sweeps.repaired),
        ("given up", sweeps.given_up),
        ("nobody could say", sweeps.skipped),
    ];
    for (name, calls) in figures_of_sweeps {
        add(format!("sweeps: {name}"), calls.to_string());
    }
    add("live now".into(), figures.live.to_string());
    add("stuck now: warn".into(), figures.stuck.warn.to_string());
    add("stuck now: critical".into(), figures.stuck.critical.to_string());
    add("live with a duration".into(), figures.live_with_duration.to_string());
    lines
}

/// Seconds as a person reads them.
fn duration(seconds: i64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds.unsigned_abs())).to_string()
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
