//! What an operator sees of live calls: counted from the database now and then, shown as metrics, and kept for `/readyz`
//! where something is wrong.

use super::{Shared, Sweeper};
use crate::store::pbx::{self, PbxRow};
use crate::{
    domain::{
        deadline::{ASK_AGAIN_MAX_MS, Limits},
        time::{DAY, MINUTE, Millis},
        words,
    },
    provider::TroubleKind,
    store::{
        StoreError,
        due::Due,
        stuck::{self, SilentSince},
        watch::{self, WatchRow},
    },
    telemetry::CallFigures,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

words! {
    /// What keeps live calls from being looked after.
    pub enum ConcernKind {
        /// The provider takes the credentials of an account no more.
        Refused = "account-credentials-refused",
        /// The provider knows none of the calls of an account.
        Blind = "account-cannot-see-its-calls",
        /// The provider does not answer, or not with what was asked for.
        Unreachable = "provider-unreachable",
        /// A PBX does not take the login of onhook.
        PbxRefused = "pbx-refuses-login",
        /// A PBX is not heard.
        PbxDown = "pbx-down",
        /// No background sweep was completed for long.
        SweeperLate = "sweeper-late",
    }
}

impl From<TroubleKind> for ConcernKind {
    fn from(trouble: TroubleKind) -> Self {
        match trouble {
            TroubleKind::Refused => Self::Refused,
            TroubleKind::Blind => Self::Blind,
            TroubleKind::TooMany | TroubleKind::Unreachable | TroubleKind::Malformed => Self::Unreachable,
        }
    }
}

impl ConcernKind {
    /// What happened, in a sentence. Whoever reads it may have no key, so it names neither account nor host.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Refused => "the provider refuses the credentials of an account; none of its calls is touched",
            Self::Blind => "the provider knows none of the calls of an account; none of them is touched",
            Self::Unreachable => {
                "the provider does not answer, or not with what was asked for; no call is given up before its limit"
            }
            Self::PbxRefused => "a PBX refuses the login of onhook; nothing is heard of its calls",
            Self::PbxDown => {
                "a PBX is not heard; its calls that end meanwhile end with an estimated time once it is back"
            }
            Self::SweeperLate => {
                "no background sweep was completed since then, or since the start; calls whose ending is lost stay live"
            }
        }
    }

    /// What to do, in a sentence.
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Refused => {
                "the log, /v1/notifications and /v1/audit name the account; give it a token that its provider takes: \
                 `onhook accounts rotate`, or TWILIO_AUTH_TOKEN where the account is configured"
            }
            Self::Blind => {
                "the log, /v1/notifications and /v1/audit name the account; compare it with the one that places the calls, \
                 and ONHOOK_TWILIO_API_BASE with their region; `onhook doctor` asks the provider"
            }
            Self::Unreachable => {
                "the log says how it answers, after ten minutes also /v1/notifications and /v1/audit; look at the provider's \
                 status page, at network and proxies in between, and at what else asks with the same account; it is asked \
                 again by itself"
            }
            Self::PbxRefused => {
                "the log, /v1/notifications and /v1/audit name the PBX; correct user and secret, or the permit lines of its \
                 manager.conf: `onhook ami doctor` says which"
            }
            Self::PbxDown => {
                "the log, /v1/notifications and /v1/audit name the PBX; look whether Asterisk runs and the way to its manager \
                 port is open; it is tried again by itself"
            }
            Self::SweeperLate => {
                "read the log for \"sweep\": it names what broke, most likely the database; a sweep that hangs ends with \
                 a restart, which loses nothing"
            }
        }
    }
}

/// Something that keeps live calls from being looked after. Webhooks are taken all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// In one word.
    pub kind: ConcernKind,
    /// How many provider accounts it is about; 0 if it is about none.
    pub accounts: usize,
    /// Since when, in Unix milliseconds; of several accounts, the first.
    pub since_ms: Option<Millis>,
}

/// What was observed last.
#[derive(Debug)]
pub(super) struct Observed {
    latest: Mutex<Vec<Concern>>,
    /// One count at a time, so that a later one is never overwritten by an earlier one.
    turn: tokio::sync::Mutex<()>,
    /// When this process began to sweep: it has a while for its first sweep.
    started_ms: Millis,
}

impl Observed {
    /// Nothing yet.
    pub(super) fn new(started_ms: Millis) -> Self {
        Self { latest: Mutex::default(), turn: tokio::sync::Mutex::default(), started_ms }
    }

    fn latest(&self) -> MutexGuard<'_, Vec<Concern>> {
        // What is kept here is replaced as a whole: a panic elsewhere leaves it usable.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sweeper {
    /// Counts what there is to look after.
    pub fn observer(&self) -> Observer {
        Observer(self.0.clone())
    }

    /// What keeps live calls from being looked after, as last counted.
    pub fn concerns(&self) -> Vec<Concern> {
        self.0.observed.latest().clone()
    }
}

/// Counts in the background.
#[derive(Clone, Debug)]
pub struct Observer(Arc<Shared>);

impl Observer {
    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Shared { metrics, rules, observed, .. } = &*self.0;
        metrics.sweep().begin(observed.started_ms, rules.interval_ms);
        loop {
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "cannot count live calls; the last figures stand, trying again shortly");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Counts once.
    pub async fn tick(&self) -> Result<CallFigures, StoreError> {
        let Shared { db, clock, metrics, observed, .. } = &*self.0;
        let _turn = observed.turn.lock().await;
        let now_ms = clock.now_ms();
        let figures = self.figures(now_ms).await?;
        let mut rows = watch::list_troubled(db, None, ACCOUNTS_MAX).await?;
        rows.retain(|row| is_current(row, now_ms));
        let troubles: Vec<TroubleKind> = rows.iter().filter_map(kind).collect();
        metrics.sweep().show(&figures);
        metrics.sweep().show_troubled(&troubles);
        let pbxs = pbx::list_alarmed(db, ACCOUNTS_MAX).await?;
        let concerns = self.late(now_ms).into_iter().chain(of_accounts(&rows)).chain(of_pbxs(&pbxs)).collect();
        *observed.latest() = concerns;
        Ok(figures)
    }

