//! Callback health: whether the provider's callbacks arrive, per account and door, and what to change if they do not.
//!
//! Nothing of it is in the way of a webhook. A follower reads the journal a little more than a minute later, when late
//! callbacks of the same call have had their time, and adds up figures by the hour. The cursor moves in the transaction
//! that adds them, and only from where the pass began: each entry counts once, on one node or on many, however often a
//! pass is repeated. What is looked up before that takes no lock.

mod finding;
mod fix;
mod report;
mod tally;

pub use finding::{CallbackFigures, EndingFigures, Figures, Finding, FindingKind, Refusals, Weight, findings};
pub use report::{AccountHealth, Window, report};
pub use tally::{ENDING_SOURCES, UNKNOWN_DIRECTION};

use crate::{
    clock::SharedClock,
    domain::{
        ending::KNOWN_WITHIN_MS,
        time::{DAY, HOUR, MINUTE, Millis, SECOND, rfc3339},
    },
    store::{
        Db, StoreError, follow_ups,
        health::{self, Advanced, Suspect},
        journal,
    },
    telemetry::Metrics,
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// What one pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// There was nothing old enough.
    Nothing,
    /// So many entries of the journal were counted.
    Counted(usize),
    /// Another pass, on this node or another one, has just counted them.
    Elsewhere,
}

/// Follows the journal, and says so when an account's callbacks are missing.
#[derive(Debug)]
pub struct Health {
    db: Db,
    clock: SharedClock,
    metrics: Metrics,
    public_url: Option<Url>,
    /// When which finding was said: the person on call hears of it once a day from each node.
    said: HashMap<Said, Millis>,
}

/// Tenant, account, kind and direction of a finding.
type Said = (String, String, FindingKind, Option<String>);

