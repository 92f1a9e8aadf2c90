//! The audit: who decided what, by which rule, on which evidence.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::id;
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

/// A page of decisions, newest first, with ids before `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: &AuditFilter,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    let sql = if filter.subject.is_some() { &LIST_ABOUT } else { &LIST };
    // An id begins with the time it was made, so that a span of time is a span of ids.
    let from = id::first_id("audit", filter.since_ms.unwrap_or(0));
    let until = id::first_id("audit", filter.until_ms.unwrap_or(i64::MAX));
    let before = before.map_or(until.as_str(), |before| before.min(&until));
    let query = sql.query().bind(tenant).bind(from).bind(before).bind(limit).bind(filter.action.as_deref());
    match &filter.subject {
        Some(subject) => query.bind(subject),
        None => query,
    }
    .fetch_all(on)
    .await
}

/// Which decisions to list. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// See [`AuditRow::subject`].
    pub subject: Option<String>,
    /// See [`AuditRow::action`].
    pub action: Option<String>,
    /// Made at or after.
    pub since_ms: Option<i64>,
    /// Made before.
    pub until_ms: Option<i64>,
}

columns!(audit_columns of AuditRow { tenant text, id text, at_ms int, actor text, action text, subject text, detail text });

/// What the lists share.
macro_rules! page {
    () => {
        " AND id >= $2 AND id < $3 AND (CAST($5 AS TEXT) IS NULL OR action = $5) ORDER BY id DESC LIMIT $4"
    };
}

statements! {
    INSERT = insert(audit_columns into "audit": "ON CONFLICT (tenant, id) DO NOTHING");
    LIST_OF_SUBJECT = both("SELECT ", audit_columns!(names), " FROM audit
        WHERE tenant = $1 AND subject = $2 ORDER BY id DESC LIMIT $3");
    LIST = both("SELECT ", audit_columns!(names), " FROM audit WHERE tenant = $1", page!());
    LIST_ABOUT = both("SELECT ", audit_columns!(names), " FROM audit WHERE tenant = $1 AND subject = $6", page!());
}