    async fn figures(&self, now_ms: Millis) -> Result<CallFigures, StoreError> {
        let Shared { db, rules, .. } = &*self.0;
        let silent = silent_since(&rules.limits, now_ms);
        let counts = stuck::count(db, rules.due(now_ms), &silent, LIVE_MAX).await?;
        let follow_ups_due = Due { now_ms, beyond_ms: now_ms.saturating_add(FOLLOW_UP_AHEAD_MS) };
        Ok(CallFigures {
            live: counts.live,
            stuck_warn: counts.stuck.saturating_sub(counts.critical),
            stuck_critical: counts.critical,
            due: counts.due,
            due_for_ms: counts.oldest_due_ms.map_or(0, |at| now_ms.saturating_sub(at)),
            follow_ups: stuck::count_follow_ups(db, follow_ups_due, LIVE_MAX).await?,
        })
    }

    /// Whether the sweeper is late.
    fn late(&self, now_ms: Millis) -> Option<Concern> {
        let Shared { rules, metrics, observed, .. } = &*self.0;
        let patience_ms = rules.interval_ms?.saturating_mul(INTERVALS_LATE).max(PATIENCE_MIN_MS);
        let since_ms = metrics.sweep().last_success_ms().unwrap_or(observed.started_ms);
        // A clock that was set back makes the last success one of the future, which says nothing.
        let is_late = now_ms.saturating_sub(since_ms) > patience_ms;
        is_late.then_some(Concern { kind: ConcernKind::SweeperLate, accounts: 0, since_ms: Some(since_ms) })
    }
}

/// When a call of which state must have shown its last sign of life to count as stuck. The same as `Limits::stuck`, for
/// the database.
fn silent_since(limits: &Limits, now_ms: Millis) -> SilentSince {
    SilentSince {
        warn_ms: now_ms.saturating_sub(limits.stuck_warn_ms),
        critical_ms: now_ms.saturating_sub(limits.stuck_critical_ms),
        ringing_warn_ms: now_ms.saturating_sub(limits.stuck_ringing_warn_ms),
        ringing_critical_ms: now_ms.saturating_sub(limits.stuck_ringing_critical_ms),
    }
}

/// An account is only asked while it has calls that are due. What went wrong so long ago that it would have been asked
/// again, had anybody waited for an answer, is the past.
fn is_current(row: &WatchRow, now_ms: Millis) -> bool {
    let known_for_ms = match kind(row) {
        Some(kind) if kind.is_ours_to_mend() => DAY,
        _ => ASK_AGAIN_MAX_MS + 5 * MINUTE,
    };
    // Whoever asked let the account go then.
    now_ms.saturating_sub(row.lease_until_ms) <= known_for_ms
}

/// A word that a newer onhook wrote is none of ours.
fn kind(row: &WatchRow) -> Option<TroubleKind> {
    row.trouble.as_deref().and_then(|word| word.parse().ok())
}

/// The troubles of accounts, one concern per kind.
fn of_accounts(rows: &[WatchRow]) -> impl Iterator<Item = Concern> {
    let mut concerns: BTreeMap<ConcernKind, Concern> = BTreeMap::new();
    for (row, kind) in rows.iter().filter_map(|row| Some((row, ConcernKind::from(kind(row)?)))) {
        let concern = concerns.entry(kind).or_insert(Concern { kind, accounts: 0, since_ms: None });
        concern.accounts = concern.accounts.saturating_add(1);
        concern.since_ms = [concern.since_ms, row.failing_since_ms].into_iter().flatten().min();
    }
    concerns.into_values()
}

/// What is wrong with PBXs, one concern per kind. A word that a newer onhook wrote is none of ours.
fn of_pbxs(rows: &[PbxRow]) -> impl Iterator<Item = Concern> {
    let mut concerns: BTreeMap<ConcernKind, Concern> = BTreeMap::new();
    for row in rows {
        let Some(kind) = row.alarm.as_deref().and_then(|word| word.parse().ok()) else { continue };
        let concern = concerns.entry(kind).or_insert(Concern { kind, accounts: 0, since_ms: None });
        concern.accounts = concern.accounts.saturating_add(1);
        // When it was heard last says more than since when which attempt fails.
        let since_ms = row.heard_ms.or(Some(row.since_ms));
        concern.since_ms = [concern.since_ms, since_ms].into_iter().flatten().min();
    }
    concerns.into_values()
}

/// How often it is counted.
const EVERY: Duration = Duration::from_secs(15);
/// How many live calls, and how many follow-ups, are counted; the help of the metrics says so.
const LIVE_MAX: i64 = 100_000;
/// How many accounts in trouble are counted.
const ACCOUNTS_MAX: i64 = 1_000;
/// After so many intervals without a success the sweeper is late, though never sooner than after [`PATIENCE_MIN_MS`].
const INTERVALS_LATE: i64 = 5;
const PATIENCE_MIN_MS: Millis = MINUTE;
/// No follow-up is put off for longer than this.
const FOLLOW_UP_AHEAD_MS: Millis = 7 * DAY;
