//! The contact policy: when a conversation is evidence that somebody spoke with the lead, and what a lead then is.
//!
//! A contact belongs to a conversation (a root call with its legs), so that the agent's leg and the customer's do
//! not count twice. Elapsed time is never evidence.

use super::{
    call::{Call, Row},
    signal::{Field, Link},
    state::{Direction, Status},
    time::Millis,
};
use serde::Serialize;

/// The settings of the contact rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactPolicy {
    /// Shorter conversations are no contact.
    pub min_talk_seconds: i64,
    /// Whether a machine or fax that answered counts.
    pub count_machines: bool,
    /// Whether an inbound root without dialed legs counts.
    pub count_parent: bool,
}

/// One leg of a conversation, as far as the contact rule looks at it.
#[derive(Clone, Debug)]
pub struct LegView {
    /// The provider's id, to say which leg decided.
    pub provider_id: String,
    /// The leg's row.
    pub row: Row,
    /// Whether it is the root (it has no parent).
    pub is_root: bool,
    /// Its direction, in the provider's word.
    pub direction: Option<String>,
    /// What answered.
    pub answered_by: Option<String>,
    /// `Some(false)` if the callee was never bridged.
    pub bridged: Option<bool>,
    /// Whether there is a recording.
    pub recorded: bool,
}

/// What a conversation means for its lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose conversation it is.
    pub lead_id: String,
    /// When the contact was made, if there was one.
    pub contacted_ms: Option<Millis>,
    /// The entry in the lead's activity, once the conversation is over or a contact.
    pub activity: Option<Activity>,
}

/// An entry in a lead's activity: what came of one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// The leg that decided.
    pub provider_id: String,
    /// Its status.
    pub outcome: Status,
    /// When it ended (or was answered, if it still lives).
    pub at_ms: Millis,
    /// Seconds of conversation.
    pub talk_seconds: i64,
}

impl ContactPolicy {
    /// Reads a conversation. `None` if it is tied to no lead.
    pub fn judge(&self, legs: &[LegView]) -> Option<Verdict> {
        let link = Self::link(legs)?;
        let evidence: Vec<&LegView> = self.evidence(legs).collect();
        let contact = evidence
            .iter()
            .filter_map(|leg| self.contacted_ms(leg).map(|at| (at, *leg)))
            .max_by(|a, b| (a.0, &a.1.provider_id).cmp(&(b.0, &b.1.provider_id)));
        let activity = match contact {
            Some((_, leg)) => Some(leg),
            // Where no leg could prove a contact (an inbound call that dialed nobody), it still took place.
            None if evidence.is_empty() => Self::last_ended(&legs.iter().collect::<Vec<_>>()),
            None => Self::last_ended(&evidence),
        };
        Some(Verdict {
            lead_id: link.lead_id,
            contacted_ms: contact.map(|(at, _)| at),
            activity: activity.map(|leg| leg.activity()),
        })
    }

    /// The best link of any leg: one conversation has one lead.
    fn link(legs: &[LegView]) -> Option<Link> {
        legs.iter()
            .filter_map(|leg| leg.row.link.clone().map(|link| (link.rank, !leg.is_root, &leg.provider_id, link)))
            .min()
            .map(|(.., link)| link)
    }

    /// The legs that can prove a contact: the dialed ones if any are known, else the root if it was placed by us.
    pub fn evidence<'a>(&self, legs: &'a [LegView]) -> impl Iterator<Item = &'a LegView> {
        let dialed = legs.iter().any(|leg| !leg.is_root);
        let count_parent = self.count_parent;
        legs.iter().filter(move |leg| {
            if dialed {
                return !leg.is_root;
            }
            count_parent || leg.direction.as_deref() == Some(Direction::OutboundApi.as_str())
        })
    }

    /// When this leg made the contact, if it did.
    fn contacted_ms(&self, leg: &LegView) -> Option<Millis> {
        let row = &leg.row;
        if !row.answered || leg.bridged == Some(false) || (leg.answered_by_machine() && !self.count_machines) {
            return None;
        }
        if row.talk_seconds.unwrap_or_default() < self.min_talk_seconds {
            return None;
        }
        match row.status {
            Status::Completed => row.ended_at_ms,
            Status::InProgress if leg.recorded => row.answered_at_ms,
            Status::InProgress | Status::Queued | Status::Initiated | Status::Ringing => None,
            Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed => None,
        }
    }

    /// The leg that ended last, once all have: what a conversation without a contact came to.
    fn last_ended<'a>(evidence: &[&'a LegView]) -> Option<&'a LegView> {
        let all_ended = evidence.iter().all(|leg| leg.row.status.is_ended());
        let last = evidence.iter().max_by_key(|leg| (leg.row.ended_at_ms, &leg.provider_id))?;
        all_ended.then_some(*last)
    }
}

impl LegView {
    /// What the contact rule sees of a call.
    pub fn read(provider_id: &str, call: &Call) -> Self {
        let detail = |field| call.detail(field).map(str::to_owned);
        Self {
            provider_id: provider_id.to_owned(),
            row: call.read(),
            is_root: call.detail(Field::ParentId).is_none(),
            direction: detail(Field::Direction),
            answered_by: detail(Field::AnsweredBy),
            bridged: call.detail(Field::Bridged).map(|word| word != "false"),
            recorded: call.detail(Field::RecordingUrl).is_some(),
        }
    }

    /// Whether no person answered.
    pub fn answered_by_machine(&self) -> bool {
        self.answered_by.as_deref().is_some_and(|by| by.starts_with("machine") || by == "fax")
    }

    fn activity(&self) -> Activity {
        let row = &self.row;
        Activity {
            provider_id: self.provider_id.clone(),
            outcome: row.status,
            at_ms: row.ended_at_ms.or(row.answered_at_ms).unwrap_or(row.created_at_ms),
            talk_seconds: row.talk_seconds.unwrap_or_default(),
        }
    }
}

/// What the user wrote about a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The user's word for the lead's state; `new` leaves it to the contacts.
    pub status: String,
    /// When the status was last written explicitly. Creation and import do not count.
    pub status_written_ms: Option<Millis>,
    /// The user's own date of the last contact.
    pub last_contacted_ms: Option<Millis>,
}

/// The active contacts of a lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    /// How many conversations are an active contact.
    pub count: i64,
    /// When the latest was.
    pub last_ms: Option<Millis>,
}

impl Written {
    /// The lead's status: the user's word, unless that is `new` and an active contact is later than it.
    pub fn status<'a>(&'a self, contacts: &Contacts) -> &'a str {
        let contacted = contacts.last_ms.is_some_and(|at| self.status_written_ms.is_none_or(|written| at > written));
        if self.status == STATUS_NEW && contacted { STATUS_CONTACTED } else { &self.status }
    }

    /// The later of the user's date and the active contacts.
    pub fn last_contacted_ms(&self, contacts: &Contacts) -> Option<Millis> {
        self.last_contacted_ms.max(contacts.last_ms)
    }
}

/// The status that leaves the lead to its contacts.
pub const STATUS_NEW: &str = "new";
/// The status of a lead somebody spoke with.
pub const STATUS_CONTACTED: &str = "contacted";
