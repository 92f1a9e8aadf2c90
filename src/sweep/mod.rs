//! The sweeper: looks after live calls whose next webhook is overdue. It asks the provider before it decides anything, and
//! submits what the provider said through the one door; only what nobody can say is inferred.
//!
//! Each tick takes the accounts with calls that are due. Of each account one list per live status tells which calls are
//! alive (`pass`); those that are due and in no list are fetched by themselves; `verdict` says what an answer leads to,
//! `act` does it. An account is claimed while it is asked (`store::watch`), a call that is fetched is leased
//! (`store::due`); both claims end by themselves if whoever holds them dies. Should two sweepers ask about one call all
//! the same, nothing is harmed: what they submit are signals, and the law joins them.

mod act;
mod asking;
mod backfill;
mod backfilled;
mod by_hand;
mod follow_up;
mod history;
mod keep;
mod observe;
mod pass;
mod report;
mod singly;
mod source;
mod twilio;
mod verdict;

pub use backfill::{Backfill, BackfillError, moment};
pub use backfilled::{AccountBackfill, BackfillReport, Found};
pub use by_hand::{Checked, EndByHand, EndError};
pub use observe::{Concern, ConcernKind, Observer};
pub use report::{Change, Chosen, Report, Request, Skipped};
pub use source::{Asked, SourceParts, Sources, Whom};
pub use twilio::TwilioSource;
pub use verdict::Answer;

use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{
        deadline::Limits,
        state::{Outcome, Resolution},
        time::{MINUTE, Millis, SECOND},
    },
    ingest::Ingest,
    store::{
        Db, StoreError,
        calls::CallRow,
        due::{self, Due, DueAccount},
    },
    telemetry::{LookedAt, Metrics},
};
use observe::Observed;
use pass::Pass;
use rand::{RngExt, rngs::StdRng};
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex as StdMutex},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// What the sweeper works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub rng: StdRng,
    /// The one door.
    pub ingest: Ingest,
    /// Who can be asked.
    pub sources: Sources,
    /// Where it counts what it does.
    pub metrics: Metrics,
    /// By which rules.
    pub rules: SweepRules,
    /// Where the provider calls this gateway, if that is known.
    pub public_url: Option<Url>,
}

/// The settings of the sweeper.
#[derive(Clone, Copy, Debug)]
pub struct SweepRules {
    /// When to ask and when to give up.
    pub limits: Limits,
    /// What an answered call is when its end is inferred.
    pub if_answered: Outcome,
    /// How often it is asked. None: only when somebody wants it.
    pub interval_ms: Option<Millis>,
    /// Whether a newer call on an extension ends the older one, where nobody can be asked.
    pub supersede: bool,
}

impl SweepRules {
    /// How long after an answer the same call is asked about again.
    fn again_ms(&self) -> Millis {
        self.interval_ms.unwrap_or(AGAIN_MS)
    }

    /// What is due at `now_ms`.
    fn due(&self, now_ms: Millis) -> Due {
        let longest = now_ms.saturating_add(self.again_ms()).saturating_add(MINUTE);
        Due { now_ms, beyond_ms: self.limits.beyond_ms(now_ms).max(longest) }
    }
}

/// Why a sweep could not be made. The fragments complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database is away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others that somebody asked for are under way.
    #[error("begin the sweep: {HANDS} others that were asked for are under way")]
    Busy,
}

/// Looks after live calls. Clones share everything.
#[derive(Clone, Debug)]
pub struct Sweeper(Arc<Shared>);

/// What all passes share.
#[derive(Debug)]
struct Shared {
    db: Db,
    clock: SharedClock,
    rng: StdMutex<StdRng>,
    ingest: Ingest,
    sources: Sources,
    metrics: Metrics,
    rules: SweepRules,
    public_url: Option<Url>,
    /// One sweep of our own at a time on a node.
    gate: Mutex<()>,
    /// Few that somebody asks for: each lists all that is live.
    hands: Semaphore,
    observed: Observed,
    /// One backfill at a time, likewise.
    backfills: Semaphore,
}

