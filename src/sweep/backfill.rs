//! Calls that nobody told us of: what the provider lists and we do not know.
//!
//! Asked for by somebody, never done by itself. What is found comes in by the one door, as what the provider answered when
//! it was asked; doing it again finds nothing.

use super::{
    Shared, Sweeper,
    backfilled::{AccountBackfill, BackfillReport, Found},
    follow_up,
    twilio::TwilioSource,
};
use crate::{
    directory::Unavailable,
    domain::{
        signal::{Claim, Signal},
        state::{Resolution, Status},
        time::{Millis, SECOND, parse_rfc3339, rfc3339},
    },
    ingest::{self, AT_ONCE_MAX, Submission},
    provider::Trouble,
    store::{
        StoreError,
        audit::{self, AuditRow},
        calls::{CallRow, LegKey},
        due,
        follow_ups::{self, FollowUpRow},
    },
    telemetry::ProviderRequest,
    twilio::{asked, client::CallFilter, rest::Call},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// What is to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Whose calls.
    pub tenant: String,
    /// Of this provider account only.
    pub account: Option<String>,
    /// Calls that started at or after this moment.
    pub since_ms: Millis,
    /// … and before this one.
    pub until_ms: Option<Millis>,
    /// Only say what would be done: the provider is asked all the same.
    pub dry_run: bool,
    /// Who asks for it: `key:<id>`, `cli`.
    pub actor: String,
}

/// Why nothing could be looked for. The fragments complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The database is away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tenant has no such account whose provider can be asked.
    #[error("find the Twilio account {0} of the tenant")]
    UnknownAccount(String),
    /// The accounts cannot be read.
    #[error(transparent)]
    Accounts(#[from] Unavailable),
    /// Another one is under way.
    #[error("begin: another backfill is under way on this node")]
    Busy,
}

/// Reads how far back to look: a duration such as `24h`, or a moment in RFC 3339. At most [`asked::PAST_MAX`] ago.
pub fn moment(text: &str, now_ms: Millis) -> Result<Millis, String> {
    let ago = humantime::parse_duration(text).ok().and_then(|ago| i64::try_from(ago.as_millis()).ok());
    let at = ago.map(|ago| now_ms.saturating_sub(ago)).or_else(|| parse_rfc3339(text));
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let Some(at) = at else {
        return Err(format!("{shown:?} is neither a duration such as 24h nor RFC 3339, such as 2026-11-20T10:11:08Z"));
    };
    if at > now_ms {
        return Err(format!("{shown:?} is in the future"));
    }
    if at < now_ms.saturating_sub(asked::PAST_MAX) {
        return Err(format!("{shown:?} is more than 400 days ago; no provider lists calls that old"));
    }
    Ok(at)
}

impl Sweeper {
    /// Looks for calls that nobody told us of, and writes them.
    pub async fn backfill(&self, wanted: Backfill) -> Result<BackfillReport, BackfillError> {
        let shared = &self.0;
        // Each holds its lists in memory.
        let _alone = shared.backfills.try_acquire().map_err(|_| BackfillError::Busy)?;
        let accounts = shared.sources.accounts(&wanted.tenant, wanted.account.as_deref()).await?;
        if let (Some(account), true) = (&wanted.account, accounts.is_empty()) {
            return Err(BackfillError::UnknownAccount(account.clone()));
        }
        let wanted = Arc::new(wanted);
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for account in accounts {
            let (shared, wanted, permits) = (shared.clone(), wanted.clone(), permits.clone());
            asking.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let mut of = AccountBackfill { account, ..AccountBackfill::default() };
                if let Err(error) = fill(&shared, &wanted, &mut of).await {
                    of.trouble = Some(format!("failed to {error}"));
                }
                of
            });
        }
        let mut accounts = Vec::new();
        while let Some(done) = asking.join_next().await {
            match done {
                Ok(of) => accounts.push(of),
                Err(panic) => tracing::error!(%panic, "backfilling an account broke; doing it again is safe"),
            }
        }
        accounts.sort_by(|a, b| a.account.cmp(&b.account));
        let (dry_run, since) = (wanted.dry_run, rfc3339(wanted.since_ms));
        let report = BackfillReport { dry_run, since, until: wanted.until_ms.map(rfc3339), accounts };
        if !report.dry_run {
            keep(shared, &wanted, &report).await?;
        }
        Ok(report)
    }
}

/// Why an account could not be filled up.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("ask about it: onhook has no credentials for it; give it a token (`onhook accounts rotate`)")]
    Nobody,
}

/// A call to be written, as the provider told it.
struct Told {
    found: Found,
    signal: Signal,
}