impl Health {
    /// One that has said nothing yet.
    pub fn new(db: Db, clock: SharedClock, metrics: Metrics, public_url: Option<Url>) -> Self {
        Self { db, clock, metrics, public_url, said: HashMap::new() }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut judged_ms = None;
        loop {
            let pause = match self.tick().await {
                // There is more; webhooks get a turn in between.
                Ok(Pass::Counted(entries)) if entries >= ENTRIES_MAX_LEN => PAUSE,
                Ok(_) => EVERY,
                Err(error) => {
                    tracing::warn!(%error, "cannot count callbacks from the journal; trying again shortly, nothing is lost");
                    EVERY
                }
            };
            let now_ms = self.clock.now_ms();
            let is_due = judged_ms.is_none_or(|at: Millis| !(at..at + JUDGED_EVERY_MS).contains(&now_ms));
            if is_due && pause == EVERY {
                judged_ms = Some(now_ms);
                if let Err(error) = self.judge().await {
                    tracing::warn!(%error, "cannot look for accounts whose callbacks are missing; trying again later");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Counts the next piece of the journal.
    pub async fn tick(&self) -> Result<Pass, StoreError> {
        let now_ms = self.clock.now_ms();
        let from = health::cursor(&self.db).await?;
        let mut entries = journal::list_after(&self.db, from, ENTRIES_MAX).await?;
        // One that is far in the future was written while a clock was wrong. It is counted as if it were old: waiting for
        // its time would hold up all that follows.
        let is_future = |at_ms: Millis| at_ms > now_ms.saturating_add(AHEAD_MS);
        let is_settled = |at_ms: Millis| at_ms <= now_ms.saturating_sub(LAG_MS) || is_future(at_ms);
        let settled = entries.iter().take_while(|entry| is_settled(entry.at_ms)).count();
        entries.truncate(settled);
        let future = entries.iter().filter(|entry| is_future(entry.at_ms));
        if let Some(entry) = future.clone().max_by_key(|entry| entry.at_ms) {
            tracing::warn!(
                entries = future.count(),
                seq = entry.seq,
                at = rfc3339(entry.at_ms),
                now = rfc3339(now_ms),
                "entries of the journal are from the future: the clock of a node is or was wrong; they are counted now, in the \
                 hours they name. Compare the clocks of the nodes (`onhook doctor`)"
            );
        }
        let Some(last) = entries.last() else { return Ok(Pass::Nothing) };
        let tally = tally::tally(&self.db, &entries, now_ms.saturating_sub(KEPT_MS), now_ms).await?;

        let mut tx = self.db.begin().await?;
        if health::advance(&mut tx, from, last.seq).await? == Advanced::Elsewhere {
            return Ok(Pass::Elsewhere);
        }
        health::add_callbacks(&mut tx, &tally.callbacks()).await?;
        health::add_endings(&mut tx, &tally.endings()).await?;
        follow_ups::insert(&mut tx, &tally.follow_ups).await?;
        tx.commit().await?;
        self.metrics.callbacks_counted(&tally.counts);
        Ok(Pass::Counted(entries.len()))
    }

    /// Looks at the accounts whose figures of the last day are bad. Sets the gauge of those whose calls end without
    /// callbacks; logs and answers the findings that ask for something and were not said within a day.
    pub async fn judge(&mut self) -> Result<Vec<(Suspect, Finding)>, StoreError> {
        let now_ms = self.clock.now_ms();
        let window = Window::default();
        let (mut without_endings, mut said) = (0, Vec::new());
        for suspect in self.suspects(now_ms).await? {
            let of = (suspect.tenant.as_str(), suspect.account.as_str());
            let report = report(&self.db, of, &window, now_ms, self.public_url.as_ref()).await?;
            let found = |kind: FindingKind| report.findings.iter().any(|finding| finding.kind == kind);
            without_endings += i64::from(found(FindingKind::NoEndingCallbacks));
            let urgent = report.findings.into_iter().filter(|finding| finding.weight == Weight::Action);
            said.extend(urgent.filter(|finding| self.is_news(&suspect, finding, now_ms)).map(|f| (suspect.clone(), f)));
        }
        self.metrics.accounts_without_ending_callbacks(without_endings);
        for (Suspect { tenant, account }, Finding { kind, what, fix, .. }) in &said {
            tracing::warn!(
                tenant, account, finding = %kind, what, fix,
                "callbacks of an account are missing; `onhook accounts health` shows its figures"
            );
        }
        Ok(said)
    }

    async fn suspects(&self, now_ms: Millis) -> Result<BTreeSet<Suspect>, StoreError> {
        let from_ms = tally::hour(now_ms.saturating_sub(DAY));
        let min = finding::MISSING_MIN.min(finding::GAPS_MIN);
        let ended = health::list_suspects(&self.db, from_ms, min, SUSPECTS_MAX).await?;
        let due_ms = (from_ms, now_ms.saturating_sub(SILENT_AFTER_MS));
        let silent =
            health::list_silent_suspects(&self.db, due_ms, SILENT_LOOKED_MAX, finding::MISSING_MIN, SUSPECTS_MAX);
        Ok(ended.into_iter().chain(silent.await?).collect())
    }

    fn is_news(&mut self, suspect: &Suspect, finding: &Finding, now_ms: Millis) -> bool {
        self.said.retain(|_, at| (*at..*at + SAID_EVERY_MS).contains(&now_ms));
        let (tenant, account) = (suspect.tenant.clone(), suspect.account.clone());
        let key = (tenant, account, finding.kind, finding.direction.clone());
        let news = !self.said.contains_key(&key);
        self.said.entry(key).or_insert(now_ms);
        news
    }
}

/// How long figures are kept, and the longest window.
pub const KEPT_MS: Millis = 30 * DAY;
/// How old an entry is when it is counted: what came within the minute after it is visible then, also if its
/// transaction took long.
pub const LAG_MS: Millis = KNOWN_WITHIN_MS + 10 * SECOND;
/// How far an entry may be in the future, by clocks that differ, and still be waited for.
pub const AHEAD_MS: Millis = 5 * MINUTE;
/// How old an entry that is not counted may be before a report says so: a pass may just not have come yet.
pub const BEHIND_MS: Millis = LAG_MS + MINUTE;
/// How long after its due time a live call counts as silent: nobody would have heard of an ordinary one meanwhile.
pub const SILENT_AFTER_MS: Millis = HOUR;
/// How many calls that are due are looked at to find the silent ones of an account.
pub const SILENT_LOOKED_MAX: i64 = 10_000;

/// How many entries one pass counts: one short transaction, whatever their number.
const ENTRIES_MAX: i64 = 2_000;
const ENTRIES_MAX_LEN: usize = ENTRIES_MAX as usize;
/// How often it is looked for new entries, and how long a pass that found many makes way for others.
const EVERY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
/// How often the accounts are judged, how many at once, and how often the same is said of one.
const JUDGED_EVERY_MS: Millis = 5 * MINUTE;
const SUSPECTS_MAX: i64 = 1_000;
const SAID_EVERY_MS: Millis = DAY;
