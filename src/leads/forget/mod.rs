//! Forgetting a person: name and number of a lead, and what its calls hold of it. What was counted stays.
//!
//! Each conversation is one transaction, so webhooks come in between. The lead itself goes last: until then its number says
//! what is still to be looked for, so whatever was cut off is taken up by the next run, and a run over nothing changes nothing.

mod jobs;
mod report;
mod traces;

pub use report::{Erased, Forgotten, Kept};

use super::{Written, entry};
use crate::{
    domain::{
        call::Call,
        id::new_id,
        signal::{Claim, Field, Signal},
        time::Millis,
    },
    ingest,
    store::{
        Db, StoreError, Tx,
        audit::{self, AuditRow},
        calls::{self, CallFilter, CallRow, LegKey},
        deliveries::DeliveryKey,
        erasure, follow_ups, journal,
        leads::{self, LeadFilter, LeadRead},
        quarantine::{self, QuarantineId, Whose},
        retention, signals,
    },
};
use std::collections::{BTreeMap, BTreeSet};
use traces::Traces;

/// Who asks for it, and whether it is to be done.
#[derive(Clone, Debug)]
pub struct Forget {
    /// Only say what would be erased.
    pub dry_run: bool,
    /// Whether refused deliveries that belong to no tenant are looked through as well: only operators see them.
    pub sees_unknown: bool,
    /// `key:<id>` or `cli`.
    pub actor: String,
    /// The time.
    pub now_ms: Millis,
    /// For the id of the audit's row.
    pub randomness: u128,
}

/// Forgets a lead; `None` if there is none with this id.
pub async fn forget(db: &Db, tenant: &str, id: &str, how: &Forget) -> Result<Option<Forgotten>, StoreError> {
    let Some(lead) = leads::find(db, tenant, id).await? else { return Ok(None) };
    let traces = Traces::of(&lead.row);
    let kept = Kept { contacts: lead.contact_count.unsigned_abs(), ..Kept::default() };
    let report = Forgotten { lead_id: id.to_owned(), dry_run: how.dry_run, erased: Erased::default(), kept };
    let mut search = Search { db, tenant, id, traces, dry_run: how.dry_run, seen: BTreeSet::new(), report };
    // Before its calls: one that comes in between would be tied to the lead of its job.
    search.jobs(how.now_ms).await?;
    search.linked().await?;
    if search.traces.has_number() {
        search.calls().await?;
        search.signals().await?;
        search.deliveries().await?;
        search.refused(how.sees_unknown).await?;
        search.other_leads(&lead).await?;
    }
    search.announced().await?;
    search.remembered().await?;
    search.finish(how).await?;
    if !how.dry_run {
        // What came while it was looked for: from here on nothing is tied to the lead by its number any more.
        search.seen.clear();
        let kept = search.report.kept.clone();
        search.linked().await?;
        search.report.kept = kept;
    }
    Ok(Some(search.report))
}

/// Looks for a person and erases what it finds.
struct Search<'a> {
    db: &'a Db,
    tenant: &'a str,
    id: &'a str,
    traces: Traces,
    dry_run: bool,
    /// The legs that are done: a person's calls are few.
    seen: BTreeSet<LegKey>,
    report: Forgotten,
}

