//! `onhook runs`: lists of people to be called.
//!
//! The commands work on the database; a running gateway picks up what they change, and dials.

mod control;
mod create;
mod list;
mod view;
mod watch;

use super::{
    desk::Desk,
    exit::{Exit, Stop},
};
use crate::{
    app,
    runs::{self, By, RunError, Shown},
    store::{Db, StoreError, runs as rows},
};
use anyhow::Result;
use clap::Subcommand;

/// Make, steer and watch outbound runs, directly in the configured database; a running gateway dials them
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  onhook runs create leads.csv --from +14155550100 --connect client:ann --key spring --start
  onhook runs watch spring")]
pub enum Runs {
    Create(Box<create::Create>),
    List(list::List),
    Show(list::Show),
    Start(control::Start),
    Pause(control::Pause),
    Resume(control::Resume),
    Cancel(control::Cancel),
    ForceCancel(control::ForceCancel),
    Jobs(list::ListJobs),
    Watch(watch::Watch),
    Active(list::Active),
}

impl Runs {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Create(create) => create.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Show(show) => show.run(&mut desk).await,
            Self::Start(start) => start.run(&mut desk).await,
            Self::Pause(pause) => pause.run(&mut desk).await,
            Self::Resume(resume) => resume.run(&mut desk).await,
            Self::Cancel(cancel) => cancel.run(&mut desk).await,
            Self::ForceCancel(force) => force.run(&mut desk).await,
            Self::Jobs(jobs) => jobs.run(&mut desk).await,
            Self::Watch(watch) => watch.run(&mut desk).await,
            Self::Active(active) => active.run(&mut desk).await,
        }
    }
}

/// Where runs are changed, for commands that need no account.
fn desk_of_runs(desk: &mut Desk, db: &Db) -> Result<runs::Desk> {
    Ok(app::desk_without_accounts(&desk.config, db.clone(), desk.clock.clone(), &mut desk.rng)?)
}

/// The id of a run that is named by it or by its key.
async fn id_of(db: &Db, tenant: &str, named: &str) -> Result<String> {
    if rows::find(db, tenant, named).await?.is_some() {
        return Ok(named.to_owned());
    }
    let by_key = rows::find_by_key(db, tenant, named).await?;
    by_key.map(|row| row.id).ok_or_else(|| unknown(tenant, named))
}

fn unknown(tenant: &str, named: &str) -> anyhow::Error {
    Stop::not_found(format!("run {named} of tenant {tenant}"), "`onhook runs list` shows the runs there are")
}

/// A refusal of the desk in the words of the command line.
fn refused(error: RunError) -> anyhow::Error {
    let told = format!("failed to {error}");
    match error {
        RunError::Store(error) => error.into(),
        RunError::NotFound { what, id } => {
            Stop::not_found(format!("{what} {id}"), "`onhook runs list` shows the runs there are")
        }
        RunError::Fields(wrongs) => {
            let wrongs: Vec<String> = wrongs.iter().map(ToString::to_string).collect();
            Stop::with(Exit::Usage, wrongs.join("; "), "`onhook runs create --help` says what is allowed")
        }
        RunError::TooManyJobs => Stop::with(Exit::Failed, told, "split the list"),
        RunError::State(_) => Stop::with(Exit::Failed, told, "`onhook runs show` says how it stands with the run"),
        RunError::LeaseHeld { .. } | RunError::LeaseLost => Stop::with(Exit::Failed, told, ""),
        RunError::Away => Stop::with(Exit::Unavailable, told, "try again later"),
    }
}

/// Who does it.
const fn by(tenant: &str) -> By<'_> {
    By { tenant, actor: "cli" }
}

/// The same run as it is now.
async fn reload(at: &runs::Desk, tenant: &str, shown: &Shown) -> Result<Shown, RunError> {
    at.show(tenant, &shown.row.id).await
}

/// Whether waiting may help.
const fn is_away(error: &RunError) -> bool {
    matches!(error, RunError::Away | RunError::Store(StoreError::Gone(_) | StoreError::Again(_)))
}

/// Where a list of runs goes on: after which moment and id.
fn by_page(cursor: &str) -> Option<(i64, String)> {
    let (ms, id) = cursor.split_once(':')?;
    Some((ms.parse().ok()?, id.to_owned()))
}
