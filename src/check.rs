//! Does the database agree with itself? Every call is folded anew from its stored signals and compared with its row,
//! every conversation is judged anew and compared with its contacts, and what could not be applied is listed.
//!
//! Nothing is changed. A page of calls is read in one transaction; on PostgreSQL, where statements see what was
//! committed in between, a page that shows a difference is read once more with its calls locked.

use crate::{
    domain::{call::Call, lead::LegView, signal::Signal},
    ingest::{self, Rules},
    store::{
        Db, StoreError, Tx,
        calls::{self, CallRow, LegKey},
        contacts::{self, ContactRow, Conversation},
        deliveries,
        quarantine::{self, Size},
        retention, signals,
    },
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Calls that were folded anew.
    pub calls: u64,
    /// Calls that were not folded anew: their signals were pruned some time after they ended (`keep.deliveries`). Of these
    /// the row was compared with the registers.
    pub pruned: u64,
    /// Conversations that were judged anew.
    pub conversations: u64,
    /// What was found, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub left_out: u64,
    /// How much is kept of deliveries that were refused. That is no finding: anybody can send what is refused.
    pub quarantine: Size,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// A call's row is not what its signals say.
    RowDiffers {
        /// Whose it is.
        tenant: String,
        /// Our id of it.
        call_id: String,
        /// The provider's.
        provider_id: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A call has no signals although they were never pruned: nothing says that it exists.
    NoSignals {
        /// Whose it is.
        tenant: String,
        /// Our id of it.
        call_id: String,
        /// The provider's.
        provider_id: String,
    },
    /// A stored row cannot be read.
    Unreadable {
        /// Whose it is.
        tenant: String,
        /// Our id of the call.
        call_id: String,
        /// What is wrong.
        why: String,
    },
    /// A conversation is a contact of a lead by the contact rule, and is not counted.
    ContactMissing {
        /// Whose it is.
        tenant: String,
        /// The root's provider id.
        conversation: String,
        /// The lead.
        lead_id: String,
    },
    /// A conversation is counted as a contact, and is none by the contact rule, or another one.
    ContactWrong {
        /// Whose it is.
        tenant: String,
        /// The root's provider id.
        conversation: String,
        /// The lead.
        lead_id: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A verified delivery could not be applied yet.
    Unapplied {
        /// Whose it is.
        tenant: String,
        /// The delivery.
        delivery_id: String,
        /// The provider's id of the call it speaks of.
        provider_id: String,
        /// Why not.
        reason: String,
        /// How often it was tried.
        attempts: i64,
    },
}

/// A value that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The column.
    pub field: String,
    /// What is stored.
    pub stored: Value,
    /// What it should be.
    pub expected: Value,
}

/// Checks the whole database.
pub async fn check(db: &Db, rules: &Rules) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut after = LegKey { tenant: String::new(), provider_id: String::new(), account: String::new() };
    loop {
        let page = settled_page(db, rules, &after).await?;
        report.calls += page.calls;
        report.pruned += page.pruned;
        report.conversations += page.conversations;
        report.add(page.findings);
        match page.last {
            Some(last) => after = last,
            None => break,
        }
    }
    report.quarantine = quarantine::size(db).await?;
    let unapplied = deliveries::list_unapplied(db, UNAPPLIED_MAX).await?;
    report.add(unapplied.into_iter().map(|row| Finding::Unapplied {
        tenant: row.tenant,
        delivery_id: row.id,
        provider_id: row.provider_id,
        reason: row.reason.unwrap_or_default(),
        attempts: row.attempts,
    }));
    Ok(report)
}

impl Report {
    /// Whether nothing was found.
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(finding);
            } else {
                self.left_out += 1;
            }
        }
    }
}

/// A page of calls, checked.
#[derive(Default)]
struct Page {
    calls: u64,
    pruned: u64,
    conversations: u64,
    findings: Vec<Finding>,
    /// Where the next page begins; `None` after the last one.
    last: Option<LegKey>,
}

