//! Runs and jobs as the REST API shows them, for `--json`, and as people read them.

use crate::{
    cli::{
        out::{Out, Tone, or_dash},
        view::{moment, second},
    },
    domain::time::rfc3339,
    runs::{Counts, Shown},
    store::jobs::JobRow,
};
use serde_json::{Value, json};

/// A run.
pub fn run(shown: &Shown) -> Value {
    let Shown { row, settings, .. } = shown;
    let lease = row.holder.as_ref().filter(|_| shown.is_leased()).map(
        |worker| json!({ "worker": worker, "until": rfc3339(row.lease_until_ms), "heartbeat_at": moment(row.beat_ms) }),
    );
    let retry = &settings.retry;
    json!({
        "id": row.id, "key": row.key, "name": row.name, "state": row.state, "worker": row.worker, "account": row.account,
        "from": settings.from, "connect": settings.connect, "twiml": settings.twiml, "url": settings.url,
        "channel": settings.channel, "context": settings.context, "extension": settings.extension,
        "timeout_seconds": settings.timeout_seconds, "time_limit_seconds": settings.time_limit_seconds,
        "machine_detection": settings.machine_detection, "calls_per_second": shown.calls_per_second(),
        "calls_at_once": row.calls_max,
        "retry": { "attempts": retry.attempts_max, "on": retry.on, "after_seconds": retry.after_seconds },
        "created_at": rfc3339(row.created_ms), "started_at": moment(row.started_ms),
        "cancel_requested_at": moment(row.cancel_ms), "ended_at": moment(row.ended_ms), "lease": lease,
        "stale": shown.stale, "progress_at": moment(row.progress_ms), "last_error": row.last_error,
        "last_error_at": moment(row.last_error_ms), "jobs": shown.counts, "outcomes": shown.outcomes,
    })
}

/// A job.
pub fn job(row: &JobRow) -> Value {
    json!({
        "id": row.id, "run_id": row.run_id, "key": row.key, "to": row.to, "lead_id": row.lead_id,
        "user_id": row.user_id, "state": row.state, "attempt": row.attempt, "due_at": rfc3339(row.due_ms),
        "provider_id": row.provider_id, "call_id": row.call_id, "outcome": row.outcome, "resolution": row.resolution,
        "answered_by": row.answered_by, "error": row.error, "created_at": rfc3339(row.created_ms),
        "updated_at": rfc3339(row.updated_ms), "ended_at": moment(row.ended_ms),
    })
}

/// A run on one screen.
pub fn sheet(out: &Out, shown: &Shown) -> String {
    let row = &shown.row;
    let state = match shown.stale {
        true => out.paint(Tone::Bad, &format!("{}, stale: nobody works on it", row.state)),
        false => row.state.clone(),
    };
    let lease = row.holder.as_ref().filter(|_| shown.is_leased());
    let text = out.sheet(&[
        ("id", row.id.clone()),
        ("key", or_dash(row.key.as_ref())),
        ("name", or_dash(row.name.as_ref())),
        ("worker", row.worker.clone()),
        ("account", row.account.clone()),
        ("from", or_dash(shown.settings.from.as_ref())),
        ("pace", format!("{} calls per second, {} at once", shown.calls_per_second(), row.calls_max)),
        ("made", second(row.created_ms)),
        ("started", or_dash(row.started_ms.map(second))),
        ("ended", or_dash(row.ended_ms.map(second))),
        ("dialed by", or_dash(lease)),
        ("last error", or_dash(row.last_error.as_ref())),
        ("jobs", by_state(&shown.counts)),
    ]);
    // Painted by itself: the sheet lets no control character through.
    format!("{}  {state}\n{text}", out.paint(Tone::Faint, "state     "))
}

/// How many jobs are in which state, without those in which none is.
pub fn by_state(counts: &Counts) -> String {
    let Counts { total, queued, placing, placed, live, done, unknown, cancelled, failed } = *counts;
    let parts = [
        (queued, "queued"),
        (placing, "placing"),
        (placed, "placed"),
        (live, "live"),
        (done, "done"),
        (unknown, "unknown"),
        (cancelled, "cancelled"),
        (failed, "failed"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { format!("{total}: {}", parts.join(", ")) }
}

/// The columns of a list of runs.
pub const RUN_COLUMNS: &[&str] = &["id", "key", "state", "worker", "jobs", "done", "under way", "made"];

/// A run as a row of it.
pub fn run_line(shown: &Shown) -> Vec<String> {
    let (row, counts) = (&shown.row, &shown.counts);
    let state = if shown.stale { format!("{} (stale)", row.state) } else { row.state.clone() };
    let over = counts.done + counts.unknown + counts.cancelled + counts.failed;
    let under_way = counts.placing + counts.placed + counts.live;
    let (key, made) = (or_dash(row.key.as_ref()), second(row.created_ms));
    let numbers = [counts.total, over, under_way].map(|n| n.to_string());
    let [total, over, under_way] = numbers;
    vec![row.id.clone(), key, state, row.worker.clone(), total, over, under_way, made]
}

/// The columns of a list of jobs.
pub const JOB_COLUMNS: &[&str] = &["id", "to", "lead", "state", "attempt", "outcome", "call", "why"];

/// A job as a row of it.
pub fn job_line(row: &JobRow) -> Vec<String> {
    vec![
        row.id.clone(),
        row.to.clone(),
        or_dash(row.lead_id.as_ref()),
        row.state.clone(),
        row.attempt.to_string(),
        or_dash(row.outcome.as_ref()),
        or_dash(row.provider_id.as_ref()),
        or_dash(row.error.as_ref()),
    ]
}
