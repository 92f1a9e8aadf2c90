//! Hangs calls up that must not go on: those of a run that was cancelled by force, and those that turned up for a job that
//! was over.
//!
//! Each is a row (`store::hangups`) that was written in the transaction which decided it. A row is claimed for a while by
//! moving its due time ahead, so that it is tried again by anybody if this process dies. Hanging up twice does no harm.

use super::{RunError, turn::repeated};
use crate::{
    clock::SharedClock,
    domain::{
        id,
        retry::Backoff,
        time::{DAY, HOUR, MINUTE, Millis, SECOND},
    },
    provider::{Exchange, Reach, Trouble, TroubleKind},
    store::{
        Db, audit,
        audit::AuditRow,
        calls,
        hangups::{self, HangupCount, HangupRow},
        notices,
        notices::NoticeRow,
        now,
    },
};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// What hanging up works with.
#[derive(Debug)]
pub struct HangUpParts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Who can hang up.
    pub exchange: Arc<dyn Exchange>,
    /// Randomness for ids and pauses.
    pub rng: StdRng,
    /// Between two looks at what is due.
    pub every: Duration,
}

/// Hangs calls up. Clones share everything.
#[derive(Clone, Debug)]
pub struct HangingUp(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: Db,
    clock: SharedClock,
    exchange: Arc<dyn Exchange>,
    rng: Mutex<StdRng>,
    every: Duration,
    permits: Arc<Semaphore>,
}

/// What one attempt came to.
enum Tried {
    /// We ended it.
    HungUp,
    /// It had ended by itself.
    EndedBefore,
    /// It is another process that can.
    Elsewhere,
    /// Nobody could.
    Failed(Trouble),
}

impl HangingUp {
    /// One that has hung up nothing yet.
    pub fn new(parts: HangUpParts) -> Self {
        let HangUpParts { db, clock, exchange, rng, every } = parts;
        let (rng, permits) = (Mutex::new(rng), Arc::new(Semaphore::new(AT_ONCE_MAX)));
        Self(Arc::new(Shared { db, clock, exchange, rng, every, permits }))
    }

    /// Hangs up what is due until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut fails = false;
        loop {
            let pause = match self.tick().await {
                Ok(tried) => {
                    fails = false;
                    if tried >= PAGE_LEN { Duration::ZERO } else { self.0.every }
                }
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!("failed to {error} to see which calls are to be hung up; it is tried again");
                    }
                    self.0.every
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Hangs up what is due, once. Answers how many calls were tried.
    pub async fn tick(&self) -> Result<usize, RunError> {
        let rows = self.0.claim(None).await?;
        let tried = rows.len();
        let mut all = self.spawn(rows);
        while all.join_next().await.is_some() {}
        Ok(tried)
    }

    /// Hangs the calls of a run up that are to be, for as long as `within`, and says what came of it. What is under way by
    /// then goes on; what was not begun is done in the background.
    pub async fn of_run(&self, tenant: &str, run_id: &str, within: Duration) -> Result<HangupCount, RunError> {
        let shared = &self.0;
        let mut all = JoinSet::new();
        let work = async {
            loop {
                let rows = shared.claim(Some((tenant, run_id))).await?;
                let is_last = rows.len() < PAGE_LEN;
                all = self.spawn(rows);
                while all.join_next().await.is_some() {}
                // Those that failed are due again later, and are not tried again at once.
                if is_last {
                    return Ok::<_, RunError>(());
                }
            }
        };
        let worked = timeout(within, work).await;
        all.detach_all();
        worked.unwrap_or(Ok(()))?;
        Ok(hangups::count_of_run(&shared.db, tenant, run_id).await?)
    }

    fn spawn(&self, rows: Vec<HangupRow>) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for row in rows {
            let one = self.clone();
            all.spawn(async move {
                let Ok(_permit) = one.0.permits.clone().acquire_owned().await else { return };
                let tried = one.try_one(&row).await;
                let (tenant, account) = (row.tenant.clone(), row.account.clone());
                if let Err(error) = one.0.settle(row, tried).await {
                    tracing::warn!(tenant, account, "failed to {error} after hanging a call up; it is tried again");
                }
            });
        }
        all
    }

