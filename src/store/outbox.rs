//! The outbox: effects owed to the outside, written in the transaction of the step that owes them.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An effect that is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct OutboxRow {
    /// Whose it is.
    pub tenant: String,
    /// Names the effect: the same change never owes it twice.
    pub key: String,
    /// [`crate::domain::effect::EffectKind`].
    pub kind: String,
    /// The call or lead it is about.
    pub subject: String,
    /// When it became owed, in Unix milliseconds.
    pub created_ms: i64,
    /// What is to be said, as JSON.
    pub payload: String,
}

/// Adds effects; those whose key exists are owed already.
pub async fn insert(tx: &mut Tx, rows: &[OutboxRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    INSERT.over(rows).execute(tx).await.map(drop)
}

/// The effects about one call or lead, in the order of their keys, which begin with the subject and a slash.
pub async fn list_of_subject(on: impl Into<On<'_>>, tenant: &str, subject: &str) -> Result<Vec<OutboxRow>, StoreError> {
    LIST_OF_SUBJECT.query().bind(tenant).bind(subject).fetch_all(on).await
}

columns!(outbox_columns of OutboxRow { tenant text, key text, kind text, subject text, created_ms int, payload text });

statements! {
    INSERT = insert(outbox_columns into "outbox": "ON CONFLICT (tenant, key) DO NOTHING");
    LIST_OF_SUBJECT = both("SELECT ", outbox_columns!(names), " FROM outbox
        WHERE tenant = $1 AND key > $2 || '/' AND key < $2 || '0' ORDER BY key");
}