impl Search<'_> {
    /// The calls that are tied to the lead.
    async fn linked(&mut self) -> Result<(), StoreError> {
        let filter = CallFilter { lead_id: Some(self.id.to_owned()), ..CallFilter::default() };
        let mut before: Option<String> = None;
        loop {
            let rows = calls::list(self.db, self.tenant, &filter, before.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            before = Some(last.id.clone());
            for row in &rows {
                self.erase(key_of(row)).await?;
            }
        }
    }

    /// The calls with the number.
    async fn calls(&mut self) -> Result<(), StoreError> {
        let mut after = self.leg("", "");
        loop {
            let rows = calls::list_all(self.db, &after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = key_of(last);
            for row in &rows {
                if row.tenant == self.tenant && self.traces.are_in(row.registers.as_bytes()) {
                    self.erase(key_of(row)).await?;
                }
            }
            if after.tenant != self.tenant {
                return Ok(());
            }
        }
    }

    /// The calls of which a signal holds the number, although their row shows another one.
    async fn signals(&mut self) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let from = (after.0.as_str(), after.1.as_str(), after.2.as_str());
            let rows = erasure::list_signals(self.db, self.tenant, from, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.provider_id.clone(), last.account.clone(), last.identity.clone());
            for row in &rows {
                if self.traces.are_in(row.said.as_bytes()) {
                    self.erase(self.leg(&row.provider_id, &row.account)).await?;
                }
            }
        }
    }

    /// The calls of which a delivery holds the number.
    async fn deliveries(&mut self) -> Result<(), StoreError> {
        let (tenant, empty) = (self.tenant.to_owned(), String::new);
        let mut after = DeliveryKey { tenant, provider_id: empty(), account: empty(), id: empty() };
        loop {
            let rows = erasure::list_deliveries(self.db, &after, PAGE_BODIES).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            (after.provider_id, after.account) = (last.provider_id.clone(), last.account.clone());
            after.id.clone_from(&last.id);
            for row in &rows {
                if self.traces.are_in(&row.body) || self.traces.are_in(&row.query) {
                    self.erase(self.leg(&row.provider_id, &row.account)).await?;
                }
            }
        }
    }

    /// Refused deliveries with the number; for operators also those of accounts that nobody has.
    async fn refused(&mut self, sees_unknown: bool) -> Result<(), StoreError> {
        let whose = if sees_unknown { Whose::Operator(self.tenant) } else { Whose::Tenant(self.tenant) };
        let mut after = String::new();
        loop {
            let rows = erasure::list_refused(self.db, whose, &after, PAGE_BODIES).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.id);
            let texts = |row: &quarantine::QuarantineRow| {
                [row.path_and_query.as_bytes(), row.detail.as_bytes()].iter().any(|text| self.traces.are_in(text))
            };
            let found = rows.iter().filter(|row| self.traces.are_in(&row.body) || texts(row));
            let ids: Vec<QuarantineId> = found.map(|row| QuarantineId { id: row.id.clone() }).collect();
            if !ids.is_empty() {
                let mut tx = self.db.begin().await?;
                self.report.erased.refused_deliveries += quarantine::delete(&mut tx, &ids).await?;
                self.end(tx).await?;
            }
        }
    }

    /// Announcements of calls to this person.
    async fn announced(&mut self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = erasure::list_expected(self.db, self.tenant, &after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.id);
            let mut tx = self.db.begin().await?;
            for row in &rows {
                let ends = [Some(&row.to), row.from.as_ref()];
                let is_theirs = row.lead_id.as_deref() == Some(self.id);
                if is_theirs || ends.into_iter().flatten().any(|end| self.traces.are_in(end.as_bytes())) {
                    self.report.erased.announcements += erasure::delete_expected(&mut tx, self.tenant, &row.id).await?;
                }
            }
            self.end(tx).await?;
        }
    }

    /// Answers that show the lead: a request that is sent again is judged anew.
    async fn remembered(&mut self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = erasure::list_remembered(self.db, self.tenant, &after, PAGE_BODIES).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.key);
            let mut tx = self.db.begin().await?;
            for row in rows.iter().filter(|row| self.traces.are_in_answer(&row.body)) {
                self.report.erased.remembered_answers +=
                    erasure::delete_remembered(&mut tx, self.tenant, &row.key).await?;
            }
            self.end(tx).await?;
        }
    }

    /// Leads with the same number: relatives, or the same person twice. Whoever asks decides.
    async fn other_leads(&mut self, lead: &LeadRead) -> Result<(), StoreError> {
        let filter = LeadFilter { phone_e164: lead.row.phone_e164.clone(), ..LeadFilter::default() };
        let rows = leads::list(self.db, self.tenant, &filter, "", PAGE).await?;
        self.report.kept.other_leads = rows.iter().filter(|other| other.row.id != self.id).count() as u64;
        Ok(())
    }

    /// Erases the conversation a leg belongs to, unless that was done.
    async fn erase(&mut self, leg: LegKey) -> Result<(), StoreError> {
        if self.seen.contains(&leg) {
            return Ok(());
        }
        let mut left = REPEATS_MAX;
        loop {
            match self.try_erase(&leg).await {
                Err(StoreError::Again(_)) if left > 0 => left -= 1,
                result => return result,
            }
        }
    }

    async fn try_erase(&mut self, leg: &LegKey) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let legs = conversation(&mut tx, leg).await?;
        let mut erased = Erased::default();
        let keys: BTreeSet<LegKey> = legs.keys().cloned().chain([leg.clone()]).collect();
        let all: Vec<LegKey> = keys.iter().cloned().collect();
        let pruned: BTreeSet<LegKey> = retention::list_pruned(&mut tx, &all).await?.into_iter().collect();
        for (key, row) in &legs {
            self.erase_call(&mut tx, row, pruned.contains(key), &mut erased).await?;
        }
        for key in &keys {
            erased.deliveries += erasure::empty_deliveries(&mut tx, key).await?;
            erased.unapplied_deliveries += erasure::delete_unapplied(&mut tx, key).await?;
            // What its provider would tell of it later has the numbers again.
            let open = follow_ups::list_of_call(&mut tx, &key.tenant, &key.account, &key.provider_id).await?;
            follow_ups::delete(&mut tx, &open).await?;
        }
        self.end(tx).await?;
        let fresh: Vec<&CallRow> =
            legs.iter().filter(|(key, _)| !self.seen.contains(key)).map(|(_, row)| row).collect();
        let live = fresh.iter().filter(|row| row.resolution.is_none() && !row.is_replaced()).count();
        self.report.kept.calls += fresh.len() as u64;
        self.report.kept.live_calls += live as u64;
        self.report.erased.add(&erased);
        self.seen.extend(keys);
        Ok(())
    }

    /// Takes the personal facts from the signals of a call, and folds its row from what is left. Of a pruned call the registers
    /// are all there is.
    async fn erase_call(
        &self,
        tx: &mut Tx,
        row: &CallRow,
        is_pruned: bool,
        erased: &mut Erased,
    ) -> Result<(), StoreError> {
        let personal = |field: Field, value: &str| self.is_personal(field, value);
        let (mut said, mut rewritten) = (Vec::new(), Vec::new());
        for stored in signals::list_of_call(&mut *tx, &row.tenant, &row.account, &row.provider_id).await? {
            let mut signal = stored.signal()?;
            if self.strip(&mut signal) {
                let text = serde_json::to_string(&signal).unwrap_or_default();
                rewritten.push(signals::SignalRow { said: text, ..stored });
            }
            said.push(signal);
        }
        let mut call = ingest::registers(row)?;
        if call.forget(personal) || !rewritten.is_empty() {
            if !is_pruned {
                // What `check` will fold.
                call = Call::fold(&said);
            }
            let mut new = row.clone();
            ingest::fill(&mut new, &call, &call.read());
            erased.calls += erasure::rewrite_calls(tx, &[new]).await?;
        }
        erased.signals += erasure::rewrite_signals(tx, &rewritten).await?;
        erased.notices += erasure::delete_notices(tx, &row.tenant, &row.id).await?;
        Ok(())
    }

    /// Takes what is personal from a signal; whether there was anything.
    fn strip(&self, signal: &mut Signal) -> bool {
        let before = signal.details.len();
        signal.details.retain(|field, value| !self.is_personal(*field, value));
        let is_word = matches!(&signal.claim, Claim::Unknown(word) if self.traces.are_in(word.as_bytes()));
        if is_word {
            signal.claim = Claim::Unknown(String::new());
        }
        is_word || signal.details.len() < before
    }

    /// Whom it was about and what was said. What ties legs together stays.
    fn is_personal(&self, field: Field, value: &str) -> bool {
        match field {
            Field::From | Field::To | Field::RecordingUrl => true,
            Field::ParentId | Field::MergedInto => false,
            _ => self.traces.are_in(value.as_bytes()),
        }
    }

    /// The lead itself, and one row of the audit with counts only. A run that changed nothing is no decision.
    async fn finish(&mut self, how: &Forget) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.report.erased.leads = erasure::forget_lead(&mut tx, self.tenant, self.id, how.now_ms).await?;
        if self.report.erased != Erased::default() {
            let row = AuditRow {
                tenant: self.tenant.to_owned(),
                id: new_id("audit", how.now_ms, how.randomness),
                at_ms: how.now_ms,
                actor: how.actor.clone(),
                action: Written::Forgotten.as_str().to_owned(),
                subject: self.id.to_owned(),
                detail: serde_json::json!({ "erased": self.report.erased, "kept": self.report.kept }).to_string(),
            };
            audit::insert(&mut tx, &[row]).await?;
            journal::append(&mut tx, &[entry(self.tenant, self.id, Written::Forgotten, how.now_ms)]).await?;
        }
        self.end(tx).await
    }

    /// Makes it durable, or takes it back where somebody only looks.
    async fn end(&self, tx: Tx) -> Result<(), StoreError> {
        if self.dry_run {
            drop(tx);
            return Ok(());
        }
        tx.commit().await
    }

    fn leg(&self, provider_id: &str, account: &str) -> LegKey {
        let tenant = self.tenant.to_owned();
        LegKey { tenant, provider_id: provider_id.to_owned(), account: account.to_owned() }
    }
}

