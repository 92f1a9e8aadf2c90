//! Notices: what people should know.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A notice. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct NoticeRow {
    /// Whose it is.
    pub tenant: String,
    /// `note_…`; sorts by when it was made.
    pub id: String,
    /// For whom; `None`: for everybody of the tenant.
    pub user_id: Option<String>,
    /// What it is about, in one word.
    pub kind: String,
    /// The call or account.
    pub subject: String,
    /// What happened, what it means, what to do. Numbers are masked.
    pub text: String,
    /// When it was made.
    pub created_ms: i64,
    /// When somebody read it.
    pub read_ms: Option<i64>,
}

/// Adds notices; one that is there already stays as it is.
pub async fn insert(tx: &mut Tx, rows: &[NoticeRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    INSERT.over(rows).execute(tx).await.map(drop)
}

columns!(notice_columns of NoticeRow {
    tenant text, id text, user_id text, kind text, subject text, text text, created_ms int, read_ms int
});

statements! {
    INSERT = insert(notice_columns into "notice": "ON CONFLICT (tenant, id) DO NOTHING");
    LIST_OF_SUBJECT = both("SELECT ", notice_columns!(names), " FROM notice
        WHERE tenant = $1 AND subject = $2 ORDER BY id DESC LIMIT $3");
}

/// The latest notices about a call or an account.
pub async fn list_of_subject(
    on: impl Into<On<'_>>,
    tenant: &str,
    subject: &str,
    limit: i64,
) -> Result<Vec<NoticeRow>, StoreError> {
    LIST_OF_SUBJECT.query().bind(tenant).bind(subject).bind(limit).fetch_all(on).await
}