async fn fill(shared: &Shared, wanted: &Backfill, of: &mut AccountBackfill) -> Result<(), FillError> {
    let source = shared.sources.of(&wanted.tenant, super::source::TWILIO, &of.account).await?;
    let source = source.ok_or(FillError::Nobody)?;
    let asked_ms = shared.clock.now_ms();
    let listed = list(&source, wanted, of).await?;
    of.listed = count(listed.len());
    let known = known(shared, &wanted.tenant, &of.account, &listed).await?;
    let (mut told, mut history) = (Vec::new(), Vec::new());
    // The oldest first: a call before the legs it dialed.
    for call in listed.iter().rev() {
        let signal = asked::read(call, &of.account, asked_ms);
        let found = found(call, &signal);
        let key = key(&wanted.tenant, &of.account, &call.sid);
        match known.get(&call.sid) {
            None => {
                of.found_count += 1;
                show(&mut of.found, &found);
            }
            Some(row) => {
                of.known += 1;
                if !matches!(signal.claim, Claim::Ended(_)) || has_told_ending(row)? {
                    continue;
                }
                of.ended_count += 1;
                show(&mut of.ended, &found);
            }
        }
        if let Claim::Ended(_) = signal.claim {
            history.extend(follow_up::history_row(&key, signal.at.unwrap_or(asked_ms), asked_ms));
        }
        told.push(Told { found, signal });
    }
    if wanted.dry_run {
        return Ok(());
    }
    submit(shared, wanted, of, told, history).await
}

/// Everything the provider lists, the newest first, each once: what started within the time, what waits to start, and what
/// was taken back before it could start.
async fn list(source: &TwilioSource, wanted: &Backfill, of: &mut AccountBackfill) -> Result<Vec<Call>, Trouble> {
    let Backfill { since_ms, until_ms, .. } = *wanted;
    let started = CallFilter { started_from_ms: Some(since_ms), started_before_ms: until_ms, ..CallFilter::default() };
    let in_status = |status: &str| CallFilter { status: Some(status.to_owned()), ..CallFilter::default() };
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    for filter in [in_status("queued"), in_status("canceled"), started] {
        let listed = source.client().list_calls(&of.account, &filter, LISTED_MAX).await;
        source.count(ProviderRequest::Other, &listed);
        let listed = listed.map_err(|error| error.trouble(&of.account))?;
        if listed.is_cut && filter.status.is_none() {
            // The one that was cut off may have started in the same second.
            let oldest = listed.entries.iter().filter_map(|call| call.started_ms).min();
            of.cut_at = oldest.map(|at| rfc3339(at.saturating_add(SECOND)));
        }
        for call in listed.entries {
            source.check(&call)?;
            // A day may be as exact as it gets there. One without a start waits for it, or never had one: then it counts
            // from when it was made.
            let is_wanted = |at: Millis| at >= since_ms && until_ms.is_none_or(|until| at < until);
            let began_ms = call.started_ms.or(call.created_ms.filter(|_| call.has_ended()));
            if began_ms.is_none_or(is_wanted) {
                calls.insert(call.sid.clone(), call);
            }
        }
    }
    let mut calls: Vec<Call> = calls.into_values().collect();
    calls.sort_by(|a, b| began(b).cmp(&began(a)));
    Ok(calls)
}

/// When a call began; one that waits does so last. A leg begins after the one that dialed it.
fn began(call: &Call) -> (Millis, bool, &str) {
    (call.created_ms.or(call.started_ms).unwrap_or(Millis::MAX), call.parent_call_sid.is_some(), &call.sid)
}

async fn known(
    shared: &Shared,
    tenant: &str,
    account: &str,
    listed: &[Call],
) -> Result<HashMap<String, CallRow>, StoreError> {
    let keys: Vec<LegKey> = listed.iter().map(|call| key(tenant, account, &call.sid)).collect();
    let mut known = HashMap::new();
    for keys in keys.chunks(KEYS_MAX) {
        let rows = due::list_by_keys(&shared.db, keys).await?;
        known.extend(rows.into_iter().map(|row| (row.provider_id.clone(), row)));
    }
    Ok(known)
}

fn has_told_ending(row: &CallRow) -> Result<bool, StoreError> {
    let resolution = ingest::registers(row)?.read().resolution;
    Ok(row.merged_into.is_some() || resolution.is_some_and(Resolution::is_told))
}

