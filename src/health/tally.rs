//! What a piece of the journal adds to the figures: looked up in sets, counted in memory, nothing is written here.

use crate::{
    domain::{
        call::Step,
        ending::{self, Ended, KnownBy},
        signal::{Claim, Signal, Witness},
        state::Direction,
        time::{HOUR, Millis},
    },
    ingest::TimelineStep,
    store::{
        Db, StoreError,
        deliveries::DeliveryKey,
        follow_ups::{self, FollowUpRow},
        health::{self, CallbackTally, EndingEntry, EndingTally, LegRow, SubjectKey},
        journal::{CALL, Entry},
    },
    telemetry::CallbackCounts,
    twilio::history,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a piece of the journal adds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    callbacks: BTreeMap<CallbackKey, CallbackTally>,
    endings: BTreeMap<EndingKey, EndingTally>,
    /// The calls whose lost callbacks are to be asked for.
    pub(super) follow_ups: Vec<FollowUpRow>,
    /// The same summed up, for the metrics.
    pub(super) counts: CallbackCounts,
}

/// Account, hour and door; account, hour and direction.
type CallbackKey = (String, String, Millis, String);
type EndingKey = (String, String, Millis, &'static str);

/// What one delivery said, by call and claim, and how often.
type Arrivals<'a> = BTreeMap<(&'a str, &'a str), CallbackTally>;

/// A step of a call whose row is known.
struct Seen<'a> {
    entry: &'a Entry,
    step: TimelineStep<'static>,
    leg: &'a LegRow,
}

/// Which door a delivery came through; its id is a digest of the door too.
type Doors = HashMap<(String, String, String), String>;

