//! One transaction: load the calls a batch speaks of, let each decide, write what changed.
//!
//! Every load and every write is one statement for the whole batch. Whatever leaves here is a row in the same
//! transaction, so a batch whose commit is uncertain can be repeated: it meets its own delivery keys.

use super::{
    Decision, Rules, Submission, Submitted, contacts, decision, extension, jobs,
    keys::{delivery_key, keys_of, leg_key},
    links, owed, row, timeline,
};
use crate::{
    clock::Clock,
    domain::{
        call::{Call, Row, Step},
        effect,
        id::new_id,
        lead::LegView,
        signal::{Claim, Field, Signal},
        state::Status,
        time::Millis,
    },
    store::{
        StoreError, Tx,
        calls::{self, CallRow, LegKey},
        deliveries::{self, DeliveryKey},
        journal::{self, NewEntry},
        outbox::{self, OutboxRow},
        signals::{self, SignalRow},
    },
    telemetry::JobEnding,
};
use rand::{RngExt, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a batch needs to know beside its submissions.
pub(super) struct Terms<'a> {
    pub(super) rules: &'a Rules,
    pub(super) now: Millis,
    /// Says what time it is for leases, where that matters.
    pub(super) clock: &'a dyn Clock,
    pub(super) rng: &'a mut StdRng,
}

/// What a batch did, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) steps: Vec<Step>,
    pub(super) contacts: u64,
    /// Jobs that have ended with their calls.
    pub(super) endings: Vec<JobEnding>,
    /// Calls that are to be asked about and that nobody knows.
    pub(super) unknown: Vec<LegKey>,
}

/// A leg as it was and as it becomes.
pub(super) struct Leg {
    pub(super) row: CallRow,
    pub(super) call: Call,
    /// `None` for a new leg.
    pub(super) before: Option<Before>,
    pub(super) touched: bool,
    /// It is to be asked about now.
    pub(super) ask: bool,
    /// Received when it entered a state in this batch. Such a leg is worth looking for its lead.
    pub(super) entered_ms: Option<Millis>,
}

/// What a leg was when it was loaded.
pub(super) struct Before {
    row: Row,
    pub(super) view: LegView,
    pub(super) root: LegKey,
}

/// The workspace of a transaction.
pub(super) struct Batch {
    pub(super) legs: BTreeMap<LegKey, Leg>,
    pub(super) journal: Vec<NewEntry>,
    pub(super) outbox: Vec<OutboxRow>,
    /// Decisions that moved a leg, with what it was before.
    pub(super) decided: Vec<(LegKey, Option<Status>, Decision)>,
    pub(super) tally: Tally,
}

/// Applies submissions in one transaction (which the caller commits) and says what became of each.
pub(super) async fn apply(
    tx: &mut Tx,
    mut terms: Terms<'_>,
    submissions: &[Submission],
) -> Result<(Vec<Submitted>, Tally), StoreError> {
    let keys = keys_of(submissions);
    calls::lock(tx, &extension::locks(&keys, submissions)).await?;
    let mut fresh = insert_deliveries(tx, submissions).await?;
    let mut batch = Batch::load(tx, keys).await?;
    let results: Vec<Submitted> = submissions.iter().map(|s| outcome_of(s, &mut fresh)).collect();

    let mut news: Vec<_> =
        submissions.iter().zip(&results).filter(|(_, r)| **r == Submitted::Stored).map(|(s, _)| s).collect();
    let outdated: Vec<bool> = news.iter().map(|s| decision::is_outdated(&batch, s, &news, terms.now)).collect();
    let mut outdated = outdated.into_iter();
    news.retain(|_| !outdated.next().unwrap_or_default());
    batch.absorb_all(tx, &mut terms, &news).await?;
    batch.hear(&news);
    for (submission, _) in submissions.iter().zip(&results).filter(|(_, r)| **r == Submitted::Repeated) {
        batch.note_repeated(submission, terms.now);
    }
    let tied = jobs::tie(tx, &mut batch, &mut terms).await?;
    links::find(tx, &mut batch, &mut terms).await?;
    contacts::judge(tx, &mut batch, &terms).await?;
    decision::keep(tx, &batch, &mut terms).await?;
    extension::hasten_others(tx, &mut batch, terms.now).await?;
    jobs::follow(tx, &mut batch, &mut terms, tied).await?;
    batch.write(tx, terms.rules, terms.now).await?;
    Ok((results, batch.tally))
}

