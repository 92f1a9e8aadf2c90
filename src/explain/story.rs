//! The story of one call: what was heard and done, in order, and what it all means.

use super::{
    ending::{self, Ending, Lost},
    lead::{self, LeadEffect},
    live::{Terms, asked_text},
    told,
};
use crate::{
    domain::{
        call::Step,
        lead::ContactPolicy,
        signal::Signal,
        state::Stuck,
        time::{Millis, rfc3339},
        words,
    },
    ingest::{self, TimelineStep},
    store::{
        Db, StoreError,
        audit::{self, AuditRow},
        calls::{CallRow, LegKey},
        deliveries::{self, DeliveryRow},
        due::{self, Asked},
        follow_ups::{self, FollowUpRow},
        journal::{self, Entry},
        outbox::{self, OutboxRow},
        signals,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// What an entry of a story is about.
    pub enum EntryKind {
        /// Something was received.
        Delivery = "delivery",
        /// What was said changed the call, or added to it.
        Step = "step",
        /// What was said did not move the call.
        Refused = "refused",
        /// The provider was asked.
        Asked = "asked",
        /// Somebody decided something.
        Decision = "decision",
        /// Something became owed to the outside.
        Effect = "effect",
        /// Something changed for the lead.
        Lead = "lead",
    }
}

/// Something that happened, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StoryEntry)]
pub struct Happened {
    /// When, as far as onhook is concerned.
    #[schema(format = DateTime)]
    pub at: String,
    /// What it is about.
    pub kind: EntryKind,
    /// What happened. Numbers are masked.
    #[schema(example = "The provider said by itself that it rings. It moved from initiated to ringing.")]
    pub what: String,
}

/// Something that is owed to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OwedEffect)]
pub struct Owed {
    /// `call.ended`, `call.repaired`, `call.corrected`, `lead.contacted`, `lead.contact_corrected`.
    pub kind: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// In a sentence.
    pub what: String,
}

/// What comes next for a live call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NextForCall)]
pub struct Ahead {
    /// When the provider is asked about it.
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
    /// When it is given up if nobody can say what became of it; null: not before it can be asked about again.
    #[schema(format = DateTime)]
    pub give_up_at: Option<String>,
    /// Whole seconds without a sign of life.
    pub silent_seconds: i64,
    /// Whether that is too long.
    pub stuck: Option<Stuck>,
    /// What is known, what was asked and answered last, what comes next.
    pub why: String,
}

/// Something that is still to be learned of a call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FollowUp {
    /// `history`: which callbacks were lost; `ending`: how one that was given up really ended.
    pub kind: String,
    /// When it is asked.
    #[schema(format = DateTime)]
    pub due_at: String,
    /// How often it was asked in vain.
    pub attempts: i64,
    /// In a sentence.
    pub why: String,
}

/// What is known of a call and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CallStory)]
pub struct Story {
    /// What happened, in order.
    pub story: Vec<Happened>,
    /// Whether `story` is all: at most 200 deliveries, 500 steps and 50 decisions are told.
    pub complete: bool,
    /// What decided the ending; null while the call lives.
    pub ending: Option<Ending>,
    /// Callbacks that never came, as the sequence numbers show; null: none are known to be missing.
    pub lost_callbacks: Option<Lost>,
    /// What the conversation means for the lead.
    pub lead: LeadEffect,
    /// What is owed to the outside, in the order in which it became owed.
    pub owed: Vec<Owed>,
    /// What comes next; null once the call has ended.
    pub next: Option<Ahead>,
    /// What is still to be learned.
    pub follow_ups: Vec<FollowUp>,
}

/// Reads stories.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'a> {
    /// Where they are.
    pub db: &'a Db,
    /// When live calls are looked at.
    pub terms: Terms,
    /// What counts as a contact.
    pub contact: ContactPolicy,
}

/// What is stored of a call beside its row.
struct Kept {
    deliveries: Vec<DeliveryRow>,
    steps: Vec<Entry>,
    audited: Vec<AuditRow>,
    asked: Asked,
    signals: Vec<Signal>,
    owed: Vec<OutboxRow>,
    follow_ups: Vec<FollowUpRow>,
}

