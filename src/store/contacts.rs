//! Contacts and activity: what conversations mean for leads.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::lead::Contacts;
use serde::Serialize;
use sqlx::FromRow;

/// A conversation that is, or was taken for, a contact of a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct ContactRow {
    /// Whose it is.
    pub tenant: String,
    /// The root's provider id.
    pub conversation: String,
    /// The provider account.
    pub account: String,
    /// The user's id of the lead.
    pub lead_id: String,
    /// Our id of the leg that decided.
    pub call_id: String,
    /// When they spoke, in Unix milliseconds.
    pub contacted_ms: i64,
    /// Whether it counts.
    pub active: bool,
    /// How often it was switched on or off.
    pub flips: i64,
}

/// What came of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct ActivityRow {
    /// Whose it is.
    pub tenant: String,
    /// The root's provider id.
    pub conversation: String,
    /// The provider account.
    pub account: String,
    /// The user's id of the lead.
    pub lead_id: String,
    /// Our id of the leg that decided.
    pub call_id: String,
    /// Its status.
    pub outcome: String,
    /// When it ended (or was answered, if it still lives).
    pub at_ms: i64,
    /// Seconds of conversation.
    pub talk_seconds: i64,
    /// Whether the conversation is a contact.
    pub contact: bool,
}

/// A conversation: the root leg's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Conversation {
    /// Whose it is.
    pub tenant: String,
    /// The root's provider id.
    pub conversation: String,
    /// The provider account.
    pub account: String,
}

/// All contacts of these conversations, active or not.
pub async fn list_of(tx: &mut Tx, conversations: &[Conversation]) -> Result<Vec<ContactRow>, StoreError> {
    LIST_OF.over(conversations).fetch_all(tx).await
}

/// Writes contacts.
pub async fn upsert(tx: &mut Tx, rows: &[ContactRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    UPSERT.over(rows).execute(tx).await.map(drop)
}

/// Writes activity.
pub async fn upsert_activity(tx: &mut Tx, rows: &[ActivityRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    UPSERT_ACTIVITY.over(rows).execute(tx).await.map(drop)
}

/// Takes back the activity of conversations that turned out not to be over.
pub async fn delete_activity(tx: &mut Tx, conversations: &[Conversation]) -> Result<(), StoreError> {
    if conversations.is_empty() {
        return Ok(());
    }
    DELETE_ACTIVITY.over(conversations).execute(tx).await.map(drop)
}

/// A page of a lead's activity, newest first, before `(at_ms, conversation)`.
pub async fn list_activity(
    on: impl Into<On<'_>>,
    tenant: &str,
    lead_id: &str,
    before: (i64, &str),
    limit: i64,
) -> Result<Vec<ActivityRow>, StoreError> {
    let query = LIST_ACTIVITY.query().bind(tenant).bind(lead_id).bind(before.0).bind(before.1).bind(limit);
    query.fetch_all(on).await
}

/// The active contacts of one lead.
pub async fn of_lead(on: impl Into<On<'_>>, tenant: &str, lead_id: &str) -> Result<Contacts, StoreError> {
    let (count, last_ms) = OF_LEAD.query().bind(tenant).bind(lead_id).fetch_one(on).await?;
    Ok(Contacts { count, last_ms })
}

/// All contacts of one lead, active or not.
pub async fn list_of_lead(on: impl Into<On<'_>>, tenant: &str, lead_id: &str) -> Result<Vec<ContactRow>, StoreError> {
    LIST_OF_LEAD.query().bind(tenant).bind(lead_id).fetch_all(on).await
}

columns!(contact_columns of ContactRow {
    tenant text, conversation text, account text, lead_id text, call_id text, contacted_ms int, active bool, flips int
});
columns!(activity_columns of ActivityRow {
    tenant text, conversation text, account text, lead_id text, call_id text, outcome text, at_ms int,
    talk_seconds int, contact bool
});
columns!(conversation_columns of Conversation { tenant text, conversation text, account text });

statements! {
    LIST_OF = lookup(conversation_columns in "contact" as contact_columns:
        "c.tenant = k.tenant AND c.conversation = k.conversation AND c.account = k.account");
    UPSERT = upsert(contact_columns into "contact" by "tenant, conversation, account, lead_id");
    UPSERT_ACTIVITY = upsert(activity_columns into "activity" by "tenant, conversation, account");
    DELETE_ACTIVITY = over(conversation_columns:
        "DELETE FROM activity WHERE (tenant, conversation, account) IN (SELECT k.tenant, k.conversation, k.account FROM ", ")");
    LIST_ACTIVITY = both("SELECT ", activity_columns!(names), " FROM activity
        WHERE tenant = $1 AND lead_id = $2 AND (at_ms, conversation) < ($3, $4)
        ORDER BY at_ms DESC, conversation DESC LIMIT $5");
    OF_LEAD = both("SELECT count(*), max(contacted_ms) FROM contact WHERE tenant = $1 AND lead_id = $2 AND active");
    LIST_OF_LEAD = both("SELECT ", contact_columns!(names), " FROM contact WHERE tenant = $1 AND lead_id = $2
        ORDER BY contacted_ms, conversation");
}
