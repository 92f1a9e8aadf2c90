//! Accounts that are asked about their calls: who asks now, how it goes, and since when it does not.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// What is known of asking about the calls of one account. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct WatchRow {
    /// Whose it is.
    pub tenant: String,
    /// The provider account.
    pub account: String,
    /// Where it is asked.
    pub base: String,
    /// Until when somebody asks; whoever has not ended by then is dead.
    pub lease_until_ms: i64,
    /// When its live calls were last listed, or were to be.
    pub listed_ms: Option<i64>,
    /// When a call that had come by webhook was last found there.
    pub seen_ms: Option<i64>,
    /// Why it cannot be asked: `provider::TroubleKind`. NULL: it answers.
    pub trouble: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// Since when it cannot be asked.
    pub failing_since_ms: Option<i64>,
    /// How often in a row it could not.
    pub failures: i64,
    /// Not to be asked before.
    pub ask_again_ms: Option<i64>,
    /// A digest of the credentials that were refused; others are tried at once.
    pub refused: Option<String>,
    /// When somebody was last told.
    pub alarmed_ms: Option<i64>,
}

/// For how long an account is taken, and by which rule.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// The provider account.
    pub account: &'a str,
    /// Now.
    pub now_ms: i64,
    /// Until when it is taken.
    pub until_ms: i64,
    /// Only if its calls were not listed after this moment. None: in any case.
    pub not_listed_after_ms: Option<i64>,
}

/// Takes an account, unless somebody else has it or it was listed a moment ago. Answers what was known of it.
/// A lease or a listing from the future was written while a clock was wrong and counts for nothing.
pub async fn claim(tx: &mut Tx, claim: Claim<'_>) -> Result<Option<WatchRow>, StoreError> {
    let Claim { tenant, account, now_ms, until_ms, not_listed_after_ms } = claim;
    let query = CLAIM.query().bind(tenant).bind(account).bind(until_ms).bind(now_ms);
    query.bind(not_listed_after_ms).fetch_optional(tx).await
}

/// Lets an account go and keeps what was learned of it; `row` has the lease that was taken. Whoever held it for too long
/// has lost it, and what he learned is not kept: somebody else knows better.
pub async fn release(tx: &mut Tx, row: &WatchRow) -> Result<(), StoreError> {
    RELEASE.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Keeps an account for longer; `row` has the lease that was taken. `false`: somebody else has it meanwhile.
pub async fn renew(tx: &mut Tx, row: &WatchRow, until_ms: i64) -> Result<bool, StoreError> {
    let query = RENEW.query().bind(&row.tenant).bind(&row.account).bind(row.lease_until_ms).bind(until_ms);
    Ok(query.execute(tx).await? > 0)
}

/// What is known of an account.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, account: &str) -> Result<Option<WatchRow>, StoreError> {
    FIND.query().bind(tenant).bind(account).fetch_optional(on).await
}

/// The accounts that cannot be asked, of one tenant or of all.
pub async fn list_troubled(
    on: impl Into<On<'_>>,
    tenant: Option<&str>,
    limit: i64,
) -> Result<Vec<WatchRow>, StoreError> {
    LIST_TROUBLED.query().bind(tenant).bind(limit).fetch_all(on).await
}

columns!(watch_columns of WatchRow {
    tenant text, account text, base text, lease_until_ms int, listed_ms int, seen_ms int, trouble text, detail text,
    failing_since_ms int, failures int, ask_again_ms int, refused text, alarmed_ms int
});

/// How far the clocks of two nodes may be apart, in milliseconds. What lies further ahead was written while one was wrong.
macro_rules! ahead {
    () => {
        "60000"
    };
}

statements! {
    CLAIM = both("INSERT INTO watch (tenant, account, base, lease_until_ms, listed_ms, failures)
        VALUES ($1, $2, '', $3, NULL, 0)
        ON CONFLICT (tenant, account) DO UPDATE SET lease_until_ms = excluded.lease_until_ms
        WHERE (watch.lease_until_ms <= $4 OR watch.lease_until_ms > $3 + ", ahead!(), ")
          AND (CAST($5 AS BIGINT) IS NULL OR watch.listed_ms IS NULL OR watch.listed_ms <= $5
               OR watch.listed_ms > $4 + ", ahead!(), ")
        RETURNING ", watch_columns!(names));
    RELEASE = insert(watch_columns into "watch":
        "ON CONFLICT (tenant, account) DO UPDATE SET lease_until_ms = 0, base = excluded.base,
             listed_ms = excluded.listed_ms, seen_ms = excluded.seen_ms, trouble = excluded.trouble,
             detail = excluded.detail, failing_since_ms = excluded.failing_since_ms, failures = excluded.failures,
             ask_again_ms = excluded.ask_again_ms, refused = excluded.refused, alarmed_ms = excluded.alarmed_ms
         WHERE watch.lease_until_ms = excluded.lease_until_ms");
    RENEW = both("UPDATE watch SET lease_until_ms = $4 WHERE tenant = $1 AND account = $2 AND lease_until_ms = $3");
    FIND = both("SELECT ", watch_columns!(names), " FROM watch WHERE tenant = $1 AND account = $2");
    LIST_TROUBLED = both("SELECT ", watch_columns!(names), " FROM watch
        WHERE trouble IS NOT NULL AND (CAST($1 AS TEXT) IS NULL OR tenant = $1) ORDER BY tenant, account LIMIT $2");
}
