//! Does what the verdicts say, or says what it would do.

use super::{
    pass::Pass,
    report::{Change, Report},
    verdict::{Answer, Verdict},
};
use crate::{
    ami::PROVIDER,
    domain::{
        call::Row,
        signal::{Field, Signal},
        state::{Resolution, Status},
        time::{MINUTE, Millis},
    },
    ingest::{self, Decision, Submission},
    store::{
        StoreError,
        calls::{self, CallRow, LegKey},
        due::{self, Settled},
        follow_ups::{self, FollowUpRow},
    },
    twilio::history::SHOWN_AFTER_MS,
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// A verdict on a call.
pub(super) struct Act {
    pub(super) row: CallRow,
    /// What the row read when it was judged.
    pub(super) before: Row,
    pub(super) verdict: Verdict,
    /// Whether the call was to be looked at, and did not only turn up in a list.
    pub(super) counts: bool,
}

/// What a call is after its verdict, or would be.
struct After {
    status: Status,
    resolution: Option<Resolution>,
    ended_at_ms: Option<Millis>,
}

impl Pass {
    /// Submits what is to be submitted, notes what became of asking, and reports it. One call's failure is its own.
    pub(super) async fn perform(&mut self, acts: Vec<Act>) -> Result<(), StoreError> {
        if acts.is_empty() {
            return Ok(());
        }
        if self.request.dry_run {
            for act in &acts {
                let after = foretell(act)?;
                self.report.note(act, &after);
            }
            return Ok(());
        }
        let (acts, failed) = self.submit(acts).await;
        for (act, why) in failed {
            self.report.skip(&act.row, act.before.status, why);
        }
        let after = self.reload(&acts).await?;
        for some in acts.chunks(SETTLED_AT_ONCE) {
            self.settle(some, &after).await?;
        }
        for act in &acts {
            let unchanged = After::of_row(&act.before);
            self.report.note(act, after.get(&act.row.provider_id).unwrap_or(&unchanged));
        }
        Ok(())
    }

    /// Answers which acts are durable, and which failed for which reason.
    async fn submit(&self, acts: Vec<Act>) -> (Vec<Act>, Vec<(Act, String)>) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let (with, without): (Vec<Act>, Vec<Act>) = acts.into_iter().partition(|act| act.verdict.signal.is_some());
        done.extend(without);
        let mut with = with.into_iter().peekable();
        while with.peek().is_some() {
            let some: Vec<Act> = with.by_ref().take(SUBMITTED_AT_ONCE).collect();
            let submissions = some.iter().map(|act| self.submission(act)).collect();
            let results = self.shared.ingest.submit_all(submissions, SUBMIT_WITHIN).await;
            for (act, result) in some.into_iter().zip(results) {
                match result {
                    Ok(_) => done.push(act),
                    Err(error) => {
                        let call = &act.row.id;
                        tracing::warn!(call, "failed to {error}; the call is asked about again when its lease ends");
                        failed.push((act, format!("What was heard could not be written: failed to {error}.")));
                    }
                }
            }
        }
        (done, failed)
    }

    fn submission(&self, act: &Act) -> Submission {
        let Verdict { signal, decided, .. } = &act.verdict;
        let actor = || self.request.actor.clone();
        let judged = Some((act.row.last_signal_ms, act.row.deliveries));
        let decision =
            decided.clone().map(|(action, rule, evidence)| Decision { actor: actor(), action, rule, evidence, judged });
        let provider = if act.row.provider == PROVIDER { PROVIDER } else { "twilio" };
        let signals = signal.iter().map(|signal| told_of(signal, &act.row)).collect();
        Submission { tenant: act.row.tenant.clone(), provider, delivery: None, signals, ask: Vec::new(), decision }
    }

    /// What the calls are now whose state may have changed: by what was submitted, or by a webhook that came first.
    async fn reload(&self, acts: &[Act]) -> Result<HashMap<String, After>, StoreError> {
        let may_differ = |act: &&Act| act.verdict.answer != Answer::Alive || !act.counts || is_news(act);
        let keys: Vec<LegKey> = acts.iter().filter(may_differ).map(|act| key(&act.row)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = due::list_by_keys(&self.shared.db, &keys).await?;
        // One that cannot be read any more reads as before; whoever looks at it next says so.
        let read = |row: &CallRow| Some((row.provider_id.clone(), After::of_row(&ingest::registers(row).ok()?.read())));
        Ok(rows.iter().filter_map(read).collect())
    }

    async fn settle(&self, acts: &[Act], after: &HashMap<String, After>) -> Result<(), StoreError> {
        let mut left = REPEATS_MAX;
        loop {
            match self.try_settle(acts, after).await {
                // A writer or another node was in the way.
                Err(StoreError::Again(_)) if left > 0 => left -= 1,
                result => return result,
            }
        }
    }

    async fn try_settle(&self, acts: &[Act], after: &HashMap<String, After>) -> Result<(), StoreError> {
        let settled: Vec<Settled> = acts.iter().map(|act| settled(act, self.now_ms)).collect();
        let follow_ups: Vec<FollowUpRow> =
            acts.iter().filter_map(|act| self.follow_up(act, after.get(&act.row.provider_id)?)).collect();
        let mut tx = self.shared.db.begin().await?;
        // In the same order as a writer that has some of these calls: neither waits for the other in a circle.
        let keys: BTreeSet<LegKey> = acts.iter().map(|act| key(&act.row)).collect();
        calls::lock(&mut tx, &keys.into_iter().collect::<Vec<_>>()).await?;
        due::settle(&mut tx, &settled, self.due, self.lease_ms).await?;
        follow_ups::insert(&mut tx, &follow_ups).await?;
        tx.commit().await
    }

    /// What is still to be learned of a call that has just ended: its lost callbacks, or how it really ended.
    fn follow_up(&self, act: &Act, after: &After) -> Option<FollowUpRow> {
        // A PBX knows nothing of calls that are over.
        if act.row.provider == PROVIDER {
            return None;
        }
        let (kind, due_ms) = match after.resolution? {
            Resolution::Reconciled if act.verdict.answer == Answer::Ended => {
                let ended_ms = after.ended_at_ms.unwrap_or(self.now_ms).min(self.now_ms);
                (follow_ups::HISTORY, ended_ms.saturating_add(SHOWN_AFTER_MS).max(self.now_ms))
            }
            Resolution::Inferred if matches!(act.verdict.answer, Answer::Trouble | Answer::Nobody) => {
                (follow_ups::ENDING, self.now_ms.saturating_add(ENDING_AFTER_MS))
            }
            _ => return None,
        };
        let LegKey { tenant, provider_id, account } = key(&act.row);
        Some(FollowUpRow {
            tenant,
            provider_id,
            account,
            kind: kind.to_owned(),
            due_ms,
            attempts: 0,
            created_ms: self.now_ms,
        })
    }
}

impl After {
    const fn of_row(row: &Row) -> Self {
        Self { status: row.status, resolution: row.resolution, ended_at_ms: row.ended_at_ms }
    }
}

impl Report {
    /// Counts a call that was judged, and shows it if it changed or nobody could say.
    fn note(&mut self, act: &Act, after: &After) {
        let changed = act.before.status != after.status || act.before.resolution != after.resolution;
        if !act.counts && !changed {
            return;
        }
        if changed {
            self.change(Change {
                call_id: act.row.id.clone(),
                provider_id: act.row.provider_id.clone(),
                account: act.row.account.clone(),
                from: act.before.status,
                to: after.status,
                resolution: after.resolution,
                why: act.verdict.why.clone(),
            });
        }
        match (act.verdict.answer, after.resolution) {
            (Answer::Alive, _) => self.count_alive(),
            (Answer::Ended, Some(Resolution::Callback)) => self.count_told(),
            (Answer::Ended, _) => self.count_repaired(),
            (_, Some(Resolution::Inferred)) if changed => self.count_given_up(),
            _ => self.skip(&act.row, after.status, act.verdict.why.clone()),
        }
    }
}

/// What would become of a call.
fn foretell(act: &Act) -> Result<After, StoreError> {
    Ok(After::of_row(&ingest::foretell(&act.row, act.verdict.signal.as_ref())?))
}

/// What was heard of a call, without what was erased from it: a person that was forgotten does not come back by asking.
fn told_of(signal: &Signal, row: &CallRow) -> Signal {
    let mut signal = signal.clone();
    if row.direction.is_some() && row.from.is_none() && row.to.is_none() {
        signal.details.retain(|field, _| !matches!(field, Field::From | Field::To | Field::RecordingUrl));
    }
    signal
}

/// Whether what was heard is more than a sign of life.
fn is_news(act: &Act) -> bool {
    act.verdict.signal.as_ref().is_some_and(|signal| !signal.is_sign_of_life())
}

fn settled(act: &Act, now_ms: Millis) -> Settled {
    let LegKey { tenant, provider_id, account } = key(&act.row);
    let Verdict { answer, asks, due_at_ms, .. } = &act.verdict;
    let answer = answer.as_str().to_owned();
    Settled { tenant, provider_id, account, asked_ms: now_ms, asks: *asks, answer, due_at_ms: *due_at_ms }
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

/// How often it is tried again to write what became of asking.
const REPEATS_MAX: u32 = 3;
/// How many calls are written in one transaction: a webhook that comes meanwhile waits for one of these, not for a page.
const SUBMITTED_AT_ONCE: usize = 32;
const SETTLED_AT_ONCE: usize = 100;
/// How long what was heard may take to be written.
const SUBMIT_WITHIN: Duration = Duration::from_secs(30);
/// When one that was given up is asked about again.
pub(super) const ENDING_AFTER_MS: Millis = 5 * MINUTE;