impl Teller<'_> {
    /// The story of a call.
    pub async fn tell(&self, row: &CallRow) -> Result<Story, StoreError> {
        let kept = self.kept(row).await?;
        let (lead, of_lead) = lead::read(self.db, self.contact, row).await?;
        let call = ingest::registers(row)?;
        let next = self.terms.find_next(self.db, row).await?.map(|next| Ahead {
            due_at: row.due_at_ms.map(rfc3339),
            give_up_at: next.give_up_at_ms.map(rfc3339),
            silent_seconds: next.silent_seconds,
            stuck: next.stuck,
            why: next.why,
        });
        let full = |len: usize, max: i64| i64::try_from(len).is_ok_and(|len| len >= max);
        let complete = !full(kept.deliveries.len(), DELIVERIES_MAX)
            && !full(kept.steps.len(), STEPS_MAX)
            && !full(kept.audited.len(), DECISIONS_MAX);
        let mut owed: Vec<&OutboxRow> = kept.owed.iter().chain(&of_lead).collect();
        owed.sort_by_key(|row| row.created_ms);
        Ok(Story {
            story: story(&kept, &of_lead)?,
            complete,
            ending: ending::read(&call, &kept.signals, &kept.audited),
            lost_callbacks: ending::lost(&call, &kept.signals),
            lead,
            owed: owed.into_iter().map(told::owed).collect(),
            next,
            follow_ups: kept.follow_ups.iter().map(told::follow_up).collect(),
        })
    }

    async fn kept(&self, row: &CallRow) -> Result<Kept, StoreError> {
        let CallRow { tenant, provider_id, account, id, .. } = row;
        let key = LegKey { tenant: tenant.clone(), provider_id: provider_id.clone(), account: account.clone() };
        let first = (i64::MIN, "");
        let signals = signals::list_of_call(self.db, tenant, account, provider_id).await?;
        Ok(Kept {
            deliveries: deliveries::list_of_call(self.db, tenant, account, provider_id, first, DELIVERIES_MAX).await?,
            steps: journal::list_of_subject(self.db, tenant, journal::CALL, id, 0, STEPS_MAX).await?,
            audited: audit::list_of_subject(self.db, tenant, id, DECISIONS_MAX).await?,
            asked: due::find_asked(self.db, &key).await?.unwrap_or_default(),
            signals: signals.iter().map(|row| row.signal()).collect::<Result<_, _>>()?,
            owed: outbox::list_of_subject(self.db, tenant, id).await?,
            follow_ups: follow_ups::list_of_call(self.db, tenant, account, provider_id).await?,
        })
    }
}

/// What happened, in order; at one moment the cause before what came of it.
fn story(kept: &Kept, of_lead: &[OutboxRow]) -> Result<Vec<Happened>, StoreError> {
    let mut story: Vec<(Millis, EntryKind, String)> = Vec::new();
    story.extend(kept.deliveries.iter().map(|row| (row.received_ms, EntryKind::Delivery, told::delivery(row))));
    for entry in &kept.steps {
        let step: TimelineStep<'_> = serde_json::from_str(&entry.what).map_err(|e| StoreError::Corrupt {
            what: format!("the journal entry {}", entry.seq),
            why: e.to_string(),
        })?;
        let kind = match step.step {
            Step::Late | Step::Refused => EntryKind::Refused,
            Step::Moved | Step::Noted | Step::Repeated | Step::Corrected => EntryKind::Step,
        };
        story.push((entry.at_ms, kind, told::step(&step)));
    }
    if let Some(at_ms) = kept.asked.asked_ms {
        story.push((at_ms, EntryKind::Asked, asked_text(&kept.asked)));
    }
    story.extend(kept.audited.iter().map(|row| (row.at_ms, EntryKind::Decision, told::decision(row))));
    story.extend(of_lead.iter().map(|row| (row.created_ms, EntryKind::Lead, told::effect(row))));
    story.extend(kept.owed.iter().map(|row| (row.created_ms, EntryKind::Effect, told::effect(row))));
    story.sort_by_key(|(at_ms, ..)| *at_ms);
    Ok(story.into_iter().map(|(at_ms, kind, what)| Happened { at: rfc3339(at_ms), kind, what }).collect())
}

const DELIVERIES_MAX: i64 = 200;
const STEPS_MAX: i64 = 500;
const DECISIONS_MAX: i64 = 50;