impl Shared {
    fn new_id(&self, prefix: &str) -> String {
        // A panic while drawing leaves the generator usable.
        let mut rng = self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        crate::domain::id::new_id(prefix, self.clock.now_ms(), rng.random())
    }
}

impl Sweeper {
    /// One that has asked nobody yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { db, clock, rng, ingest, sources, metrics, rules, public_url } = parts;
        let (rng, gate, observed) = (StdMutex::new(rng), Mutex::new(()), Observed::new(clock.now_ms()));
        let (hands, backfills) = (Semaphore::new(HANDS), Semaphore::new(1));
        let shared =
            Shared { db, clock, rng, ingest, sources, metrics, rules, public_url, gate, hands, backfills, observed };
        Self(Arc::new(shared))
    }

    /// Sweeps until cancelled. Returns only then, also if there is nothing to do by itself.
    pub async fn run(self, stop: CancellationToken) {
        let Some(interval_ms) = self.0.rules.interval_ms else {
            stop.cancelled().await;
            return;
        };
        let interval = Duration::from_millis(interval_ms.unsigned_abs());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let mut tick = pin!(self.tick());
            let swept = tokio::select! {
                () = stop.cancelled() => {
                    // Cut off in the middle it would leave its leases behind; what was submitted is durable either way.
                    let _ = tokio::time::timeout(FINISH_WITHIN, tick).await;
                    return;
                }
                swept = &mut tick => swept,
            };
            if let Err(error) = swept {
                tracing::warn!("failed to {error}; live calls are looked after again in {} s", interval.as_secs());
            }
        }
    }

    /// Looks after everything that is due, and asks what is still to be learned of calls that have ended.
    pub async fn tick(&self) -> Result<Report, SweepError> {
        let watch = Stopwatch::start();
        let actor = SWEEPER.to_owned();
        let swept = self.sweep(Request { tenant: None, chosen: Chosen::Due, dry_run: false, actor }).await;
        let metrics = self.0.metrics.sweep();
        match &swept {
            Ok(_) => metrics.succeeded(self.0.clock.now_ms(), watch.seconds()),
            Err(_) => metrics.failed(watch.seconds()),
        }
        if swept.is_ok()
            && let Err(error) = follow_up::follow_up(&self.0).await
        {
            tracing::warn!("failed to {error} after the end of calls; what is to be learned stays due");
        }
        swept
    }

    /// Sweeps as requested and says what came of it.
    pub async fn sweep(&self, request: Request) -> Result<Report, SweepError> {
        // What somebody asks for must not keep the sweeper from its own work; one account is asked by one of them at a time.
        let by_hand = request.actor != SWEEPER;
        let _gate = if by_hand { None } else { Some(self.0.gate.lock().await) };
        let _hand = match (by_hand, &request.chosen) {
            (true, Chosen::Due | Chosen::Silent(_)) => Some(self.0.hands.try_acquire().map_err(|_| SweepError::Busy)?),
            // One call is one question.
            (true, Chosen::Call(_)) | (false, _) => None,
        };
        let started_ms = self.0.clock.now_ms();
        let mut passes = JoinSet::new();
        let permits = Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE));
        let request = Arc::new(request);
        for (account, chosen) in self.accounts(&request, started_ms).await? {
            let (shared, request, permits) = (self.0.clone(), request.clone(), permits.clone());
            passes.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let tenant = account.tenant.clone();
                (tenant, Pass::run(shared, request, account, chosen).await)
            });
        }
        let mut reports: BTreeMap<String, Report> = BTreeMap::new();
        let mut failed = None;
        while let Some(done) = passes.join_next().await {
            match done {
                Ok((tenant, Ok(report))) => reports.entry(tenant).or_default().add(report),
                Ok((tenant, Err(error))) => {
                    tracing::warn!(tenant, "failed to {error} while sweeping an account; its calls stay due");
                    failed = Some(error);
                }
                Err(panic) => tracing::error!(%panic, "sweeping an account broke; its calls stay due"),
            }
        }
        keep::keep(&self.0, &request, started_ms, &reports).await?;
        let mut all = Report { dry_run: request.dry_run, ..Report::default() };
        reports.into_values().for_each(|report| all.add(report));
        if !request.dry_run {
            self.count(&all);
            if all.repaired + all.given_up > 0 {
                let Report { looked, alive, repaired, given_up, skipped_count: skipped, .. } = all;
                tracing::info!(looked, alive, repaired, given_up, skipped, "calls that were silent have ended");
            }
        }
        match failed {
            Some(error) if all.looked == 0 => Err(error.into()),
            _ => Ok(all),
        }
    }

    fn count(&self, report: &Report) {
        let metrics = self.0.metrics.sweep();
        metrics.calls(LookedAt::Alive, report.alive);
        metrics.calls(LookedAt::Repaired, report.repaired);
        metrics.calls(LookedAt::GivenUp, report.given_up);
        metrics.calls(LookedAt::Skipped, report.skipped_count);
    }

    /// The accounts whose calls are looked at, with the calls where they are chosen by something else than being due.
    async fn accounts(
        &self,
        request: &Request,
        now_ms: Millis,
    ) -> Result<Vec<(DueAccount, Option<Vec<CallRow>>)>, StoreError> {
        let db = &self.0.db;
        let calls = match &request.chosen {
            Chosen::Due => {
                let due = self.0.rules.due(now_ms);
                let accounts = due::list_accounts(db, due, request.tenant.as_deref(), ACCOUNTS_MAX).await?;
                return Ok(accounts.into_iter().map(|account| (account, None)).collect());
            }
            Chosen::Call(key) => due::list_by_keys(db, std::slice::from_ref(key)).await?,
            Chosen::Silent(threshold_ms) => {
                let tenant = request.tenant.as_deref().unwrap_or_default();
                self.silent(tenant, now_ms.saturating_sub(*threshold_ms)).await?
            }
        };
        let mut accounts: BTreeMap<DueAccount, Vec<CallRow>> = BTreeMap::new();
        // One whose ending nobody told may be asked about by itself.
        let untold = |call: &CallRow| {
            let resolution = call.resolution.as_deref().and_then(|word| word.parse::<Resolution>().ok());
            matches!(request.chosen, Chosen::Call(_)) && resolution.is_some_and(|r| !r.is_told())
        };
        for call in calls.into_iter().filter(|call| call.due_at_ms.is_some() || untold(call)) {
            let (tenant, provider) = (call.tenant.clone(), call.provider.clone());
            let account = DueAccount { tenant, provider, account: call.account.clone() };
            accounts.entry(account).or_default().push(call);
        }
        Ok(accounts.into_iter().map(|(account, calls)| (account, Some(calls))).collect())
    }

    async fn silent(&self, tenant: &str, silent_ms: Millis) -> Result<Vec<CallRow>, StoreError> {
        let mut calls: Vec<CallRow> = Vec::new();
        while calls.len() < SILENT_MAX {
            let after = calls.last().map(|call| call.id.clone()).unwrap_or_default();
            let page = due::list_silent(&self.0.db, tenant, (silent_ms, silent_ms), &after, PAGE_ROWS).await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|n| n < PAGE_ROWS);
            calls.extend(page);
            if is_last {
                break;
            }
        }
        Ok(calls)
    }
}

/// The actor of what the sweeper does by itself.
pub const SWEEPER: &str = "sweeper";
/// How long after an answer a call is asked about again, if nothing sweeps by itself.
const AGAIN_MS: Millis = 30 * SECOND;
/// How many accounts one tick looks at, and how many of them at a time.
const ACCOUNTS_MAX: i64 = 10_000;
const ACCOUNTS_AT_ONCE: usize = 8;
/// How many calls a sweep by threshold looks at.
const SILENT_MAX: usize = 10_000;
/// How many calls are loaded, leased and settled at once.
const PAGE_ROWS: i64 = 500;
/// How many sweeps that somebody asks for may be under way on a node.
const HANDS: usize = 2;
/// How long a sweep that is under way may go on when the gateway is told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
