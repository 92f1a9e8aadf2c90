//! Notices: what people should know.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::id;
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

/// A page of notices, newest first, with ids before `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: NoticeFilter<'_>,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<NoticeRow>, StoreError> {
    let sql = match filter.to {
        Addressee::Anybody => &LIST,
        Addressee::Everybody => &LIST_TO_EVERYBODY,
        Addressee::User(_) => &LIST_TO_USER,
    };
    let query = sql.query().bind(tenant).bind(before.unwrap_or(AFTER_EVERY_ID)).bind(limit).bind(filter.unread);
    match filter.to {
        Addressee::User(user) => query.bind(user),
        Addressee::Anybody | Addressee::Everybody => query,
    }
    .fetch_all(on)
    .await
}

/// Notes that somebody read it; who reads it again changes nothing. `None`: there is none with this id.
pub async fn set_read(tx: &mut Tx, tenant: &str, id: &str, now_ms: i64) -> Result<Option<NoticeRow>, StoreError> {
    SET_READ.query().bind(tenant).bind(id).bind(now_ms).fetch_optional(tx).await
}

/// Whether another tenant has a notice with this id: such look-ups are counted.
pub async fn exists_elsewhere(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = EXISTS_ELSEWHERE.query().bind(tenant).bind(id).fetch_optional(on).await?;
    Ok(row.is_some())
}

/// How many notices for everybody were made within `made_ms`, by kind. What a user is told is told to everybody too.
pub async fn count(on: impl Into<On<'_>>, tenant: &str, made_ms: (i64, i64)) -> Result<Vec<(String, i64)>, StoreError> {
    // An id begins with the time it was made.
    let [from, until] = [made_ms.0, made_ms.1].map(|at| id::first_id("note", at));
    COUNT.query().bind(tenant).bind(from).bind(until).fetch_all(on).await
}

/// Whose notices to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee<'a> {
    /// All of the tenant's.
    Anybody,
    /// Those for everybody.
    Everybody,
    /// Those for one user.
    User(&'a str),
}

/// Which notices to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeFilter<'a> {
    /// Whose.
    pub to: Addressee<'a>,
    /// Only those that nobody has read, or only those that somebody has.
    pub unread: Option<bool>,
}

columns!(notice_columns of NoticeRow {
    tenant text, id text, user_id text, kind text, subject text, text text, created_ms int, read_ms int
});

/// What the lists share.
macro_rules! page {
    () => {
        " AND id < $2 AND (CAST($4 AS BOOLEAN) IS NULL OR (read_ms IS NULL) = CAST($4 AS BOOLEAN)) ORDER BY id DESC LIMIT $3"
    };
}

statements! {
    INSERT = insert(notice_columns into "notice": "ON CONFLICT (tenant, id) DO NOTHING");
    LIST_OF_SUBJECT = both("SELECT ", notice_columns!(names), " FROM notice
        WHERE tenant = $1 AND subject = $2 ORDER BY id DESC LIMIT $3");
    LIST = both("SELECT ", notice_columns!(names), " FROM notice WHERE tenant = $1", page!());
    LIST_TO_EVERYBODY = both("SELECT ", notice_columns!(names), " FROM notice WHERE tenant = $1 AND user_id IS NULL", page!());
    LIST_TO_USER = both("SELECT ", notice_columns!(names), " FROM notice WHERE tenant = $1 AND user_id = $5", page!());
    COUNT = both("SELECT kind, CAST(count(*) AS BIGINT) FROM notice
        WHERE tenant = $1 AND user_id IS NULL AND id >= $2 AND id < $3 GROUP BY kind ORDER BY kind");
    SET_READ = both("UPDATE notice SET read_ms = coalesce(read_ms, $3) WHERE tenant = $1 AND id = $2
        RETURNING ", notice_columns!(names));
    EXISTS_ELSEWHERE = both("SELECT CAST(1 AS BIGINT) FROM tenant t WHERE t.id <> $1
        AND EXISTS (SELECT 1 FROM notice n WHERE n.tenant = t.id AND n.id = $2) LIMIT 1");
}

/// Sorts after every id.
const AFTER_EVERY_ID: &str = "~";

/// The latest notices about a call or an account.
pub async fn list_of_subject(
    on: impl Into<On<'_>>,
    tenant: &str,
    subject: &str,
    limit: i64,
) -> Result<Vec<NoticeRow>, StoreError> {
    LIST_OF_SUBJECT.query().bind(tenant).bind(subject).bind(limit).fetch_all(on).await
}