async fn submit(
    shared: &Shared,
    wanted: &Backfill,
    of: &mut AccountBackfill,
    told: Vec<Told>,
    history: Vec<FollowUpRow>,
) -> Result<(), FillError> {
    let submission = |told: &Told| Submission {
        tenant: wanted.tenant.clone(),
        provider: super::source::TWILIO,
        delivery: None,
        signals: vec![told.signal.clone()],
        ask: Vec::new(),
        decision: None,
    };
    let mut written = HashSet::new();
    for told in told.chunks(AT_ONCE_MAX) {
        let results = shared.ingest.submit_all(told.iter().map(submission).collect(), SUBMIT_WITHIN).await;
        for (Told { found, .. }, result) in told.iter().zip(results) {
            match result {
                Ok(_) => drop(written.insert(found.provider_id.clone())),
                Err(error) => of.trouble = Some(format!("not everything could be written: failed to {error}")),
            }
        }
    }
    of.submitted = count(written.len());
    let history: Vec<FollowUpRow> = history.into_iter().filter(|row| written.contains(&row.provider_id)).collect();
    let mut tx = shared.db.begin().await?;
    follow_ups::insert(&mut tx, &history).await?;
    Ok(tx.commit().await?)
}

/// One row of the audit for each account.
async fn keep(shared: &Shared, wanted: &Backfill, report: &BackfillReport) -> Result<(), StoreError> {
    let row = |of: &AccountBackfill| {
        let AccountBackfill { account, listed, known, found_count, ended_count, submitted, trouble, cut_at, .. } = of;
        let detail = serde_json::json!({
            "since": report.since, "until": report.until, "listed": listed, "known": known, "found": found_count,
            "ended": ended_count, "submitted": submitted, "cut_at": cut_at, "trouble": trouble,
        });
        AuditRow {
            tenant: wanted.tenant.clone(),
            id: shared.new_id("audit"),
            at_ms: shared.clock.now_ms(),
            actor: wanted.actor.clone(),
            action: "backfill".to_owned(),
            subject: account.clone(),
            detail: detail.to_string(),
        }
    };
    let rows: Vec<AuditRow> = report.accounts.iter().map(row).collect();
    let mut tx = shared.db.begin().await?;
    audit::insert(&mut tx, &rows).await?;
    tx.commit().await
}

fn found(call: &Call, signal: &Signal) -> Found {
    let status = match &signal.claim {
        Claim::Live(live) => Status::from(*live).to_string(),
        Claim::Ended(told) => Status::from(told.outcome).to_string(),
        Claim::Unknown(word) => word.clone(),
        _ => call.status.clone(),
    };
    let (provider_id, direction) = (call.sid.clone(), call.direction.clone());
    Found { provider_id, status, direction, started_at: call.started_ms.map(rfc3339) }
}

fn show(shown: &mut Vec<Found>, found: &Found) {
    if shown.len() < super::report::SHOWN_MAX {
        shown.push(found.clone());
    }
}

fn key(tenant: &str, account: &str, provider_id: &str) -> LegKey {
    LegKey { tenant: tenant.to_owned(), provider_id: provider_id.to_owned(), account: account.to_owned() }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// How many calls of an account are listed: ten requests, and ten megabytes of memory.
pub const LISTED_MAX: usize = 10_000;
/// How many accounts are asked at a time.
const AT_ONCE: usize = 4;
/// How many calls are looked up at once.
const KEYS_MAX: usize = 500;
/// How long what was heard may take to be written, for each piece of it.
const SUBMIT_WITHIN: Duration = Duration::from_secs(30);
/// How much of a wrong value is shown.
const SHOWN_CHARS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{DAY, HOUR, MINUTE};

    const NOW_MS: Millis = 1_800_000_000_000;

    #[test]
    fn a_moment_is_a_duration_ago_or_a_time() {
        assert_eq!(moment("24h", NOW_MS), Ok(NOW_MS - DAY));
        assert_eq!(moment("90min", NOW_MS), Ok(NOW_MS - 90 * MINUTE));
        assert_eq!(moment("400d", NOW_MS), Ok(NOW_MS - 400 * DAY));
        assert_eq!(moment(&rfc3339(NOW_MS - HOUR), NOW_MS), Ok(NOW_MS - HOUR));
        assert_eq!(moment(&rfc3339(NOW_MS), NOW_MS), Ok(NOW_MS));
        for (wrong, why) in [
            ("401d", "400 days"),
            ("2000-01-01T00:00:00Z", "400 days"),
            ("2030-01-01T00:00:00Z", "future"),
            ("yesterday", "24h"),
            ("", "24h"),
            ("-1h", "24h"),
        ] {
            assert!(moment(wrong, NOW_MS).unwrap_err().contains(why), "{wrong}");
        }
    }
}
