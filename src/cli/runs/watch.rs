//! Watching a run until it ends.

use super::{desk_of_runs, id_of, is_away, refused, view};
use crate::{
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        out::Out,
    },
    clock::Stopwatch,
    domain::{
        run::RunState,
        time::{MINUTE, Millis},
    },
    runs::{self, Counts, Outcomes, RunError, Shown},
    store::{Db, slots},
};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal},
    time::Duration,
};

/// Watch a run until it ends: jobs by state, calls per minute, answer rate, and what remains
///
/// A progress bar on a terminal; elsewhere, and with --json, a line whenever something has changed. Looks only; Ctrl-C ends the
/// watching, not the run.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook runs watch spring
  onhook runs watch spring --json

Exit codes: 0 the run is completed, 1 it has failed or was cancelled, 3 there is none, 6 the database is away")]
pub struct Watch {
    #[command(flatten)]
    tenant: Tenant,
    /// Its id, or your own key of it
    run: String,
    /// Look so often, 100ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

/// How a run goes.
#[derive(Clone, Debug, PartialEq)]
struct Pace {
    /// Attempts that were begun within the last minute.
    calls_per_minute: i64,
    /// Which share of the calls that have ended was answered.
    answer_rate: Option<f64>,
    /// How long the jobs that wait take at the pace of the last minute.
    remaining_seconds: Option<i64>,
}

impl Pace {
    fn of(counts: &Counts, outcomes: &Outcomes, calls_per_minute: i64) -> Self {
        let Outcomes { completed, busy, no_answer, failed, canceled } = *outcomes;
        let ended = completed + busy + no_answer + failed + canceled;
        let remaining_seconds = match counts.queued {
            0 => Some(0),
            queued => (queued * 60).checked_div(calls_per_minute),
        };
        let answer_rate = (ended > 0).then(|| completed as f64 / ended as f64);
        Self { calls_per_minute, answer_rate, remaining_seconds }
    }

    fn text(&self) -> String {
        let rate = self.answer_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        let remaining = self.remaining_seconds.map_or_else(
            || "not known".to_owned(),
            |seconds| humantime::format_duration(Duration::from_secs(seconds.unsigned_abs())).to_string(),
        );
        format!("{} calls/min, answered {rate}, remaining {remaining}", self.calls_per_minute)
    }
}

impl Watch {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let shown = desk
            .on_existing_db(async |desk, db| {
                let id = id_of(db, &self.tenant.id, &self.run).await?;
                let at = desk_of_runs(desk, db)?;
                let is_bar = io::stderr().is_terminal() && !desk.out.is_json();
                let mut shower = if is_bar { Shower::Bar(bar()?) } else { Shower::Lines(None) };
                self.watch(&desk.out, (&at, db), &id, &mut shower).await
            })
            .await?;
        let is_completed = shown.row.state == RunState::Completed.as_str();
        Ok(if is_completed { Exit::Ok } else { Exit::Failed })
    }

    /// Looks until the run has ended.
    async fn watch(&self, out: &Out, on: (&runs::Desk, &Db), id: &str, shower: &mut Shower) -> Result<Shown> {
        let mut away: Option<Stopwatch> = None;
        loop {
            match self.look(on, id).await {
                Ok((shown, pace)) => {
                    away = None;
                    let is_over = shown.row.ended_ms.is_some();
                    shower.show(out, &shown, &pace, is_over)?;
                    if is_over {
                        return Ok(shown);
                    }
                }
                // A database that restarts ends no run, so it ends no watching either.
                Err(error) if is_away(&error) => {
                    let since = *away.get_or_insert_with(Stopwatch::start);
                    if since.seconds() > AWAY_SECONDS_MAX {
                        let what = format!("the database did not answer for {AWAY_SECONDS_MAX:.0} s");
                        return Err(Stop::with(Exit::Unavailable, what, "the run goes on; watch it again later"));
                    }
                }
                Err(error) => return Err(refused(error)),
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn look(&self, (at, db): (&runs::Desk, &Db), id: &str) -> Result<(Shown, Pace), RunError> {
        let shown = at.show(&self.tenant.id, id).await?;
        let begun = slots::count_taken(db, &self.tenant.id, id, shown.now_ms - RATE_OVER_MS).await?;
        let pace = Pace::of(&shown.counts, &shown.outcomes, begun);
        Ok((shown, pace))
    }
}

/// How it is shown.
enum Shower {
    Bar(ProgressBar),
    /// With what was shown last.
    Lines(Option<(String, bool, Counts)>),
}

impl Shower {
    fn show(&mut self, out: &Out, shown: &Shown, pace: &Pace, is_over: bool) -> Result<()> {
        let counts = shown.counts;
        match self {
            Self::Bar(bar) => {
                bar.set_length(counts.total.unsigned_abs());
                bar.set_position((counts.done + counts.unknown + counts.cancelled + counts.failed).unsigned_abs());
                bar.set_message(line(shown, pace));
                if is_over {
                    bar.finish_and_clear();
                    out.line(line(shown, pace))?;
                }
                Ok(())
            }
            Self::Lines(before) => {
                let now = (shown.row.state.clone(), shown.stale, counts);
                if before.as_ref() == Some(&now) {
                    return Ok(());
                }
                *before = Some(now);
                if out.is_json() { out.line(json_line(shown, pace).to_string()) } else { out.line(line(shown, pace)) }
            }
        }
    }
}

fn line(shown: &Shown, pace: &Pace) -> String {
    let Shown { row, counts, .. } = shown;
    let stale = if shown.stale { " (stale: nobody works on it)" } else { "" };
    let error = row.last_error.as_ref().map(|error| format!("; last error: {error}")).unwrap_or_default();
    format!("{} {}{stale}; {}; {}{error}", row.id, row.state, view::by_state(counts), pace.text())
}

/// One line of JSON: the run as the REST API shows it, and how it goes.
fn json_line(shown: &Shown, pace: &Pace) -> Value {
    json!({
        "run": view::run(shown), "calls_per_minute": pace.calls_per_minute, "answer_rate": pace.answer_rate,
        "remaining_seconds": pace.remaining_seconds,
    })
}

fn bar() -> Result<ProgressBar> {
    // Without colours: they would not know NO_COLOR.
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}")?;
    Ok(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style))
}

fn interval(text: &str) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(60);
    if allowed.contains(&read) { Ok(read) } else { Err(format!("{text:?} is not from 100ms to 1m")) }
}

const RATE_OVER_MS: Millis = MINUTE;
/// For how long a database that does not answer is waited for.
const AWAY_SECONDS_MAX: f64 = 120.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_only_where_it_can_be() {
        let counts = Counts { total: 100, queued: 30, done: 70, ..Counts::default() };
        let outcomes = Outcomes { completed: 49, busy: 11, no_answer: 10, ..Outcomes::default() };
        let pace = Pace::of(&counts, &outcomes, 20);
        assert_eq!(pace, Pace { calls_per_minute: 20, answer_rate: Some(0.7), remaining_seconds: Some(90) });
        assert_eq!(pace.text(), "20 calls/min, answered 70 %, remaining 1m 30s");
        let idle = Pace::of(&counts, &Outcomes::default(), 0);
        assert_eq!(idle.text(), "0 calls/min, answered -, remaining not known");
        let over = Pace::of(&Counts { queued: 0, ..counts }, &outcomes, 0);
        assert_eq!(over.remaining_seconds, Some(0));
    }

    #[test]
    fn an_interval_is_bounded() {
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["0s", "99ms", "2m", "soon", ""] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