/// The legs of the conversation that a leg belongs to, locked against webhooks.
async fn conversation(tx: &mut Tx, leg: &LegKey) -> Result<BTreeMap<LegKey, CallRow>, StoreError> {
    let by_key = |rows: Vec<CallRow>| rows.into_iter().map(|row| (key_of(&row), row)).collect::<BTreeMap<_, _>>();
    let found = by_key(calls::list_conversations(tx, std::slice::from_ref(leg)).await?);
    let parent = found.get(leg).and_then(|row| row.parent_id.clone());
    let root = LegKey { provider_id: parent.unwrap_or_else(|| leg.provider_id.clone()), ..leg.clone() };
    let legs = by_key(calls::list_conversations(tx, std::slice::from_ref(&root)).await?);
    let keys: BTreeSet<LegKey> = legs.into_keys().chain(found.into_keys()).chain([root, leg.clone()]).collect();
    let keys: Vec<LegKey> = keys.into_iter().collect();
    // Read once more: a webhook may have written until the lock was ours.
    calls::lock(tx, &keys).await?;
    Ok(by_key(calls::list_conversations(tx, &keys).await?))
}

fn key_of(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

/// Rows in one slice; fewer where they carry bodies.
const PAGE: i64 = 200;
const PAGE_BODIES: i64 = 100;
/// How often a transaction is repeated when another writer was in the way.
const REPEATS_MAX: u32 = 5;