/// Stores the deliveries of a batch; answers the keys of those that are new.
async fn insert_deliveries(tx: &mut Tx, submissions: &[Submission]) -> Result<HashSet<DeliveryKey>, StoreError> {
    let mut seen = HashSet::new();
    let rows: Vec<_> =
        submissions.iter().filter_map(|s| s.delivery.clone()).filter(|row| seen.insert(delivery_key(row))).collect();
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(deliveries::insert(tx, &rows).await?.into_iter().collect())
}

/// A submission is new if its delivery is; taking the key makes a second copy in the same batch a repetition.
fn outcome_of(submission: &Submission, fresh: &mut HashSet<DeliveryKey>) -> Submitted {
    match &submission.delivery {
        Some(row) if !fresh.remove(&delivery_key(row)) => Submitted::Repeated,
        Some(_) | None => Submitted::Stored,
    }
}

impl Batch {
    /// Loads the legs with these keys and the conversations they belong to.
    async fn load(tx: &mut Tx, keys: Vec<LegKey>) -> Result<Self, StoreError> {
        let mut batch = Self {
            legs: BTreeMap::new(),
            journal: Vec::new(),
            outbox: Vec::new(),
            decided: Vec::new(),
            tally: Tally::default(),
        };
        let known: HashSet<LegKey> = keys.iter().cloned().collect();
        batch.load_legs(tx, &keys).await?;
        // A leg may be known as a child although this batch does not say so: its conversation is needed too.
        let more: BTreeSet<LegKey> = batch.legs.values().map(Leg::root).filter(|root| !known.contains(root)).collect();
        if !more.is_empty() {
            let more: Vec<LegKey> = more.into_iter().collect();
            calls::lock(tx, &more).await?;
            batch.load_legs(tx, &more).await?;
        }
        Ok(batch)
    }

    async fn load_legs(&mut self, tx: &mut Tx, keys: &[LegKey]) -> Result<(), StoreError> {
        for stored in calls::list_conversations(tx, keys).await? {
            let call = row::registers(&stored)?;
            let view = LegView::read(&stored.provider_id, &call);
            let mut leg = Leg { before: None, row: stored, call, touched: false, ask: false, entered_ms: None };
            leg.before = Some(Before { row: leg.call.read(), view, root: leg.root() });
            self.legs.insert(leg.key(), leg);
        }
        Ok(())
    }

    /// Stores the signals of new submissions and lets the calls absorb those that were not known.
    async fn absorb_all(&mut self, tx: &mut Tx, terms: &mut Terms<'_>, news: &[&Submission]) -> Result<(), StoreError> {
        let said: Vec<(&Submission, &Signal)> =
            news.iter().flat_map(|s| s.signals.iter().map(move |signal| (*s, signal))).collect();
        let mut known = self.insert_signals(tx, &said).await?;
        let pruned = self.pruned(tx, &said).await?;
        for (submission, signal) in said {
            let key = leg_key(&submission.tenant, signal);
            let sign = signal.is_sign_of_life();
            let id = (key.clone(), signal.identity().to_hex());
            let leg = self.legs.entry(key).or_insert_with(|| Leg::new(submission, signal, terms));
            if let Some(delivery) = &submission.delivery {
                leg.row.verified &= delivery.verified;
            }
            leg.row.deliveries += i64::from(submission.delivery.is_some());
            let was = leg.before.is_some() || leg.touched;
            leg.touched = true;
            let from = was.then(|| leg.status());
            // Taken out, so that a second copy in the same batch counts as repeated.
            let step = match known.remove(&id) {
                Some((0, _)) if pruned.contains(&id.0) => leg.absorb_pruned(signal),
                Some((0, received_ms)) => leg.absorb(&Signal { received_ms, ..signal.clone() }),
                Some(_) => leg.fold_anew(tx).await?,
                None if sign => leg.absorb(signal),
                None => Step::Repeated,
            };
            if let Some(decision) =
                submission.decision.as_ref().filter(|_| matches!(step, Step::Moved | Step::Corrected))
            {
                self.decided.push((leg.key(), from, decision.clone()));
            }
            self.tally.steps.push(step);
            self.write_step(submission, signal, step, from, terms.now);
        }
        Ok(())
    }

