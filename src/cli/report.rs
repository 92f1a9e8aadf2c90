//! `onhook report`: a day or a week, beside the one before.

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::Out,
    stats::lines,
};
use crate::report::{self, Every, Period, Report as Reported};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

/// Say what the calls of a day or a week came to, beside the one before
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook report daily")]
pub enum Report {
    Daily(Daily),
    Weekly(Weekly),
}

/// The report of a day in UTC, beside the day before
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook report daily
  onhook report daily --date 2026-11-19 --json")]
pub struct Daily {
    #[command(flatten)]
    tenant: Tenant,
    /// The day in UTC, such as 2026-11-19 [default: yesterday]
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
}

/// The report of a week of ISO 8601, from Monday to Sunday in UTC, beside the week before
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook report weekly
  onhook report weekly --week 2026-W47")]
pub struct Weekly {
    #[command(flatten)]
    tenant: Tenant,
    /// The week, such as 2026-W47 [default: last week]
    #[arg(long, value_name = "WEEK")]
    week: Option<String>,
}

impl Report {
    /// Makes it.
    pub async fn run(self, desk: Desk) -> Result<Exit> {
        match self {
            Self::Daily(Daily { tenant, date }) => show(desk, &tenant.id, Every::Daily, date).await,
            Self::Weekly(Weekly { tenant, week }) => show(desk, &tenant.id, Every::Weekly, week).await,
        }
    }
}

async fn show(mut desk: Desk, tenant: &str, every: Every, name: Option<String>) -> Result<Exit> {
    let now_ms = desk.now_ms();
    let flag = match every {
        Every::Daily => "--date",
        Every::Weekly => "--week",
    };
    let period = Period::read(every, name.as_deref(), now_ms);
    let next = format!("leave {flag} out for the last one that is over");
    let period = period.map_err(|why| Stop::with(Exit::Usage, format!("{flag}: {why}"), next))?;
    let report = desk
        .on_existing_db(async |desk, db| {
            require_tenant(db, tenant).await?;
            Ok(report::report(db, tenant, &period, &desk.config.sweep.limits(), now_ms).await?)
        })
        .await?;
    desk.out.show(&report, || text(&desk.out, &report))?;
    Ok(Exit::Ok)
}

fn text(out: &Out, report: &Reported) -> String {
    let mut before: BTreeMap<String, String> = lines(&report.before).into_iter().collect();
    before.extend(report.notices_before.iter().map(|(kind, count)| (notices(kind), count.to_string())));
    let mut rows = lines(&report.figures);
    rows.extend(report.notices.iter().map(|(kind, count)| (notices(kind), count.to_string())));
    // What there was only before has a row too.
    let only_before: Vec<String> =
        before.keys().filter(|name| !rows.iter().any(|(known, _)| known == *name)).cloned().collect();
    rows.extend(only_before.into_iter().map(|name| (name, "-".to_owned())));
    let rows = rows.into_iter().map(|(name, value)| {
        let before = before.get(&name).map_or("-", String::as_str).to_owned();
        vec![name, value, before]
    });
    let mut text = format!("{} to {}\n", report.figures.since, report.figures.until);
    text.push_str(&out.table(&["figure", &report.period, "before"], rows));
    if !report.accounts.is_empty() {
        let accounts = report.accounts.iter().map(|account| {
            let (ended, missing, gaps) = (account.ended.to_string(), account.missing.to_string(), account.gaps);
            vec![account.account.clone(), ended, missing, gaps.to_string()]
        });
        text.push_str("\n\nCallbacks were missing most here; `onhook accounts health` says what to change:\n");
        text.push_str(&out.table(&["account", "ended", "no callback of the end", "other callbacks missing"], accounts));
    }
    text
}

fn notices(kind: &str) -> String {
    format!("notices: {kind}")
}
