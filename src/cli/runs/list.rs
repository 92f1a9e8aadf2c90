//! Looking at runs and jobs.

use super::{by_page, desk_of_runs, id_of, refused, view};
use crate::{
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        page::Page,
    },
    domain::{
        run::{JobState, RunState, Worker},
        state::Outcome,
    },
    runs::Shown,
    store::{
        jobs::{self, JobFilter, JobRow},
        runs::RunFilter,
    },
};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// List runs, the newest first
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook runs list
  onhook runs list --state running --json")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// Only runs that stand so: pending, running, paused, cancelling, completed, cancelled, failed
    #[arg(long, value_name = "STATE")]
    state: Option<RunState>,
    /// Only runs that are dialed by onhook (internal) or by your own dialer (external)
    #[arg(long, value_name = "WORKER")]
    worker: Option<Worker>,
    #[command(flatten)]
    page: Page,
}

/// Show one run
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs show spring")]
pub struct Show {
    #[command(flatten)]
    tenant: Tenant,
    /// Its id, or your own key of it
    run: String,
}

/// Show the newest run that is being dialed; exit code 3 if none is
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook runs active --json")]
pub struct Active {
    #[command(flatten)]
    tenant: Tenant,
}

/// List the jobs of a run, in the order of its list
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook runs jobs spring --state unknown
  onhook runs jobs spring --outcome busy --json")]
pub struct ListJobs {
    #[command(flatten)]
    tenant: Tenant,
    /// Its id, or your own key of it
    run: String,
    /// Only jobs that stand so: queued, placing, placed, live, done, unknown, cancelled, failed
    #[arg(long, value_name = "STATE")]
    state: Option<JobState>,
    /// Only jobs whose last call ended so: completed, busy, no-answer, failed, canceled
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// Only jobs of this lead
    #[arg(long, value_name = "ID")]
    lead: Option<String>,
    #[command(flatten)]
    page: Page,
}

impl List {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.page.require(|text| by_page(text).is_some())?;
        let filter = RunFilter {
            state: self.state.map(|state| state.as_str().to_owned()),
            worker: self.worker.map(|worker| worker.as_str().to_owned()),
        };
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |desk, db| {
                let at = desk_of_runs(desk, db)?;
                let fetch = async |after: Option<&str>, limit| {
                    let (ms, id) = after.and_then(by_page).unwrap_or((i64::MAX, String::new()));
                    at.list(tenant, &filter, (ms, &id), limit).await.map_err(refused)
                };
                let cursor = |shown: &Shown| format!("{}:{}", shown.row.created_ms, shown.row.id);
                self.page.collect(cursor, fetch).await
            })
            .await?;
        listed.show(&desk.out, view::run, view::RUN_COLUMNS, view::run_line)?;
        Ok(Exit::Ok)
    }
}

impl Show {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let shown = desk
            .on_existing_db(async |desk, db| {
                let id = id_of(db, tenant, &self.run).await?;
                desk_of_runs(desk, db)?.show(tenant, &id).await.map_err(refused)
            })
            .await?;
        desk.out.show(&view::run(&shown), || view::sheet(&desk.out, &shown))?;
        Ok(Exit::Ok)
    }
}

impl Active {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let active =
            desk.on_existing_db(async |desk, db| desk_of_runs(desk, db)?.active(tenant).await.map_err(refused));
        let Some(active) = active.await? else {
            let next = "`onhook runs list` shows the runs there are, `onhook runs start` starts one";
            return Err(Stop::not_found(format!("active run of tenant {tenant}"), next));
        };
        let mut value = view::run(&active.run);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("also_active".to_owned(), json!(active.also_active));
        }
        desk.out.show(&value, || {
            let sheet = view::sheet(&desk.out, &active.run);
            match active.also_active.is_empty() {
                true => sheet,
                false => format!("{sheet}\nalso active: {}", active.also_active.join(", ")),
            }
        })?;
        Ok(Exit::Ok)
    }
}

impl ListJobs {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.page.require_number()?;
        let filter = JobFilter {
            state: self.state.map(|state| state.as_str().to_owned()),
            outcome: self.outcome.map(|outcome| outcome.as_str().to_owned()),
            lead_id: self.lead,
        };
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let id = id_of(db, tenant, &self.run).await?;
                let fetch = async |after: Option<&str>, limit| {
                    let after = after.and_then(|text| text.parse().ok()).unwrap_or(0);
                    jobs::list(db, tenant, &id, &filter, after, limit).await
                };
                self.page.collect(|row: &JobRow| row.place.to_string(), fetch).await
            })
            .await?;
        listed.show(&desk.out, view::job, view::JOB_COLUMNS, view::job_line)?;
        Ok(Exit::Ok)
    }
}