    async fn try_one(&self, row: &HangupRow) -> Tried {
        let asked = timeout(ASKED_WITHIN, async {
            match self.0.exchange.reach(&row.tenant, &row.provider, &row.account).await? {
                Reach::Here(dialer) => {
                    let hung_up = dialer.hang_up(&row.provider_id).await?;
                    Ok(if hung_up { Tried::HungUp } else { Tried::EndedBefore })
                }
                Reach::Elsewhere => Ok(Tried::Elsewhere),
            }
        });
        let late = || Trouble { kind: TroubleKind::Unreachable, detail: "hang the call up: no answer in time".into() };
        asked.await.unwrap_or_else(|_| Err(late())).unwrap_or_else(Tried::Failed)
    }
}

impl Shared {
    /// Takes what is due, or what is to be done of one run.
    async fn claim(&self, of: Option<(&str, &str)>) -> Result<Vec<HangupRow>, RunError> {
        let once = async || {
            let mut tx = self.db.begin().await?;
            let now_ms = now::for_leases(&mut tx, &*self.clock).await?;
            let rows = match of {
                None => hangups::claim(&mut tx, now_ms, LEASE_MS, PAGE).await?,
                Some((tenant, run_id)) => {
                    hangups::claim_of_run(&mut tx, tenant, run_id, now_ms, LEASE_MS, PAGE).await?
                }
            };
            tx.commit().await?;
            Ok::<_, RunError>(rows)
        };
        repeated!(once())
    }

    /// Writes what came of it.
    async fn settle(&self, row: HangupRow, tried: Tried) -> Result<(), RunError> {
        let (ids, jitter) = (self.ids(), self.jitter());
        let once = async || {
            let mut tx = self.db.begin().await?;
            let now_ms = now::for_leases(&mut tx, &*self.clock).await?;
            let row = after(row.clone(), &tried, now_ms, jitter);
            if row.result.as_deref() == Some(GIVEN_UP) {
                let call = calls::find(&mut tx, &row.tenant, &row.provider_id, Some(&row.account)).await?;
                let call_id = call.into_iter().next().map(|call| call.id);
                let told = told(&row, call_id.as_deref(), &ids, self.clock.now_ms());
                audit::insert(&mut tx, std::slice::from_ref(&told.0)).await?;
                notices::insert(&mut tx, std::slice::from_ref(&told.1)).await?;
            }
            hangups::update(&mut tx, std::slice::from_ref(&row)).await?;
            tx.commit().await?;
            Ok::<_, RunError>(())
        };
        repeated!(once())
    }

    fn ids(&self) -> [String; 2] {
        let now_ms = self.clock.now_ms();
        // A panic while drawing leaves the generator usable.
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        ["audit", "note"].map(|prefix| id::new_id(prefix, now_ms, rng.random()))
    }

