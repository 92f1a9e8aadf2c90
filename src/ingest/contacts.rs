//! What the batch means for leads: contacts, activity and their effects, in the same transaction.
//!
//! A contact is a pure read of its conversation. It is judged before and after; only a difference is written.

use super::{
    batch::{Batch, Terms},
    timeline::{LeadChange, entry},
};
use crate::{
    domain::{
        effect,
        lead::{LegView, Verdict},
        signal::Field,
        time::{Millis, rfc3339},
    },
    store::{
        StoreError, Tx,
        calls::LegKey,
        contacts::{self, ActivityRow, ContactRow, Conversation},
        journal,
        outbox::OutboxRow,
    },
};
use std::collections::BTreeMap;

/// Judges the conversations of the legs this batch touched and writes what changed.
pub(super) async fn judge(tx: &mut Tx, batch: &mut Batch, terms: &Terms<'_>) -> Result<(), StoreError> {
    let changed = changed_verdicts(batch, terms);
    if changed.is_empty() {
        return Ok(());
    }
    let conversations: Vec<Conversation> = changed.keys().map(conversation).collect();
    let mut stored: BTreeMap<LegKey, Vec<ContactRow>> = BTreeMap::new();
    for row in contacts::list_of(tx, &conversations).await? {
        stored.entry(root_of(&row)).or_default().push(row);
    }
    let mut rows = Vec::new();
    for (root, verdict) in &changed {
        let known = stored.remove(root).unwrap_or_default();
        rows.extend(settle(batch, root, verdict.as_ref(), known, terms.now));
    }
    // A user's trigger locks leads in this order: the same one on every node.
    rows.sort_by(|a, b| (&a.tenant, &a.lead_id).cmp(&(&b.tenant, &b.lead_id)));
    contacts::upsert(tx, &rows).await?;
    write_activity(tx, batch, &changed).await
}

/// The verdicts that this batch changed, by conversation.
fn changed_verdicts(batch: &Batch, terms: &Terms<'_>) -> BTreeMap<LegKey, Option<Verdict>> {
    // A leg may learn its parent late: then it leaves the conversation of which it was the root.
    let mut conversations: BTreeMap<LegKey, (Vec<LegView>, Vec<LegView>, bool)> = BTreeMap::new();
    for leg in batch.legs.values() {
        if let Some(before) = &leg.before {
            let conversation = conversations.entry(before.root.clone()).or_default();
            conversation.0.push(before.view.clone());
            conversation.2 |= leg.is_touched();
        }
        let conversation = conversations.entry(leg.root()).or_default();
        conversation.2 |= leg.is_touched();
        // A call that was merged into another one is none of its own any more. One that has a parent as well is a leg of
        // that one: whoever picks up a call that rings elsewhere calls first, and is then the one who answered.
        if leg.call.detail(Field::MergedInto).is_none() || leg.call.detail(Field::ParentId).is_some() {
            conversation.1.push(LegView::read(&leg.row.provider_id, &leg.call));
        }
    }
    let policy = &terms.rules.contact;
    conversations
        .into_iter()
        .filter(|(_, (_, _, touched))| *touched)
        .filter_map(|(root, (before, after, _))| {
            let (was, verdict) = (policy.judge(&before), policy.judge(&after));
            // Without activity there is no contact either, before or after: nothing to write.
            let bare = |v: &Option<Verdict>| v.as_ref().is_none_or(|v| v.activity.is_none());
            let idle = was == verdict || (bare(&was) && bare(&verdict));
            (!idle).then_some((root, verdict))
        })
        .collect()
}

/// The contact rows of one conversation as they should be, where that differs; records the effects.
fn settle(
    batch: &mut Batch,
    root: &LegKey,
    verdict: Option<&Verdict>,
    known: Vec<ContactRow>,
    now: Millis,
) -> Vec<ContactRow> {
    let wanted = verdict.and_then(|v| {
        let activity = v.activity.as_ref()?;
        Some((v.lead_id.clone(), v.contacted_ms?, call_id(batch, root, &activity.provider_id)))
    });
    let mut rows = Vec::new();
    let mut missing = wanted.clone();
    for row in known {
        let mut new = row.clone();
        match &wanted {
            Some((lead_id, contacted_ms, call_id)) if *lead_id == row.lead_id => {
                missing = None;
                (new.active, new.contacted_ms, new.call_id) = (true, *contacted_ms, call_id.clone());
            }
            Some(_) | None => new.active = false,
        }
        if new != row {
            flip(batch, row.active, &mut new, now);
            rows.push(new);
        }
    }
    if let Some((lead_id, contacted_ms, call_id)) = missing {
        let Conversation { tenant, conversation, account } = conversation(root);
        let mut new =
            ContactRow { tenant, conversation, account, lead_id, call_id, contacted_ms, active: true, flips: 0 };
        flip(batch, false, &mut new, now);
        rows.push(new);
    }
    rows
}

/// Counts a switch of a contact and records what it owes: the effects of one contact alternate.
fn flip(batch: &mut Batch, was_active: bool, row: &mut ContactRow, now: Millis) {
    let Some(kind) = effect::of_contact(was_active, row.active) else { return };
    row.flips += 1;
    batch.tally.contacts += u64::from(row.active);
    let change = LeadChange { change: kind, call_id: row.call_id.clone(), contacted_ms: row.contacted_ms };
    batch.journal.push(entry(&row.tenant, journal::LEAD, &row.lead_id, now, &change));
    let payload = serde_json::json!({
        "lead_id": row.lead_id, "call_id": row.call_id, "conversation": row.conversation, "account": row.account,
        "contacted_at": rfc3339(row.contacted_ms), "active": row.active,
    });
    batch.outbox.push(OutboxRow {
        tenant: row.tenant.clone(),
        key: format!("{}/{}/{}/{:06}", row.lead_id, row.conversation, row.account, row.flips),
        kind: kind.as_str().to_owned(),
        subject: row.lead_id.clone(),
        created_ms: now,
        payload: payload.to_string(),
    });
}

async fn write_activity(
    tx: &mut Tx,
    batch: &Batch,
    changed: &BTreeMap<LegKey, Option<Verdict>>,
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    let mut gone = Vec::new();
    for (root, verdict) in changed {
        let Conversation { tenant, conversation, account } = conversation(root);
        let Some((lead_id, activity, contact)) =
            verdict.as_ref().and_then(|v| Some((&v.lead_id, v.activity.as_ref()?, v.contacted_ms.is_some())))
        else {
            gone.push(Conversation { tenant, conversation, account });
            continue;
        };
        rows.push(ActivityRow {
            tenant,
            conversation,
            account,
            lead_id: lead_id.clone(),
            call_id: call_id(batch, root, &activity.provider_id),
            outcome: activity.outcome.as_str().to_owned(),
            at_ms: activity.at_ms,
            talk_seconds: activity.talk_seconds,
            contact,
        });
    }
    contacts::upsert_activity(tx, &rows).await?;
    contacts::delete_activity(tx, &gone).await
}

/// Our id of a leg of this conversation.
fn call_id(batch: &Batch, root: &LegKey, provider_id: &str) -> String {
    let key = LegKey { provider_id: provider_id.to_owned(), ..root.clone() };
    batch.legs.get(&key).map(|leg| leg.row.id.clone()).unwrap_or_default()
}

fn conversation(root: &LegKey) -> Conversation {
    Conversation { tenant: root.tenant.clone(), conversation: root.provider_id.clone(), account: root.account.clone() }
}

fn root_of(row: &ContactRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.conversation.clone(), account: row.account.clone() }
}
