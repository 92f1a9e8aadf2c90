//! Calls announced before the provider gave them an id. Each is matched once, first come.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An announced call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the fields are the contract's announcement")]
pub struct ExpectedRow {
    pub tenant: String,
    pub id: String,
    pub account: String,
    pub to: String,
    pub from: Option<String>,
    pub lead_id: Option<String>,
    pub user_id: Option<String>,
    pub extension: Option<String>,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// The provider id of the call it turned out to be.
    pub matched: Option<String>,
}

/// A new call, to be compared with what was announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the leg's key and numbers")]
pub struct Candidate {
    pub tenant: String,
    pub account: String,
    pub provider_id: String,
    pub to: String,
    pub from: Option<String>,
    pub now_ms: i64,
}

/// An announcement that may be one of the candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Whose it is.
    pub tenant: String,
    /// The announcement.
    pub id: String,
    /// The provider id of the call.
    pub matched: String,
}

/// Announces a call.
pub async fn insert(tx: &mut Tx, row: &ExpectedRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Open announcements that fit any of the candidates, oldest first. The caller settles who gets which.
pub async fn list_open(tx: &mut Tx, candidates: &[Candidate]) -> Result<Vec<ExpectedRow>, StoreError> {
    let mut rows: Vec<ExpectedRow> = LIST_OPEN.over(candidates).fetch_all(tx).await?;
    rows.sort_by(|a, b| (a.created_ms, &a.tenant, &a.id).cmp(&(b.created_ms, &b.tenant, &b.id)));
    // One announcement may fit several candidates.
    rows.dedup();
    Ok(rows)
}

/// Takes announcements; answers the ids that were still open, so that two nodes never take the same one.
pub async fn take(tx: &mut Tx, matches: &[Match]) -> Result<Vec<String>, StoreError> {
    let taken: Vec<(String,)> = TAKE.over(matches).fetch_all(tx).await?;
    Ok(taken.into_iter().map(|(id,)| id).collect())
}

/// Removes up to `limit` announcements that expired before `now_ms`; answers how many.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_EXPIRED.query().bind(now_ms).bind(limit).execute(tx).await
}

/// An announcement by its id.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<ExpectedRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

columns!(expected_columns of ExpectedRow {
    tenant text, id text, account text, to text, from text, lead_id text, user_id text, extension text,
    created_ms int, expires_ms int, matched text
});
columns!(candidate_columns of Candidate { tenant text, account text, provider_id text, to text, from text, now_ms int });
columns!(match_columns of Match { tenant text, id text, matched text });

pub(super) use expected_columns;

statements! {
    INSERT = insert(expected_columns into "expected": "");
    LIST_OPEN = lookup(candidate_columns in "expected" as expected_columns:
        "c.tenant = k.tenant AND c.account = k.account AND c.\"to\" = k.\"to\" AND c.matched IS NULL
             AND c.expires_ms > k.now_ms AND (c.\"from\" IS NULL OR c.\"from\" = k.\"from\")");
    TAKE = over(match_columns:
        "UPDATE expected SET matched = k.matched FROM ",
        " WHERE expected.tenant = k.tenant AND expected.id = k.id AND expected.matched IS NULL RETURNING expected.id");
    DELETE_EXPIRED = both("DELETE FROM expected WHERE (tenant, id) IN
        (SELECT tenant, id FROM expected WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)");
    FIND = both("SELECT ", expected_columns!(names), " FROM expected WHERE tenant = $1 AND id = $2");
}