    fn jitter(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

/// The row after one attempt.
fn after(row: HangupRow, tried: &Tried, now_ms: Millis, jitter: f64) -> HangupRow {
    let settled = |row: HangupRow, result: &str, detail: Option<String>| HangupRow {
        due_ms: None,
        settled_ms: Some(now_ms),
        result: Some(result.to_owned()),
        detail,
        ..row
    };
    let again = |row: HangupRow, detail: String, due_ms: Millis| {
        let detail = Some(detail);
        let is_over = row.attempts >= TRIES_MAX || now_ms.saturating_sub(row.requested_ms) >= TRIED_FOR_MS;
        if is_over { settled(row, GIVEN_UP, detail) } else { HangupRow { due_ms: Some(due_ms), detail, ..row } }
    };
    match tried {
        Tried::HungUp => settled(HangupRow { attempts: row.attempts.saturating_add(1), ..row }, HUNG_UP, None),
        Tried::EndedBefore => {
            settled(HangupRow { attempts: row.attempts.saturating_add(1), ..row }, ENDED_BEFORE, None)
        }
        // Whoever listens to the PBX looks as often as we do; that is no attempt.
        Tried::Elsewhere => again(row, "another process listens to the PBX".into(), now_ms.saturating_add(2 * SECOND)),
        Tried::Failed(trouble) => {
            let row = HangupRow { attempts: row.attempts.saturating_add(1), ..row };
            let failures = u32::try_from(row.attempts).unwrap_or(u32::MAX);
            let due_ms = now_ms.saturating_add(BACKOFF.delay_ms(failures, jitter));
            again(row, format!("failed to {}", trouble.detail), due_ms)
        }
    }
}

/// What people should know of a call that cannot be hung up.
fn told(row: &HangupRow, call_id: Option<&str>, ids: &[String; 2], now_ms: Millis) -> (AuditRow, NoticeRow) {
    let [audit_id, note_id] = ids.clone();
    let subject = call_id.unwrap_or(&row.provider_id).to_owned();
    let why = row.detail.as_deref().unwrap_or("nobody could be asked");
    let detail = json!({
        "provider_id": row.provider_id,
        "run_id": row.run_id,
        "job_id": row.job_id,
        "reason": row.reason,
        "attempts": row.attempts,
        "why": why,
    });
    let audit = AuditRow {
        tenant: row.tenant.clone(),
        id: audit_id,
        at_ms: now_ms,
        actor: ACTOR.to_owned(),
        action: "call.hangup_given_up".to_owned(),
        subject: subject.clone(),
        detail: detail.to_string(),
    };
    let text = format!(
        "The call {subject} should have been hung up ({}), and could not be after {} attempts: {why}. It may still be going \
         on: look at the provider, and end it there or with POST /v1/calls/{subject}/end.",
        row.reason, row.attempts
    );
    let notice = NoticeRow {
        tenant: row.tenant.clone(),
        id: note_id,
        user_id: None,
        kind: "hangup-given-up".to_owned(),
        subject,
        text,
        created_ms: now_ms,
        read_ms: None,
    };
    (audit, notice)
}

/// What came of it, as it is stored.
pub(super) const HUNG_UP: &str = "hung-up";
const ENDED_BEFORE: &str = "ended-before";
const GIVEN_UP: &str = "given-up";
/// Who decided that a call cannot be hung up.
const ACTOR: &str = "dialer";
/// How many are asked about at a time on a node, and claimed at once.
const AT_ONCE_MAX: usize = 16;
const PAGE: i64 = 64;
const PAGE_LEN: usize = 64;
/// For how long a claimed one is this process's: longer than a page takes.
const LEASE_MS: Millis = 2 * MINUTE;
/// How long one attempt may take.
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// After so many attempts, or so long, it is given up: by then the call has ended by itself, or somebody has to look.
const TRIES_MAX: i64 = 30;
const TRIED_FOR_MS: Millis = DAY;
const BACKOFF: Backoff = Backoff { first_ms: SECOND, max_ms: HOUR / 12 };

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Tried {
        Tried::Failed(Trouble { kind: TroubleKind::Unreachable, detail: "reach the provider".into() })
    }

    #[test]
    fn attempts_are_made_ever_more_seldom_and_given_up_in_the_end() {
        let mut row = HangupRow { due_ms: Some(0), ..HangupRow::default() };
        let mut pauses = Vec::new();
        let mut now_ms = 0;
        while row.result.is_none() {
            row = after(row, &failed(), now_ms, 0.0);
            let Some(due_ms) = row.due_ms else { break };
            pauses.push(due_ms - now_ms);
            now_ms = due_ms;
        }
        assert_eq!(row.result.as_deref(), Some(GIVEN_UP));
        assert_eq!((row.attempts, row.due_ms, row.settled_ms), (TRIES_MAX, None, Some(now_ms)));
        assert_eq!(pauses[..4], [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]);
        assert_eq!(pauses.last(), Some(&(5 * MINUTE)));
        assert_eq!(row.detail.as_deref(), Some("failed to reach the provider"));
    }

    #[test]
    fn a_call_of_a_pbx_that_others_listen_to_is_left_to_them_for_a_day() {
        let row = HangupRow { due_ms: Some(0), requested_ms: 5, ..HangupRow::default() };
        let next = after(row.clone(), &Tried::Elsewhere, 1_000, 0.0);
        assert_eq!((next.attempts, next.due_ms, next.result.as_deref()), (0, Some(3_000), None));
        let last = after(row, &Tried::Elsewhere, 5 + DAY, 0.0);
        assert_eq!(last.result.as_deref(), Some(GIVEN_UP));
    }

    #[test]
    fn what_is_hung_up_or_had_ended_is_settled() {
        for (tried, result) in [(Tried::HungUp, HUNG_UP), (Tried::EndedBefore, ENDED_BEFORE)] {
            let row = after(HangupRow { due_ms: Some(0), ..HangupRow::default() }, &tried, 7, 0.0);
            assert_eq!(
                (row.result.as_deref(), row.attempts, row.settled_ms, row.due_ms),
                (Some(result), 1, Some(7), None)
            );
        }
    }
}
