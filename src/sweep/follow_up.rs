//! What is learned of calls after their end: the callbacks that were lost on the way (`history`), and how a call that was
//! given up really ended (`ending`).
//!
//! What is due is leased, and asked account by account. What was learned is submitted and struck off; what was not is asked
//! again later, up to a number of attempts and an age. Trouble of an account is no attempt: its questions wait.

pub(super) use super::history::history_row;
use super::{
    Shared, asking,
    history::{self, is_forgotten},
    twilio::TwilioSource,
    verdict::BELIEVED_MS,
};
use crate::{
    clock::Stopwatch,
    domain::{
        id::Leg,
        retry::Backoff,
        signal::{Claim, Signal},
        state::Resolution,
        time::{DAY, HOUR, MINUTE, Millis},
    },
    ingest::{self, Submission},
    provider::{Trouble, TroubleKind, Truth},
    store::{
        StoreError,
        calls::{CallRow, LegKey},
        due,
        follow_ups::{self, ENDING, FollowUpRow},
        signals,
        watch::{self, Claim as Claiming, WatchRow},
    },
    twilio::{history::KEPT_MS, rest::CallRequest},
};
use rand::RngExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Asks what is due, for a while; what is left stays due.
pub(super) async fn follow_up(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let watch = Stopwatch::start();
    let mut waits: BTreeMap<(String, String), Millis> = BTreeMap::new();
    for _ in 0..ROUNDS_MAX {
        let now_ms = shared.clock.now_ms();
        let mut tx = shared.db.begin().await?;
        let (beyond_ms, until_ms) = (now_ms.saturating_add(BEYOND_MS), now_ms.saturating_add(LEASE_MS));
        let leased = follow_ups::lease(&mut tx, now_ms, beyond_ms, until_ms, LEASED_MAX).await?;
        tx.commit().await?;
        let is_last = i64::try_from(leased.len()).is_ok_and(|n| n < LEASED_MAX);
        let mut accounts: BTreeMap<(String, String), Vec<FollowUpRow>> = BTreeMap::new();
        for row in leased {
            accounts.entry((row.tenant.clone(), row.account.clone())).or_default().push(row);
        }
        let mut asking = JoinSet::new();
        let permits = Arc::new(Semaphore::new(super::ACCOUNTS_AT_ONCE));
        for ((tenant, account), rows) in accounts {
            let (shared, permits) = (shared.clone(), permits.clone());
            // Who could not be asked a moment ago is not asked again in the next round.
            let waits_ms = waits.get(&(tenant.clone(), account.clone())).copied();
            asking.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let done = FollowUps::of(&shared, &tenant, &account, now_ms).run(rows, waits_ms).await;
                let until_ms = done.inspect_err(|error| {
                    tracing::warn!(tenant, account, "failed to {error} after the end of calls; it is tried again")
                });
                ((tenant, account), until_ms.ok().flatten())
            });
        }
        while let Some(done) = asking.join_next().await {
            match done {
                Ok((account, until_ms)) => waits.extend(until_ms.map(|until_ms| (account, until_ms))),
                Err(panic) => tracing::error!(%panic, "following up the calls of an account broke; it is tried again"),
            }
        }
        if is_last || watch.seconds() > WITHIN_S {
            break;
        }
    }
    Ok(())
}

/// The follow-ups of one account, while they are asked.
struct FollowUps<'a> {
    shared: &'a Arc<Shared>,
    tenant: &'a str,
    account: &'a str,
    now_ms: Millis,
    /// What is settled at the end, in one transaction.
    gone: Vec<FollowUpRow>,
    later: Vec<FollowUpRow>,
    new: Vec<FollowUpRow>,
    /// All questions about the account wait until then.
    wait_until_ms: Option<Millis>,
}

/// A question with the call it is about.
struct Open {
    row: FollowUpRow,
    call: CallRow,
}

/// What Twilio said to a question.
enum Told {
    Ending(Signal),
    History(Vec<CallRequest>),
}

/// `None`: it does not know the call.
type Heard = Result<Option<Told>, Trouble>;

impl<'a> FollowUps<'a> {
    fn of(shared: &'a Arc<Shared>, tenant: &'a str, account: &'a str, now_ms: Millis) -> Self {
        let (gone, later, new) = (Vec::new(), Vec::new(), Vec::new());
        Self { shared, tenant, account, now_ms, gone, later, new, wait_until_ms: None }
    }