    /// Stores signals, each identity once. Answers which are new (0) or newly found to be earlier, and when the earliest
    /// copy was received: that one counts, whichever stands first in the batch.
    async fn insert_signals(
        &self,
        tx: &mut Tx,
        said: &[(&Submission, &Signal)],
    ) -> Result<HashMap<(LegKey, String), (i64, Millis)>, StoreError> {
        let mut rows: BTreeMap<(LegKey, String), SignalRow> = BTreeMap::new();
        for (submission, signal) in said {
            let delivery_id = submission.delivery.as_ref().map(|d| d.id.as_str());
            let row = SignalRow::of(&submission.tenant, signal, delivery_id);
            let id = (leg_key(&submission.tenant, signal), row.identity.clone());
            let kept = rows.entry(id).or_insert_with(|| row.clone());
            kept.received_ms = kept.received_ms.min(row.received_ms);
        }
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let received: HashMap<(LegKey, String), Millis> =
            rows.iter().map(|(id, row)| (id.clone(), row.received_ms)).collect();
        let (signs, rows): (Vec<SignalRow>, Vec<SignalRow>) =
            rows.into_values().partition(|row| row.identity == signals::SIGN_OF_LIFE);
        signals::renew(tx, &signs).await?;
        let inserted = signals::insert(tx, &rows).await?;
        let key = |i: &signals::Inserted| LegKey {
            tenant: i.tenant.clone(),
            provider_id: i.provider_id.clone(),
            account: i.account.clone(),
        };
        let fresh = inserted.into_iter().map(|i| ((key(&i), i.identity), i.earlier));
        Ok(fresh.filter_map(|(id, earlier)| received.get(&id).map(|at| (id.clone(), (earlier, *at)))).collect())
    }

    /// Writes signals of our own about legs of this batch (links) and lets the calls absorb them.
    pub(super) async fn absorb_own(
        &mut self,
        tx: &mut Tx,
        terms: &mut Terms<'_>,
        own: Vec<Submission>,
    ) -> Result<(), StoreError> {
        if own.is_empty() {
            return Ok(());
        }
        self.absorb_all(tx, terms, &own.iter().collect::<Vec<_>>()).await
    }

    fn note_repeated(&mut self, submission: &Submission, now: Millis) {
        for signal in &submission.signals {
            self.tally.steps.push(Step::Repeated);
            let from = self.legs.get(&leg_key(&submission.tenant, signal)).map(Leg::status);
            self.write_step(submission, signal, Step::Repeated, from, now);
        }
    }

    /// Writes a step to the timeline. Repetitions stop being written at some number: a provider (or somebody who
    /// replays a signed request) can repeat for ever.
    fn write_step(&mut self, submission: &Submission, signal: &Signal, step: Step, from: Option<Status>, now: Millis) {
        let Some(leg) = self.legs.get_mut(&leg_key(&submission.tenant, signal)) else { return };
        if step == Step::Repeated {
            if submission.delivery.is_none() || leg.row.repeats >= REPEATS_SHOWN_MAX {
                return;
            }
            leg.touched = true;
            leg.row.repeats += 1;
        } else if matches!(signal.claim, Claim::Alive) && step != Step::Corrected {
            return;
        }
        let delivery_id = submission.delivery.as_ref().map(|d| d.id.as_str());
        let step = timeline::TimelineStep::of(signal, step, from, leg.status(), delivery_id);
        self.journal.push(timeline::of_call(&submission.tenant, &leg.row.id, now, &step));
    }

