//! What a conversation means for its lead, and why: the contact rule in words.

use crate::{
    domain::{
        lead::{ContactPolicy, LegView},
        signal::LinkRank,
        state::Status,
        time::rfc3339,
    },
    ingest,
    store::{
        Db, StoreError,
        calls::{self, CallRow},
        outbox::{self, OutboxRow},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

/// What the conversation of a call means for its lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeadEffect {
    /// Your own id of the lead; null: the conversation is tied to none.
    pub lead_id: Option<String>,
    /// How it was found: `url`, `announced`, `job`, `number`.
    #[schema(inline)]
    pub linked_by: Option<LinkRank>,
    /// Whether the conversation is a contact.
    pub contact: bool,
    /// When the contact was made.
    #[schema(format = DateTime)]
    pub contacted_at: Option<String>,
    /// Why it is a contact, or why it is none: the contact rule in words.
    pub why: String,
}

/// What it means, and what is owed because of it.
pub(super) async fn read(
    db: &Db,
    policy: ContactPolicy,
    row: &CallRow,
) -> Result<(LeadEffect, Vec<OutboxRow>), StoreError> {
    let (tenant, account) = (row.tenant.as_str(), row.account.as_str());
    let root = row.parent_id.as_deref().unwrap_or(&row.provider_id);
    let mut legs = calls::list_legs(db, tenant, account, root, "", LEGS_MAX).await?;
    legs.extend(calls::find(db, tenant, root, Some(account)).await?);
    let views = legs.iter().filter(|leg| leg.merged_into.is_none() || leg.parent_id.is_some());
    let views: Vec<LegView> = views
        .map(|leg| Ok(LegView::read(&leg.provider_id, &ingest::registers(leg)?)))
        .collect::<Result<_, StoreError>>()?;
    let Some(verdict) = policy.judge(&views) else {
        let why =
            "It is tied to no lead: there is no lead_id on its callback URL, nobody announced it, and no lead has the \
                   number of the far end."
                .to_owned();
        return Ok((
            LeadEffect { lead_id: None, linked_by: None, contact: false, contacted_at: None, why },
            Vec::new(),
        ));
    };
    let links = views.iter().filter_map(|leg| leg.row.link.as_ref());
    let linked_by = links.filter(|link| link.lead_id == verdict.lead_id).map(|link| link.rank).min();
    // The keys of what is owed because of this conversation begin so.
    let subject = format!("{}/{root}/{account}", verdict.lead_id);
    let owed = outbox::list_of_subject(db, tenant, &subject).await?;
    let decided = verdict.activity.as_ref().filter(|_| verdict.contacted_ms.is_some());
    let why = match decided.and_then(|activity| views.iter().find(|leg| leg.provider_id == activity.provider_id)) {
        Some(leg) => is_contact(leg),
        None => is_none(policy, &views),
    };
    let lead = LeadEffect {
        lead_id: Some(verdict.lead_id),
        linked_by,
        contact: verdict.contacted_ms.is_some(),
        contacted_at: verdict.contacted_ms.map(rfc3339),
        why,
    };
    Ok((lead, owed))
}

fn is_contact(leg: &LegView) -> String {
    let id = &leg.provider_id;
    let seconds = leg.row.talk_seconds.unwrap_or_default();
    match leg.row.status {
        Status::InProgress => {
            format!("The conversation is a contact: its leg {id} was answered, goes on, and is recorded.")
        }
        _ => format!(
            "The conversation is a contact: its leg {id} was answered and ended as completed after {seconds} s."
        ),
    }
}

/// Why a conversation is no contact. The rule itself is `ContactPolicy::judge`; here each leg says what it lacks.
fn is_none(policy: ContactPolicy, views: &[LegView]) -> String {
    let lacks: Vec<String> = policy.evidence(views).map(|leg| lack(policy, leg)).collect();
    if lacks.is_empty() {
        return "The conversation is no contact: it was not placed by the API and dialed nobody, and such a call alone is no \
                evidence (contact.count_parent is off)."
            .to_owned();
    }
    format!("The conversation is no contact: {}.", lacks.join("; "))
}

fn lack(policy: ContactPolicy, leg: &LegView) -> String {
    let (id, row) = (&leg.provider_id, &leg.row);
    let seconds = row.talk_seconds.unwrap_or_default();
    let what = match row.status {
        _ if !row.answered => "was not answered, as far as the provider said".to_owned(),
        _ if leg.bridged == Some(false) => "picked up but was never connected to anybody".to_owned(),
        _ if leg.answered_by_machine() && !policy.count_machines => {
            "was answered by a machine or fax (contact.count_machines is off)".to_owned()
        }
        Status::InProgress if !leg.recorded => "goes on, and is not recorded".to_owned(),
        _ if seconds < policy.min_talk_seconds => {
            format!("lasted {seconds} s; contact.min_talk_seconds is {}", policy.min_talk_seconds)
        }
        status => format!("is {status}"),
    };
    format!("its leg {id} {what}")
}

/// So many legs of a conversation are looked at.
const LEGS_MAX: i64 = 100;