    /// Answers until when the account is to be left alone.
    async fn run(mut self, rows: Vec<FollowUpRow>, waits_ms: Option<Millis>) -> Result<Option<Millis>, StoreError> {
        self.wait_until_ms = waits_ms;
        if waits_ms.is_some() {
            return self.settle().await;
        }
        let open = self.open(rows).await?;
        if let Some(provider) = open.first().map(|open| open.call.provider.clone()) {
            self.ask(&provider, open).await?;
        }
        self.settle().await
    }

    /// Those that are still a question.
    async fn open(&mut self, rows: Vec<FollowUpRow>) -> Result<Vec<Open>, StoreError> {
        let calls = self.calls(&rows).await?;
        let mut open = Vec::new();
        for row in rows {
            let call = calls.get(&row.provider_id).filter(|call| !is_forgotten(call) && !self.is_old(&row));
            match call {
                Some(call) if is_open(&row.kind, call) => open.push(Open { row, call: call.clone() }),
                // Whoever told its ending may have died before its history was asked for.
                Some(call) if row.kind == ENDING && call.resolution.as_deref() == Some(RECONCILED) => {
                    let ended_ms = call.ended_at_ms.unwrap_or(self.now_ms);
                    self.new.extend(history_row(&self.key(&row.provider_id), ended_ms, self.now_ms));
                    self.gone.push(row);
                }
                _ => self.gone.push(row),
            }
        }
        Ok(open)
    }

    /// The calls they are about, by the provider's id.
    async fn calls(&self, rows: &[FollowUpRow]) -> Result<HashMap<String, CallRow>, StoreError> {
        let keys: Vec<LegKey> = rows.iter().map(|row| self.key(&row.provider_id)).collect();
        let calls = due::list_by_keys(&self.shared.db, &keys).await?;
        Ok(calls.into_iter().map(|call| (call.provider_id.clone(), call)).collect())
    }

    async fn ask(&mut self, provider: &str, open: Vec<Open>) -> Result<(), StoreError> {
        let (shared, now_ms) = (self.shared, self.now_ms);
        let source = match shared.sources.of(self.tenant, provider, self.account).await {
            Ok(Some(source)) => source,
            // Nobody can be asked now; somebody may give us credentials.
            Ok(None) | Err(_) => {
                self.wait_until_ms = Some(now_ms.saturating_add(WAIT_MS));
                return Ok(());
            }
        };
        let (tenant, account) = (self.tenant, self.account);
        let claiming =
            Claiming { tenant, account, now_ms, until_ms: now_ms.saturating_add(LEASE_MS), not_listed_after_ms: None };
        let mut tx = shared.db.begin().await?;
        let claimed = watch::claim(&mut tx, claiming).await?;
        tx.commit().await?;
        // Somebody else is asking the account now; these are due again when their lease ends.
        let Some(mut watch) = claimed else { return Ok(()) };
        asking::meet(&mut watch, source.base());
        if let Some(until_ms) =
            watch.ask_again_ms.filter(|_| asking::forbids(&watch, source.fingerprint(), now_ms).is_some())
        {
            self.wait_until_ms = Some(until_ms);
            return asking::let_go(shared, &watch).await;
        }
        let heard = ask_all(&source, open).await;
        // If only that calls are unknown was learned, it says nothing about the account.
        let is_silent = !heard.iter().any(|(_, heard)| matches!(heard, Ok(Some(_))));
        let trouble = self.hear(&mut watch, heard).await?;
        if trouble.is_none() && is_silent {
            return asking::let_go(shared, &watch).await;
        }
        let fingerprint = Some(source.fingerprint().to_owned());
        asking::release(shared, &mut watch, trouble.as_ref(), fingerprint, shared.clock.now_ms()).await
    }

    /// Makes of the answers what is submitted and when what is asked again. Answers why the account cannot be asked.
    async fn hear(&mut self, watch: &mut WatchRow, heard: Vec<(Open, Heard)>) -> Result<Option<Trouble>, StoreError> {
        let answers = heard.iter().any(|(_, heard)| heard.is_ok());
        if heard.iter().any(|(open, heard)| matches!(heard, Ok(Some(_))) && open.call.deliveries > 0) {
            watch.seen_ms = Some(self.now_ms);
        }
        let knows_us = asking::knows_us(watch, self.now_ms, BELIEVED_MS);
        let (mut trouble, mut told) = (None, Vec::new());
        for (open, heard) in heard {
            match heard {
                Ok(Some(said)) => told.push((open, said)),
                // What an account does not know that knows none of our calls means nothing.
                Ok(None) if !knows_us => self.not_now(open.row),
                Ok(None) => self.again(open.row),
                // It answers other questions: the trouble is that of this one.
                Err(error) if answers && !is_of_account(error.kind) => self.again(open.row),
                Err(error) => trouble = Some(error),
            }
        }
        if trouble.is_some() {
            self.wait_until_ms = Some(self.now_ms.saturating_add(WAIT_MS));
        }
        self.submit(told).await?;
        Ok(trouble)
    }