/// Counts entries of the journal at `now_ms`. Those that are older than `oldest_ms` are passed over.
pub(super) async fn tally(db: &Db, entries: &[Entry], oldest_ms: Millis, now_ms: Millis) -> Result<Tally, StoreError> {
    let steps: Vec<(&Entry, TimelineStep<'static>)> = entries
        .iter()
        .filter(|entry| entry.kind == CALL && entry.at_ms >= oldest_ms)
        .filter_map(|entry| Some((entry, read(entry.seq, &entry.what)?)))
        .collect();
    let subjects: BTreeSet<SubjectKey> = steps.iter().map(|(entry, _)| subject(entry)).collect();
    if subjects.is_empty() {
        return Ok(Tally::default());
    }
    let legs = health::list_legs(db, &subjects.into_iter().collect::<Vec<_>>()).await?;
    // The doors and their rules are Twilio's.
    let legs: HashMap<SubjectKey, LegRow> =
        legs.into_iter().filter(|leg| leg.provider == TWILIO).map(|leg| (key_of(&leg), leg)).collect();
    let seen: Vec<Seen<'_>> = steps
        .into_iter()
        .filter_map(|(entry, step)| Some(Seen { entry, step, leg: legs.get(&subject(entry))? }))
        .collect();

    let endings = endings_of(db, &seen).await?;
    let doors = doors_of(db, &seen, &endings, &legs).await?;
    let mut tally = Tally::default();
    tally.count_callbacks(&seen, &doors);
    let changes = changes(&seen, &endings, &doors);
    let said = said_of(db, &changes).await?;
    for (leg, change) in changes {
        let said = said.get(&key_of(leg));
        let missing = said.filter(|_| change.now == KnownBy::Callback).map_or(0, Said::gaps);
        // Whoever asked for an ending notes that its callback is missing, but may die before that.
        let is_unasked = change.now == KnownBy::Reconciled && said.is_some_and(|said| !said.is_replayed);
        if missing > 0 || is_unasked {
            let ended_ms = said.and_then(|said| said.ended_ms).unwrap_or(change.ended_ms);
            tally.follow_ups.push(follow_up(leg, ended_ms, now_ms));
        }
        tally.count_ending(leg, change, missing, oldest_ms);
    }
    Ok(tally)
}

/// The steps that endings made of the calls that ended in this piece, of their whole timelines.
async fn endings_of(db: &Db, seen: &[Seen<'_>]) -> Result<HashMap<SubjectKey, Vec<EndingEntry>>, StoreError> {
    let ended: BTreeSet<SubjectKey> = seen.iter().filter(|s| is_ending(&s.step)).map(|s| subject(s.entry)).collect();
    let mut endings: HashMap<SubjectKey, Vec<EndingEntry>> = HashMap::new();
    if !ended.is_empty() {
        for entry in health::list_ending_entries(db, &ended.into_iter().collect::<Vec<_>>()).await? {
            let key = SubjectKey { tenant: entry.tenant.clone(), subject: entry.subject.clone() };
            endings.entry(key).or_default().push(entry);
        }
    }
    for entries in endings.values_mut() {
        entries.sort_by_key(|entry| entry.seq);
    }
    Ok(endings)
}

/// The doors of all deliveries these steps were read from. A delivery is kept under the leg it spoke of, which for some
/// doors is the one that dialed.
async fn doors_of(
    db: &Db,
    seen: &[Seen<'_>],
    endings: &HashMap<SubjectKey, Vec<EndingEntry>>,
    legs: &HashMap<SubjectKey, LegRow>,
) -> Result<Doors, StoreError> {
    let here = seen.iter().filter_map(|s| Some((s.leg, s.step.delivery_id.as_deref()?.to_owned())));
    let ended = endings.iter().filter_map(|(key, entries)| Some((legs.get(key)?, entries)));
    let ended = ended.flat_map(|(leg, entries)| {
        let steps = entries.iter().filter_map(|entry| read(entry.seq, &entry.what));
        steps.filter_map(move |step| Some((leg, step.delivery_id?.into_owned())))
    });
    let mut keys = BTreeSet::new();
    for (leg, id) in here.chain(ended) {
        for provider_id in [Some(&leg.provider_id), leg.parent_id.as_ref()].into_iter().flatten() {
            let (tenant, account) = (leg.tenant.clone(), leg.account.clone());
            keys.insert(DeliveryKey { tenant, provider_id: provider_id.clone(), account, id: id.clone() });
        }
    }
    if keys.is_empty() {
        return Ok(Doors::new());
    }
    let rows = health::list_doors(db, &keys.into_iter().collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().map(|row| ((row.tenant, row.account, row.id), row.source)).collect())
}

/// What the endings of this piece change, each with its leg.
fn changes<'a>(
    seen: &[Seen<'a>],
    endings: &HashMap<SubjectKey, Vec<EndingEntry>>,
    doors: &Doors,
) -> Vec<(&'a LegRow, ending::Change)> {
    let mut steps: HashMap<SubjectKey, Vec<Ended>> = HashMap::new();
    let mut changes = Vec::new();
    for s in seen.iter().filter(|s| is_ending(&s.step)) {
        let key = subject(s.entry);
        let entries = endings.get(&key).map(Vec::as_slice).unwrap_or_default();
        let steps = steps.entry(key).or_insert_with(|| {
            let read = |entry: &EndingEntry| Some(ended(entry, &read(entry.seq, &entry.what)?, s.leg, doors));
            entries.iter().filter_map(read).collect()
        });
        changes.extend(ending::change(steps, s.entry.seq).map(|change| (s.leg, change)));
    }
    changes
}

fn ended(entry: &EndingEntry, step: &TimelineStep<'_>, leg: &LegRow, doors: &Doors) -> Ended {
    let by = match (step.witness, &step.delivery_id) {
        (Witness::Callback, Some(id)) => {
            let door = doors.get(&(leg.tenant.clone(), leg.account.clone(), id.as_ref().to_owned()));
            // One that was pruned is given the benefit of the doubt.
            if door.is_none_or(|door| tells_endings(door)) { KnownBy::Callback } else { KnownBy::Elsewhere }
        }
        (Witness::Callback, None) => KnownBy::Elsewhere,
        (Witness::Reconciled, _) => KnownBy::Reconciled,
        (Witness::Absent | Witness::Manual | Witness::Inferred, _) => KnownBy::Unheard,
    };
    Ended { seq: entry.seq, at_ms: entry.at_ms, over: step.to.is_ended(), by }
}

/// What is stored of a leg.
#[derive(Debug, Default)]
struct Said {
    /// The numbers of the callbacks that came, and that of the one that told the ending.
    heard: Vec<i64>,
    last: i64,
    /// When it ended, as whoever told it said.
    ended_ms: Option<Millis>,
    /// Whether its history was asked for: only there an answer has a number.
    is_replayed: bool,
}

impl Said {
    fn hear(&mut self, signal: &Signal) {
        let is_ending = matches!(signal.claim, Claim::Ended(_));
        if is_ending {
            self.ended_ms = self.ended_ms.max(signal.at);
        }
        match (signal.witness, signal.sequence) {
            (Witness::Callback, Some(number)) => {
                self.heard.push(number);
                self.last = if is_ending { number.max(self.last) } else { self.last };
            }
            (Witness::Reconciled, Some(_)) => self.is_replayed = true,
            _ => {}
        }
    }

    /// How many callbacks are missing.
    fn gaps(&self) -> i64 {
        ending::gaps(self.last, self.heard.iter().copied())
    }
}

/// What is stored of the legs whose ending a callback told or an answer.
async fn said_of(db: &Db, changes: &[(&LegRow, ending::Change)]) -> Result<HashMap<SubjectKey, Said>, StoreError> {
    let told = changes.iter().filter(|(_, change)| matches!(change.now, KnownBy::Callback | KnownBy::Reconciled));
    let legs: HashMap<(&str, &str, &str), &LegRow> =
        told.map(|(leg, _)| ((leg.tenant.as_str(), leg.account.as_str(), leg.provider_id.as_str()), *leg)).collect();
    if legs.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<LegRow> = legs.values().map(|leg| (*leg).clone()).collect();
    let mut said: HashMap<SubjectKey, Said> = HashMap::new();
    for row in health::list_said(db, &keys).await? {
        let leg = legs.get(&(row.tenant.as_str(), row.account.as_str(), row.provider_id.as_str()));
        let (Some(leg), Ok(signal)) = (leg, serde_json::from_str::<Signal>(&row.said)) else { continue };
        said.entry(key_of(leg)).or_default().hear(&signal);
    }
    Ok(said)
}

/// That the callbacks that a leg lacks are asked for, as soon as Twilio shows them.
fn follow_up(leg: &LegRow, ended_ms: Millis, now_ms: Millis) -> FollowUpRow {
    let (tenant, provider_id, account) = (leg.tenant.clone(), leg.provider_id.clone(), leg.account.clone());
    let due_ms = ended_ms.min(now_ms).saturating_add(history::SHOWN_AFTER_MS).max(now_ms);
    let kind = follow_ups::HISTORY.to_owned();
    FollowUpRow { tenant, provider_id, account, kind, due_ms, attempts: 0, created_ms: now_ms }
}

impl Tally {
    /// The figures of the doors to add.
    pub(super) fn callbacks(&self) -> Vec<CallbackTally> {
        self.callbacks.values().cloned().collect()
    }

    /// The figures of the endings to add.
    pub(super) fn endings(&self) -> Vec<EndingTally> {
        self.endings.values().cloned().collect()
    }

    /// A delivery may say several things: each of them made a step. It came as often as the one that made the most, and
    /// was known or overtaken only as far as all of it was.
    fn count_callbacks(&mut self, seen: &[Seen<'_>], doors: &Doors) {
        let mut arrivals: BTreeMap<(CallbackKey, &str), Arrivals<'_>> = BTreeMap::new();
        for s in seen {
            let Some(id) = s.step.delivery_id.as_deref() else { continue };
            let (tenant, account, hour_ms) = (s.leg.tenant.clone(), s.leg.account.clone(), hour(s.entry.at_ms));
            let Some(source) = doors.get(&(tenant.clone(), account.clone(), id.to_owned())) else { continue };
            let key = ((tenant.clone(), account.clone(), hour_ms, source.clone()), id);
            let said = (s.entry.subject.as_str(), s.step.claim.as_deref().unwrap_or_default());
            let none = || CallbackTally {
                tenant,
                account,
                hour_ms,
                source: source.clone(),
                received: 0,
                repeated: 0,
                late: 0,
                last_received_ms: s.step.received_ms,
            };
            let one = arrivals.entry(key).or_default().entry(said).or_insert_with(none);
            one.received += 1;
            one.repeated += i64::from(s.step.step == Step::Repeated);
            one.late += i64::from(s.step.step == Step::Late);
            one.last_received_ms = one.last_received_ms.max(s.step.received_ms);
        }
        for ((key, _), said) in arrivals {
            let least = |of: fn(&CallbackTally) -> i64| said.values().map(of).min().unwrap_or_default();
            let (repeated, late) = (least(|tally| tally.repeated), least(|tally| tally.late));
            let Some(most) = said.into_values().max_by_key(|tally| tally.received) else { continue };
            let most = CallbackTally { repeated, late, ..most };
            self.counts.repeated += most.repeated;
            self.counts.late += most.late;
            match self.callbacks.get_mut(&key) {
                None => drop(self.callbacks.insert(key, most)),
                Some(tally) => {
                    tally.received += most.received;
                    tally.repeated += most.repeated;
                    tally.late += most.late;
                    tally.last_received_ms = tally.last_received_ms.max(most.last_received_ms);
                }
            }
        }
    }

    fn count_ending(&mut self, leg: &LegRow, change: ending::Change, gaps: i64, oldest_ms: Millis) {
        // The figures of its hour are forgotten.
        if change.ended_ms < oldest_ms {
            return;
        }
        let (hour_ms, direction) = (hour(change.ended_ms), direction(leg.direction.as_deref()));
        let key = (leg.tenant.clone(), leg.account.clone(), hour_ms, direction);
        let tally = self.endings.entry(key).or_insert_with(|| EndingTally {
            tenant: leg.tenant.clone(),
            account: leg.account.clone(),
            hour_ms,
            direction: direction.to_owned(),
            called_back: 0,
            elsewhere: 0,
            reconciled: 0,
            unheard: 0,
            gaps: 0,
            gap_legs: 0,
        });
        let mut add = |known: KnownBy, n: i64| match known {
            KnownBy::Callback => tally.called_back += n,
            KnownBy::Elsewhere => tally.elsewhere += n,
            KnownBy::Reconciled => tally.reconciled += n,
            KnownBy::Unheard => tally.unheard += n,
        };
        add(change.now, 1);
        match change.before {
            None => *self.counts.endings.entry(change.now).or_default() += 1,
            Some(before) => {
                add(before, -1);
                self.counts.corrected += 1;
            }
        }
        tally.gaps += gaps;
        tally.gap_legs += i64::from(gaps > 0);
        self.counts.gaps += gaps;
    }
}

/// Reads a step. One that cannot be read is said and passed over: it must not hold up all that follows.
fn read(seq: i64, what: &str) -> Option<TimelineStep<'static>> {
    serde_json::from_str(what)
        .inspect_err(|error| tracing::warn!(%error, seq, "an entry of the journal cannot be read and is not counted"))
        .ok()
}

fn is_ending(step: &TimelineStep<'_>) -> bool {
    step.claim.as_deref() == Some("ended")
}

fn subject(entry: &Entry) -> SubjectKey {
    SubjectKey { tenant: entry.tenant.clone(), subject: entry.subject.clone() }
}

fn key_of(leg: &LegRow) -> SubjectKey {
    SubjectKey { tenant: leg.tenant.clone(), subject: leg.id.clone() }
}

/// Words nobody knows would make rows without end.
fn direction(word: Option<&str>) -> &'static str {
    word.and_then(|word| word.parse::<Direction>().ok()).map_or(UNKNOWN_DIRECTION, Direction::as_str)
}

/// When the hour of a moment began.
pub(super) const fn hour(at: Millis) -> Millis {
    at - at.rem_euclid(HOUR)
}

/// The doors whose callbacks come by themselves when a leg ends. The others come for another reason: the action of
/// `<Dial>`, for one, does not come when the caller hangs up.
fn tells_endings(source: &str) -> bool {
    ENDING_SOURCES.contains(&source)
}

/// See `tells_endings`; `store::health::list_silent` names the same.
pub const ENDING_SOURCES: &[&str] = &["twilio/status", "twilio/events"];
/// The direction of a leg that never told one, such as one that was imported.
pub const UNKNOWN_DIRECTION: &str = "unknown";
const TWILIO: &str = "twilio";
