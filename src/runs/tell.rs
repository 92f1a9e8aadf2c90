//! What everybody is told of a change of a run: the journal, the outbox, the audit, and people if it failed.

use super::{Counts, RunError, show, turn::Turn};
use crate::{
    audit::Act,
    domain::{effect::EffectKind, run::RunState, time::rfc3339, words},
    store::{
        audit::{self, AuditRow},
        journal::{self, NewEntry},
        notices::{self, NoticeRow},
        outbox::{self, OutboxRow},
        runs::RunRow,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;

words! {
    /// What was done to a run, as the journal has it.
    pub enum Change {
        /// It was made.
        Created = "run.created",
        /// It was started.
        Started = "run.started",
        /// It was paused.
        Paused = "run.paused",
        /// It goes on.
        Resumed = "run.resumed",
        /// Its end is asked for; calls of it are under way.
        Cancelling = "run.cancelling",
        /// It was cancelled.
        Cancelled = "run.cancelled",
        /// It was cancelled by force.
        ForceCancelled = "run.force_cancelled",
        /// All of its jobs are over.
        Completed = "run.completed",
        /// Nobody placed what could be placed.
        Failed = "run.failed",
    }
}

/// An entry of the journal about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTold {
    /// What was done.
    pub change: Change,
    /// How it stands now.
    pub state: RunState,
    /// Who did it: `key:<id>`, `cli`, `reaper`.
    pub actor: String,
    /// What went wrong, if it failed.
    pub last_error: Option<String>,
    /// Its jobs.
    pub jobs: Counts,
}

impl Change {
    /// What the outside is owed.
    const fn effect(self) -> Option<EffectKind> {
        match self {
            Self::Started => Some(EffectKind::RunStarted),
            Self::Completed => Some(EffectKind::RunCompleted),
            Self::Cancelled | Self::ForceCancelled => Some(EffectKind::RunCancelled),
            Self::Failed => Some(EffectKind::RunFailed),
            Self::Created | Self::Paused | Self::Resumed | Self::Cancelling => None,
        }
    }

    /// What the audit keeps, if it was somebody's deed.
    const fn act(self) -> Option<Act> {
        match self {
            Self::Created => Some(Act::RunCreated),
            Self::Started => Some(Act::RunStarted),
            Self::Paused => Some(Act::RunPaused),
            Self::Resumed => Some(Act::RunResumed),
            Self::Cancelling | Self::Cancelled => Some(Act::RunCancelled),
            Self::ForceCancelled => Some(Act::RunForceCancelled),
            Self::Failed => Some(Act::RunFailed),
            Self::Completed => None,
        }
    }
}

/// Tells of a change, in the turn that makes it. The run and its jobs are written already.
pub(super) async fn tell(turn: &mut Turn<'_>, row: &RunRow, change: Change, actor: &str) -> Result<(), RunError> {
    let (jobs, _) = show::count(&mut turn.tx, row).await?;
    let state = show::state(row)?;
    let told = RunTold { change, state, actor: actor.to_owned(), last_error: row.last_error.clone(), jobs };
    turn.journal.push(NewEntry {
        tenant: row.tenant.clone(),
        kind: journal::RUN,
        subject: row.id.clone(),
        at_ms: turn.now_ms,
        // A plain struct serializes to memory without fail.
        what: serde_json::to_string(&told).unwrap_or_default(),
    });
    if let Some(kind) = change.effect() {
        let owed = effect(turn, row, kind, jobs);
        outbox::insert(&mut turn.tx, &[owed]).await?;
    }
    // Who asked for the end is in the audit already when the reaper writes it down.
    if let Some(act) = change.act().filter(|_| actor != REAPER || change == Change::Failed) {
        let kept = audited(turn, row, act, actor, jobs);
        audit::insert(&mut turn.tx, &[kept]).await?;
    }
    if change == Change::Failed {
        let said = notice(turn, row, jobs);
        notices::insert(&mut turn.tx, &[said]).await?;
    }
    Ok(())
}

fn effect(turn: &Turn<'_>, row: &RunRow, kind: EffectKind, jobs: Counts) -> OutboxRow {
    let payload = json!({
        "run_id": row.id, "key": row.key, "name": row.name, "state": row.state, "worker": row.worker,
        "account": row.account, "started_at": row.started_ms.map(rfc3339), "ended_at": row.ended_ms.map(rfc3339),
        "last_error": row.last_error, "jobs": jobs,
    });
    OutboxRow {
        tenant: row.tenant.clone(),
        // Each of them is owed once for a run.
        key: format!("{}/{kind}", row.id),
        kind: kind.as_str().to_owned(),
        subject: row.id.clone(),
        created_ms: turn.now_ms,
        payload: payload.to_string(),
    }
}

fn audited(turn: &Turn<'_>, row: &RunRow, act: Act, actor: &str, jobs: Counts) -> AuditRow {
    let detail = json!({
        "state": row.state, "account": row.account, "worker": row.worker, "key": row.key, "jobs": jobs,
        "last_error": row.last_error,
    });
    AuditRow {
        tenant: row.tenant.clone(),
        id: turn.id("audit"),
        at_ms: turn.now_ms,
        actor: actor.to_owned(),
        action: act.as_str().to_owned(),
        subject: row.id.clone(),
        detail: detail.to_string(),
    }
}

fn notice(turn: &Turn<'_>, row: &RunRow, jobs: Counts) -> NoticeRow {
    let name = row.name.as_deref().or(row.key.as_deref()).map(|name| format!(" ({name})")).unwrap_or_default();
    let why = row.last_error.as_deref().unwrap_or_default();
    let under_way = jobs.placing + jobs.placed + jobs.live;
    let text = format!(
        "The run {}{name} has failed: {why}. {} of its {} jobs were not called; {under_way} calls that are under way are \
         followed to their end. Mend what was wrong and make a run of the others.",
        row.id, jobs.failed, jobs.total,
    );
    NoticeRow {
        tenant: row.tenant.clone(),
        id: turn.id("note"),
        user_id: None,
        kind: Act::RunFailed.as_str().to_owned(),
        subject: row.id.clone(),
        text,
        created_ms: turn.now_ms,
        read_ms: None,
    }
}

/// Who ends runs that nobody dials any more.
pub(super) const REAPER: &str = "reaper";