    async fn submit(&mut self, told: Vec<(Open, Told)>) -> Result<(), StoreError> {
        let (mut rows, mut submissions) = (Vec::new(), Vec::new());
        // Somebody may have been forgotten while it was asked: what was told would bring the numbers back.
        let asked: Vec<FollowUpRow> = told.iter().map(|(open, _)| open.row.clone()).collect();
        let calls = self.calls(&asked).await?;
        for (Open { row, call }, told) in told {
            if calls.get(&row.provider_id).is_none_or(is_forgotten) {
                self.gone.push(row);
                continue;
            }
            let (signals, is_learned) = match told {
                Told::Ending(signal) => {
                    let is_learned = matches!(signal.claim, Claim::Ended(_) | Claim::Live(_));
                    self.new.extend(self.history_of(&row, &signal));
                    (vec![signal], is_learned)
                }
                Told::History(requests) => (self.lost(&call, &requests).await?, !requests.is_empty()),
            };
            rows.push((row, is_learned));
            let (tenant, provider) = (call.tenant, super::source::TWILIO);
            submissions.push(Submission { tenant, provider, delivery: None, signals, ask: Vec::new(), decision: None });
        }
        let results = self.shared.ingest.submit_all(submissions, SUBMIT_WITHIN).await;
        for ((row, is_learned), result) in rows.into_iter().zip(results) {
            match result {
                Ok(_) if is_learned => self.gone.push(row),
                Ok(_) => self.again(row),
                // Due again when its lease ends.
                Err(error) => tracing::warn!(call = row.provider_id, "failed to {error}; it is asked again"),
            }
        }
        Ok(())
    }

    async fn lost(&self, call: &CallRow, requests: &[CallRequest]) -> Result<Vec<Signal>, StoreError> {
        let stored = signals::list_of_call(&self.shared.db, &call.tenant, &call.account, &call.provider_id).await?;
        let known: Vec<Signal> = stored.iter().map(signals::SignalRow::signal).collect::<Result<_, _>>()?;
        let leg = Leg { provider_id: call.provider_id.clone(), account: call.account.clone() };
        let lost = history::lost(requests, &leg, &known, self.now_ms, self.shared.public_url.as_ref());
        tracing::debug!(
            call = call.id,
            sent = requests.len(),
            lost = lost.len(),
            "compared what was sent with what came"
        );
        Ok(lost)
    }

    /// A call whose true ending is known now lost at least that callback.
    fn history_of(&self, row: &FollowUpRow, ending: &Signal) -> Option<FollowUpRow> {
        let Claim::Ended(_) = ending.claim else { return None };
        history_row(&self.key(&row.provider_id), ending.at.unwrap_or(self.now_ms), self.now_ms)
    }

    /// It was asked in vain.
    fn again(&mut self, row: FollowUpRow) {
        let attempts = row.attempts.saturating_add(1);
        if attempts >= ATTEMPTS_MAX {
            let (call, kind) = (&row.provider_id, &row.kind);
            tracing::info!(call, kind, attempts, "what there is to learn after the end of a call was asked in vain");
            return self.gone.push(row);
        }
        let jitter = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        let due_ms = self.now_ms.saturating_add(BACKOFF.delay_ms(u32::try_from(attempts).unwrap_or(u32::MAX), jitter));
        self.later.push(FollowUpRow { due_ms, attempts, ..row });
    }

    /// It does not count. The older the question, the seldomer it is asked.
    fn not_now(&mut self, row: FollowUpRow) {
        let waited = self.now_ms.saturating_sub(row.created_ms).clamp(BACKOFF.first_ms, BACKOFF.max_ms);
        self.later.push(FollowUpRow { due_ms: self.now_ms.saturating_add(waited), ..row });
    }

    fn is_old(&self, row: &FollowUpRow) -> bool {
        let kept_ms = if row.kind == ENDING { ENDING_KEPT_MS } else { KEPT_MS };
        self.now_ms.saturating_sub(row.created_ms) > kept_ms
    }

