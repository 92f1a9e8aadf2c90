//! The audit: who decided what, by which rule, on which evidence.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct AuditRow {
    /// Whose it is.
    pub tenant: String,
    /// `audit_…`; sorts by when it was made.
    pub id: String,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// Who: `sweeper`, `key:<id>`, `cli`.
    pub actor: String,
    /// What was done, such as `call.given_up`.
    pub action: String,
    /// The call, account or lead.
    pub subject: String,
    /// The rule and the evidence, as JSON.
    pub detail: String,
}

/// Adds rows; one that is there already stays as it is.
pub async fn insert(tx: &mut Tx, rows: &[AuditRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    INSERT.over(rows).execute(tx).await.map(drop)
}

/// The latest decisions about a call, an account or a lead.
pub async fn list_of_subject(
    on: impl Into<On<'_>>,
    tenant: &str,
    subject: &str,
    limit: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    LIST_OF_SUBJECT.query().bind(tenant).bind(subject).bind(limit).fetch_all(on).await
}

columns!(audit_columns of AuditRow { tenant text, id text, at_ms int, actor text, action text, subject text, detail text });

statements! {
    INSERT = insert(audit_columns into "audit": "ON CONFLICT (tenant, id) DO NOTHING");
    LIST_OF_SUBJECT = both("SELECT ", audit_columns!(names), " FROM audit
        WHERE tenant = $1 AND subject = $2 ORDER BY id DESC LIMIT $3");
}