/// Checks a page; what it finds was not just a change under way.
async fn settled_page(db: &Db, rules: &Rules, after: &LegKey) -> Result<Page, StoreError> {
    let mut tries = TRIES_MAX;
    let mut lock = false;
    loop {
        match checked_page(db, rules, after, lock).await {
            Ok(page) if page.findings.is_empty() || lock || matches!(db, Db::Sqlite { .. }) => return Ok(page),
            Ok(_) => lock = true,
            Err(StoreError::Again(_)) if tries > 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

async fn checked_page(db: &Db, rules: &Rules, after: &LegKey, lock: bool) -> Result<Page, StoreError> {
    let mut tx = db.begin().await?;
    let mut rows = calls::list_all(&mut tx, after, PAGE_CALLS).await?;
    let keys: Vec<LegKey> =
        rows.iter().flat_map(|row| [key(row), root(row)]).collect::<BTreeSet<_>>().into_iter().collect();
    if lock {
        calls::lock(&mut tx, &keys).await?;
        rows = calls::list_all(&mut tx, after, PAGE_CALLS).await?;
    }
    let mut page = Page { last: rows.last().map(key), ..Page::default() };
    let of_rows: Vec<LegKey> = rows.iter().map(key).collect();
    let pruned: BTreeSet<LegKey> = retention::list_pruned(&mut tx, &of_rows).await?.into_iter().collect();
    for row in &rows {
        if pruned.contains(&key(row)) {
            check_pruned(row, &mut page);
        } else {
            check_row(&mut tx, row, &mut page).await?;
        }
    }
    check_contacts(&mut tx, rules, &rows, &keys, &mut page).await?;
    Ok(page)
}

/// Folds a call anew and compares.
async fn check_row(tx: &mut Tx, row: &CallRow, page: &mut Page) -> Result<(), StoreError> {
    let stored = signals::list_of_call(&mut *tx, &row.tenant, &row.account, &row.provider_id).await?;
    let (tenant, call_id, provider_id) = (row.tenant.clone(), row.id.clone(), row.provider_id.clone());
    if stored.is_empty() {
        page.findings.push(Finding::NoSignals { tenant, call_id, provider_id });
        return Ok(());
    }
    page.calls += 1;
    let read = || -> Result<(Call, Call), StoreError> {
        let signals: Vec<Signal> = stored.iter().map(signals::SignalRow::signal).collect::<Result<_, _>>()?;
        Ok((ingest::registers(row)?, Call::fold(&signals)))
    };
    let (registers, folded) = match read() {
        Ok(both) => both,
        Err(StoreError::Corrupt { what, why }) => {
            let why = format!("{what}: {why}");
            page.findings.push(Finding::Unreadable { tenant, call_id, why });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut expected = row.clone();
    ingest::fill(&mut expected, &folded, &folded.read());
    if registers == folded {
        // The same registers, perhaps written by an earlier version: only their meaning counts.
        expected.registers.clone_from(&row.registers);
    }
    compare_row(row, &expected, page);
    Ok(())
}

/// The signals of a call are gone; its row must still be what its registers say.
fn check_pruned(row: &CallRow, page: &mut Page) {
    page.pruned += 1;
    match ingest::registers(row) {
        Ok(call) => {
            let mut expected = row.clone();
            ingest::fill(&mut expected, &call, &call.read());
            // The same registers, perhaps written by an earlier version.
            expected.registers.clone_from(&row.registers);
            compare_row(row, &expected, page);
        }
        Err(error) => {
            let (tenant, call_id) = (row.tenant.clone(), row.id.clone());
            page.findings.push(Finding::Unreadable { tenant, call_id, why: error.to_string() });
        }
    }
}

fn compare_row(row: &CallRow, expected: &CallRow, page: &mut Page) {
    let differences = differences(row, expected);
    if !differences.is_empty() {
        let (tenant, call_id, provider_id) = (row.tenant.clone(), row.id.clone(), row.provider_id.clone());
        page.findings.push(Finding::RowDiffers { tenant, call_id, provider_id, differences });
    }
}

/// Judges the conversations that begin on this page and compares.
async fn check_contacts(
    tx: &mut Tx,
    rules: &Rules,
    rows: &[CallRow],
    keys: &[LegKey],
    page: &mut Page,
) -> Result<(), StoreError> {
    let legs: BTreeMap<LegKey, CallRow> =
        calls::list_conversations(tx, keys).await?.into_iter().map(|row| (key(&row), row)).collect();
    let mut conversations: BTreeMap<LegKey, Vec<&CallRow>> = BTreeMap::new();
    for leg in legs.values() {
        conversations.entry(root(leg)).or_default().push(leg);
    }
    // Every leg may be a root, also one that has learned of a parent since. Of a root that has no row, its first leg
    // stands in, so that each conversation is judged on one page.
    let begin_here: BTreeSet<LegKey> = rows
        .iter()
        .flat_map(|row| {
            let root = root(row);
            let stands_in = !legs.contains_key(&root)
                && conversations.get(&root).and_then(|legs| legs.first()).is_some_and(|first| key(first) == key(row));
            std::iter::once(key(row)).chain(stands_in.then_some(root))
        })
        .collect();
    let wanted: Vec<Conversation> = begin_here.iter().map(conversation).collect();
    let mut stored: BTreeMap<LegKey, Vec<ContactRow>> = BTreeMap::new();
    for row in contacts::list_of(tx, &wanted).await? {
        let key =
            LegKey { tenant: row.tenant.clone(), provider_id: row.conversation.clone(), account: row.account.clone() };
        stored.entry(key).or_default().push(row);
    }
    for root in &begin_here {
        let legs = conversations.get(root).map(Vec::as_slice).unwrap_or_default();
        page.conversations += u64::from(!legs.is_empty());
        let stored = stored.remove(root).unwrap_or_default();
        compare_contacts(rules, root, legs, stored, page);
    }
    Ok(())
}

fn compare_contacts(rules: &Rules, root: &LegKey, legs: &[&CallRow], stored: Vec<ContactRow>, page: &mut Page) {
    // A row that cannot be read has been reported.
    let Ok(views) = legs
        .iter()
        .map(|leg| ingest::registers(leg).map(|call| LegView::read(&leg.provider_id, &call)))
        .collect::<Result<Vec<_>, _>>()
    else {
        return;
    };
    let contact = rules.contact.judge(&views).and_then(|v| Some((v.lead_id, v.contacted_ms?, v.activity?.provider_id)));
    let call_id = |leg: &str| legs.iter().find(|l| l.provider_id == leg).map(|l| l.id.clone()).unwrap_or_default();
    let Conversation { tenant, conversation, .. } = conversation(root);
    let mut counted = false;
    for row in stored {
        let expected = match &contact {
            Some((lead_id, contacted_ms, leg)) if *lead_id == row.lead_id => {
                ContactRow { active: true, contacted_ms: *contacted_ms, call_id: call_id(leg), ..row.clone() }
            }
            Some(_) | None => ContactRow { active: false, ..row.clone() },
        };
        counted |= expected.active && row.active;
        let differences = differences(&row, &expected);
        if row.active && !differences.is_empty() {
            let (tenant, conversation) = (tenant.clone(), conversation.clone());
            page.findings.push(Finding::ContactWrong { tenant, conversation, lead_id: row.lead_id, differences });
        }
    }
    if let Some((lead_id, ..)) = contact.filter(|_| !counted) {
        page.findings.push(Finding::ContactMissing { tenant, conversation, lead_id });
    }
}

/// The columns in which two rows differ.
fn differences<T: Serialize>(stored: &T, expected: &T) -> Vec<Difference> {
    let columns = |row: &T| match serde_json::to_value(row) {
        Ok(Value::Object(columns)) => columns,
        _ => serde_json::Map::new(),
    };
    let (stored, mut expected) = (columns(stored), columns(expected));
    let pairs = stored.into_iter().map(|(field, stored)| {
        let expected = expected.remove(&field).unwrap_or_default();
        Difference { field, stored, expected }
    });
    pairs.filter(|d| d.stored != d.expected).collect()
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

/// The key of the conversation's root.
fn root(row: &CallRow) -> LegKey {
    LegKey { provider_id: row.parent_id.clone().unwrap_or_else(|| row.provider_id.clone()), ..key(row) }
}

fn conversation(root: &LegKey) -> Conversation {
    Conversation { tenant: root.tenant.clone(), conversation: root.provider_id.clone(), account: root.account.clone() }
}

/// Calls in one transaction. On SQLite nobody else writes meanwhile.
const PAGE_CALLS: i64 = 200;
/// How often a page is read again because of another writer.
const TRIES_MAX: u32 = 5;
/// More findings than this are counted, not listed.
pub const FINDINGS_MAX: usize = 1_000;
/// How many unapplied deliveries are listed.
const UNAPPLIED_MAX: i64 = 1_000;