    async fn settle(self) -> Result<Option<Millis>, StoreError> {
        let Self { shared, tenant, account, gone, later, new, wait_until_ms, .. } = self;
        let mut tx = shared.db.begin().await?;
        if let Some(until_ms) = wait_until_ms {
            follow_ups::put_off_account(&mut tx, (tenant, account), until_ms, PUT_OFF_MAX).await?;
        }
        follow_ups::put_off(&mut tx, &later).await?;
        follow_ups::delete(&mut tx, &gone).await?;
        follow_ups::insert(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(wait_until_ms)
    }

    fn key(&self, provider_id: &str) -> LegKey {
        let (tenant, account) = (self.tenant.to_owned(), self.account.to_owned());
        LegKey { tenant, provider_id: provider_id.to_owned(), account }
    }
}

/// Asks all, some at a time, until time is up or the account does not answer. Those that were not asked are left out.
async fn ask_all(source: &Arc<TwilioSource>, open: Vec<Open>) -> Vec<(Open, Heard)> {
    let watch = Stopwatch::start();
    let (mut waiting, mut asking, mut heard) = (open.into_iter(), JoinSet::new(), Vec::new());
    let (mut answers, mut troubles) = (false, 0);
    loop {
        while asking.len() < AT_ONCE && watch.seconds() < WITHIN_S && (answers || troubles < TROUBLES_MAX) {
            let Some(open) = waiting.next() else { break };
            let source = source.clone();
            asking.spawn(async move {
                let said = ask(&source, &open.row).await;
                (open, said)
            });
        }
        let Some(done) = asking.join_next().await else { return heard };
        match done {
            Ok((open, said)) => {
                answers |= said.is_ok();
                if let Err(Trouble { kind, .. }) = &said {
                    // What one question tells of the account need not be asked a second time.
                    troubles += if is_of_account(*kind) { TROUBLES_MAX } else { 1 };
                    answers &= !is_of_account(*kind);
                }
                heard.push((open, said));
            }
            Err(panic) => tracing::error!(%panic, "asking after the end of a call broke; it is tried again"),
        }
    }
}

async fn ask(source: &TwilioSource, row: &FollowUpRow) -> Heard {
    match row.kind.as_str() {
        ENDING => Ok(source.look(&row.provider_id).await?.map(Told::Ending)),
        _ => Ok(source.requests(&row.provider_id).await?.map(Told::History)),
    }
}

/// Whether there is still something to be learned: an ending only where none is told, a history only after the end.
fn is_open(kind: &str, call: &CallRow) -> bool {
    let Ok(registers) = ingest::registers(call) else { return false };
    match (kind, registers.read().resolution) {
        (ENDING, resolution) => resolution.is_some_and(|resolution| !resolution.is_told()),
        (_, resolution) => resolution.is_some_and(Resolution::is_told),
    }
}

/// Whether such trouble is that of all questions about an account.
const fn is_of_account(kind: TroubleKind) -> bool {
    match kind {
        TroubleKind::Refused | TroubleKind::Blind | TroubleKind::TooMany => true,
        TroubleKind::Unreachable | TroubleKind::Malformed => false,
    }
}

/// How many are taken at a time, how often per tick, how long that may take, and how many of an account are asked at once.
const LEASED_MAX: i64 = 200;
const ROUNDS_MAX: usize = 10;
const WITHIN_S: f64 = 10.0;
const AT_ONCE: usize = 4;
/// An account that answered nothing is not asked more often than this.
const TROUBLES_MAX: usize = 3;
/// Until when they are taken: whoever has not ended by then is dead.
const LEASE_MS: Millis = 2 * MINUTE;
/// Nothing is put off further than this: what is due later was written while a clock was wrong.
const BEYOND_MS: Millis = DAY;
/// How long the questions about an account wait that cannot be asked.
const WAIT_MS: Millis = 5 * MINUTE;
/// How many of them are put off in one transaction; the others follow with the next round.
const PUT_OFF_MAX: i64 = 2_000;
/// How often something is asked in vain, and how far the attempts are apart: ten hours altogether.
const ATTEMPTS_MAX: i64 = 8;
const BACKOFF: Backoff = Backoff { first_ms: 5 * MINUTE, max_ms: 6 * HOUR };
/// How long the true ending of a call that was given up is asked for. A history is, as long as Twilio keeps it.
const ENDING_KEPT_MS: Millis = 7 * DAY;
/// How long what was heard may take to be written.
const SUBMIT_WITHIN: Duration = Duration::from_secs(30);
const RECONCILED: &str = Resolution::Reconciled.as_str();