    /// Writes what changed.
    async fn write(&mut self, tx: &mut Tx, rules: &Rules, now: Millis) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for leg in self.legs.values_mut().filter(|leg| leg.touched) {
            let read = leg.call.read();
            row::fill(&mut leg.row, &leg.call, &read);
            leg.set_due(rules);
            leg.ask_now(now);
            if let Some(kind) = effect::of_call(leg.before.as_ref().map(|before| &before.row), &read) {
                leg.row.effects += 1;
                self.outbox.push(owed::call_effect(&leg.row, kind, now));
            }
            rows.push(leg.row.clone());
        }
        calls::upsert(tx, &rows).await?;
        outbox::insert(tx, &self.outbox).await?;
        journal::append(tx, &self.journal).await
    }
}

impl Leg {
    fn new(submission: &Submission, signal: &Signal, terms: &mut Terms<'_>) -> Self {
        let row = CallRow {
            tenant: submission.tenant.clone(),
            provider_id: signal.leg.provider_id.clone(),
            account: signal.leg.account.clone(),
            id: new_id("call", terms.now, terms.rng.random()),
            provider: submission.provider.to_owned(),
            verified: true,
            ..CallRow::default()
        };
        // Also one of which only a word nobody knows was heard: it lives, so it must be looked at.
        Self {
            row,
            call: Call::default(),
            before: None,
            touched: false,
            ask: false,
            entered_ms: Some(signal.received_ms),
        }
    }

    fn absorb(&mut self, signal: &Signal) -> Step {
        let step = self.call.absorb(signal);
        self.row.last_signal_ms = self.row.last_signal_ms.max(signal.received_ms);
        if matches!(step, Step::Moved | Step::Corrected) {
            self.entered_ms = Some(signal.received_ms);
        }
        step
    }

    /// When to look at it again: counted from when it entered its state; repeated and late signals do not move it.
    fn set_due(&mut self, rules: &Rules) {
        let status = self.status();
        let live = !status.is_ended() && !self.row.is_replaced();
        let from = self.entered_ms.or(self.row.due_at_ms.is_none().then_some(self.row.last_signal_ms));
        match (live, from) {
            (false, _) => self.row.due_at_ms = None,
            (true, Some(from)) => self.row.due_at_ms = rules.limits.due_at_ms(status, from),
            (true, None) => {}
        }
    }

    /// A copy of a known signal turned out to have been received earlier: times that count from the receipt change.
    /// Of a pruned call the registers know more than the signals that are left; what is earlier than all of them adds nothing.
    async fn fold_anew(&mut self, tx: &mut Tx) -> Result<Step, StoreError> {
        if self.is_pruned(tx).await? {
            return Ok(Step::Repeated);
        }
        let row = &self.row;
        let stored = signals::list_of_call(tx, &row.tenant, &row.account, &row.provider_id).await?;
        let signals: Vec<Signal> = stored.iter().map(SignalRow::signal).collect::<Result<_, _>>()?;
        self.call = Call::fold(&signals);
        Ok(Step::Repeated)
    }

    pub(super) fn status(&self) -> Status {
        self.call.read().status
    }

    pub(super) fn key(&self) -> LegKey {
        let row = &self.row;
        LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
    }

    /// The key of the conversation's root: the parent, or the leg itself.
    pub(super) fn root(&self) -> LegKey {
        let parent = self.call.detail(Field::ParentId);
        LegKey { provider_id: parent.unwrap_or(&self.row.provider_id).to_owned(), ..self.key() }
    }

    pub(super) const fn is_touched(&self) -> bool {
        self.touched
    }
}

/// How many repeated deliveries of one call get a row in its timeline.
const REPEATS_SHOWN_MAX: i64 = 20;
