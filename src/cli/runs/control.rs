//! What people do to a run: start, pause, resume, cancel, and cancel by force.

use super::{by, desk_of_runs, id_of, refused, view};
use crate::{
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        sweep::confirmed,
    },
    runs::{self, By, ForceCancelled, RunError, Shown},
    store::hangups,
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::io::{self, IsTerminal};

/// Start a pending run: a running gateway dials it, or your own dialer claims it
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs start spring")]
pub struct Start {
    #[command(flatten)]
    which: Which,
}

/// Pause a running run: nothing more is placed, and calls that are under way go on
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs pause spring")]
pub struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Let a paused run go on, at its pace
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs resume spring")]
pub struct Resume {
    #[command(flatten)]
    which: Which,
}

/// Cancel a run: what waits at once; what is under way ends by itself
///
/// A run that nobody dials any more is cancelled at once.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs cancel spring")]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
}

/// Cancel a run at once, whatever its dialer does
///
/// Jobs that wait or are being placed are cancelled. With --hangup its calls are asked to end: a running gateway hangs them up
/// at their provider, since this command talks to none. Asks on a terminal; elsewhere say --yes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook runs force-cancel spring
  onhook runs force-cancel spring --hangup --yes --json")]
pub struct ForceCancel {
    #[command(flatten)]
    which: Which,
    /// Also hang up its calls
    #[arg(long)]
    hangup: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Which run.
#[derive(Args, Debug)]
pub struct Which {
    #[command(flatten)]
    tenant: Tenant,
    /// Its id, or your own key of it
    run: String,
}

impl Start {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.which.change(desk, async |at, by, id| at.start(by, id).await).await
    }
}

impl Pause {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.which.change(desk, async |at, by, id| at.pause(by, id).await).await
    }
}

impl Resume {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.which.change(desk, async |at, by, id| at.resume(by, id).await).await
    }
}

impl Cancel {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.which.change(desk, async |at, by, id| at.cancel(by, id).await).await
    }
}

impl Which {
    async fn change(
        self,
        desk: &mut Desk,
        deed: impl AsyncFnOnce(&runs::Desk, &By<'_>, &str) -> Result<Shown, RunError>,
    ) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let shown = desk
            .on_existing_db(async |desk, db| {
                let id = id_of(db, tenant, &self.run).await?;
                deed(&desk_of_runs(desk, db)?, &by(tenant), &id).await.map_err(refused)
            })
            .await?;
        desk.out.show(&view::run(&shown), || {
            format!("{} is {}; jobs: {}", shown.row.id, shown.row.state, view::by_state(&shown.counts))
        })?;
        Ok(Exit::Ok)
    }
}

impl ForceCancel {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && !desk.out.is_json();
        if !self.yes && !can_ask {
            let what = "this cancels a run at once, and nobody can be asked whether it may";
            return Err(Stop::with(Exit::Usage, what, "say --yes"));
        }
        let tenant = &self.which.tenant.id;
        let done = desk
            .on_existing_db(async |desk, db| {
                let id = id_of(db, tenant, &self.which.run).await?;
                let question = match self.hangup {
                    true => format!("Cancel {id} at once and hang up its calls? [y/N] "),
                    false => format!("Cancel {id} at once? [y/N] "),
                };
                if !self.yes && !confirmed(&question)? {
                    return Ok(None);
                }
                let at = desk_of_runs(desk, db)?;
                let forced = at.force_cancel(&by(tenant), &id, self.hangup).await.map_err(refused)?;
                Ok(Some((forced, hangups::count_of_run(db, tenant, &id).await?)))
            })
            .await?;
        let Some((ForceCancelled { run, jobs_cancelled, live_calls }, hangups)) = done else {
            desk.out.note("nothing was changed");
            return Ok(Exit::Ok);
        };
        let json = json!({
            "jobs_cancelled": jobs_cancelled, "live_calls": live_calls, "hung_up": hangups.hung_up,
            "hangups_pending": hangups.pending, "run": view::run(&run),
        });
        let id = &run.row.id;
        desk.out.show(&json, || {
            format!("{id} is {}: {jobs_cancelled} jobs cancelled, {live_calls} calls under way", run.row.state)
        })?;
        if hangups.pending > 0 && !desk.out.is_json() {
            let next = "a running gateway hangs them up; `onhook runs jobs` shows what became of them";
            desk.out.note(format!("{} calls are still to be hung up: {next}", hangups.pending));
        }
        Ok(Exit::Ok)
    }
}
