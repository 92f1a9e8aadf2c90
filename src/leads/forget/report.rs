//! What was erased of a person and what was kept.

use serde::Serialize;
use utoipa::ToSchema;

/// What was erased of a person, or would be, and what was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ForgottenLead)]
pub struct Forgotten {
    /// Your own id of the lead.
    #[schema(example = "lead-42")]
    pub lead_id: String,
    /// Whether it only looked.
    pub dry_run: bool,
    /// How much was erased; all zero if it was done before.
    pub erased: Erased,
    /// What there still is.
    pub kept: Kept,
}

/// Rows that were emptied or taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Erased {
    /// 1 if the lead lost its name and number now.
    pub leads: u64,
    /// Calls that lost numbers, recording or other personal details.
    pub calls: u64,
    /// Signals that did.
    pub signals: u64,
    /// Raw deliveries whose body and query were emptied.
    pub deliveries: u64,
    /// Raw deliveries that waited to be applied, and are gone.
    pub unapplied_deliveries: u64,
    /// Notices about these calls, gone.
    pub notices: u64,
    /// Announcements of calls, gone.
    pub announcements: u64,
    /// Refused deliveries, gone.
    pub refused_deliveries: u64,
    /// Jobs of runs that lost number, lead and user; those that waited to be dialed are cancelled.
    pub jobs: u64,
    /// Remembered answers to requests with an Idempotency-Key, gone.
    pub remembered_answers: u64,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Kept {
    /// Legs of this person's conversations: their times, statuses and talk seconds stay, and the lead's id.
    pub calls: u64,
    /// Of these: calls that are under way. What comes of them is kept again; forget the lead once more when they are over.
    pub live_calls: u64,
    /// Jobs of runs that are being placed at this moment and are left as they are; forget the lead once more when they are over.
    pub placing_jobs: u64,
    /// Conversations that were a contact.
    pub contacts: u64,
    /// Other leads with the same number. They are not touched; forget each by its id.
    pub other_leads: u64,
}

impl Erased {
    /// What one more conversation came to.
    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.signals += other.signals;
        self.deliveries += other.deliveries;
        self.unapplied_deliveries += other.unapplied_deliveries;
        self.notices += other.notices;
    }
}
